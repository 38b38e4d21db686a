"""What one pass of a stage did, as data for the door that ran it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message to a keeper's queue, to be sent after commit; losing it loses nothing.

    `following` are sent by that keeper once it has done this one, each with its receipt: one makes a chain,
    several a group. `stamps` name the attempts it stands on and its own; revoking one of them revokes it.
    """

    keeper: str
    task: str
    body: Mapping[str, Any]
    trace_id: str
    stamps: tuple[str, ...] = ()
    following: tuple["Message", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """One message to a queue of the control plane, to be sent after commit; ids only."""

    task: str
    queue: str
    body: Mapping[str, Any]
    trace_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """What a cascade stops after its commit; all of it may be repeated, and losing it costs only compute.

    `stamps` are the attempts whose messages, and everything that stands on them, are revoked; `aborts` are
    the attempts (task, epoch) each keeper is told to stop; `proofs` are handles the prover is told to drop.
    """

    rollback: str
    stamps: tuple[str, ...] = ()
    aborts: Mapping[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    proofs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AbortReply:
    """What one keeper said to the abort command of one revocation.

    `killed` are those of the attempts (task, epoch) that it was working on and has stopped; without an answer
    in time `is_confirmed` is false and `milliseconds`, from the command to the answer, is None.
    """

    rollback: str
    keeper: str
    is_confirmed: bool
    milliseconds: int | None
    killed: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How many rows a stage pass took, what to send and to stop, and which stages have work now.

    `figures` are what is to be counted of it, by the names of `project/metrics.py`.
    """

    taken: int = 0
    messages: tuple[Message, ...] = ()
    dispatches: tuple[Dispatch, ...] = ()
    revocations: tuple[Revocation, ...] = ()
    pokes: frozenset[str] = field(default_factory=frozenset)
    figures: tuple[tuple[str, float], ...] = ()

    def __add__(self, other: "Outcome") -> "Outcome":
        """Both passes as one."""
        return Outcome(
            taken=self.taken + other.taken,
            messages=(*self.messages, *other.messages),
            dispatches=(*self.dispatches, *other.dispatches),
            revocations=(*self.revocations, *other.revocations),
            pokes=self.pokes | other.pokes,
            figures=(*self.figures, *other.figures),
        )

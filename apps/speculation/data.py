"""The values of speculation: what a task stands on, and the commitment a keeper makes to run ahead.

A commitment belongs to one attempt (task, epoch) and ends exactly once; with it ends its bond (invariant 3).
Amounts are integer units. Nothing here knows Django.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from apps.kernel.transitions import TransitionTable
from apps.tasks.data import FailureReason

__all__ = [
    "COMMITMENT_TABLE",
    "STANDINGS",
    "UNDER_WAY",
    "Commitment",
    "CommitmentStatus",
    "FailureReason",
    "Standing",
]


class Standing(StrEnum):
    """How far a task has come, as far as those that depend on it care."""

    #: opened and not admitted; there is nothing to stand on
    PENDING = "pending"
    #: admitted; a keeper holds or will hold its lease
    SCHEDULED = "scheduled"
    #: its keeper works on it
    EXECUTING = "executing"
    #: it has an output that is not final yet
    PRODUCED = "produced"
    #: final
    CONFIRMED = "confirmed"
    #: failed, rolled back, aborted or cancelled
    DEAD = "dead"


#: a task's status, by name → how far it has come
STANDINGS: Final[Mapping[str, Standing]] = {
    "discovered": Standing.PENDING,
    "waiting": Standing.PENDING,
    "scheduled": Standing.SCHEDULED,
    "executing": Standing.EXECUTING,
    "executed": Standing.PRODUCED,
    "attested": Standing.PRODUCED,
    "proving": Standing.PRODUCED,
    "proved": Standing.PRODUCED,
    "waiting_ancestors": Standing.PRODUCED,
    "submitted": Standing.PRODUCED,
    "confirmed": Standing.CONFIRMED,
    "failed": Standing.DEAD,
    "rolled_back": Standing.DEAD,
    "aborted": Standing.DEAD,
    "cancelled": Standing.DEAD,
}

#: standings of work that is paid for and not final: what a failure below it undoes
UNDER_WAY: Final = frozenset({Standing.SCHEDULED, Standing.EXECUTING, Standing.PRODUCED})


class CommitmentStatus(StrEnum):
    """Where one commitment stands."""

    #: the bond is locked; the work is under way
    OPEN = "open"
    #: the result is recorded; final when its ancestors and its own proof are
    FULFILLED = "fulfilled"
    #: the task is confirmed; the bond is released in full
    CONFIRMED = "confirmed"
    #: an ancestor failed, or a person stopped it; the bond is released in full
    ROLLED_BACK = "rolled_back"
    #: its own task failed; the bond is slashed by the reason's percent, the rest is released
    FAILED = "failed"


_C = CommitmentStatus

COMMITMENT_TABLE: Final = TransitionTable(
    name="commitment",
    moves={
        _C.OPEN: frozenset({_C.FULFILLED, _C.ROLLED_BACK, _C.FAILED}),
        _C.FULFILLED: frozenset({_C.CONFIRMED, _C.ROLLED_BACK, _C.FAILED}),
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """A keeper's word, under bond, for one attempt of a task.

    `ancestors` are the attempts it stands on that were not final when it was opened, as (task, epoch) in
    topological order; `depth` is its depth at that moment.
    """

    task: UUID
    epoch: int
    run: UUID
    producer: str
    depth: int
    bond_units: int
    ancestors: tuple[tuple[UUID, int], ...]
    opened_at: datetime
    status: CommitmentStatus = CommitmentStatus.OPEN
    result_hash: str = ""
    ended_at: datetime | None = None
    reason: str = ""

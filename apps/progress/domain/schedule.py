"""What running ahead saved a run: its steps as they were measured, put where they would lie without it.

Without running ahead a step is admitted when the last of its parents is confirmed. Each confirmed step's own
time is its timeline without what it waited for its parents; the critical path over these is the end the
run would have had. Where nobody ran ahead that is the end it has, so nothing is saved. The difference may be
negative: a cascade can cost more than running ahead has won.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from graphlib import TopologicalSorter
from typing import Final, TypeVar

K = TypeVar("K")

_NOTHING: Final = timedelta(0)
_NEEDED: Final = ("scheduled", "executed", "attested", "submitted", "confirmed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """When a confirmed step entered its stages in its last attempt.

    `is_ahead`: it was admitted before its parents were confirmed. `proved_at` is None without a proof.
    """

    is_ahead: bool
    scheduled_at: datetime
    executed_at: datetime
    attested_at: datetime
    proved_at: datetime | None
    submitted_at: datetime
    confirmed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """How long a step took by itself, stage by stage, as measured."""

    admission: timedelta
    execution: timedelta
    attestation: timedelta
    proof: timedelta
    submission: timedelta
    settlement: timedelta

    @property
    def total(self) -> timedelta:
        """From its parents' confirmation to its own."""
        return (
            self.admission
            + self.execution
            + self.attestation
            + self.proof
            + self.submission
            + self.settlement
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """From the run's opening to its last confirmation so far: as it was, and as it would have been."""

    took: timedelta
    without: timedelta

    @property
    def saved(self) -> timedelta:
        """What running ahead saved; negative where it cost time."""
        return self.without - self.took


def read_passage(timeline: Mapping[str, str], *, is_ahead: bool) -> Passage | None:
    """A step's passage from its timeline (status → RFC 3339); None where it is not confirmed.

    A mark that an earlier attempt left between the last one's is not taken for it.
    """
    if any(stage not in timeline for stage in _NEEDED):
        return None
    at = {stage: datetime.fromisoformat(timeline[stage]) for stage in _NEEDED}
    proved_at = datetime.fromisoformat(timeline["proved"]) if "proved" in timeline else None
    is_of_this_attempt = proved_at is not None and at["attested"] <= proved_at <= at["submitted"]
    return Passage(
        is_ahead=is_ahead,
        scheduled_at=at["scheduled"],
        executed_at=at["executed"],
        attested_at=at["attested"],
        proved_at=proved_at if is_of_this_attempt else None,
        submitted_at=at["submitted"],
        confirmed_at=at["confirmed"],
    )


def compute_stages(own: Passage, parents: list[Passage], *, opened_at: datetime) -> Stages:
    """A step's own stages: what it waited for its parents' outputs and confirmations is left out.

    How long a step that ran ahead would have waited to be admitted after its parents is not known: nothing is
    counted, which can only make the saving smaller.
    """
    ground = max((parent.confirmed_at for parent in parents), default=opened_at)
    begins = max((own.scheduled_at, *(parent.executed_at for parent in parents)))
    ready = own.proved_at or own.attested_at
    return Stages(
        admission=_NOTHING if own.is_ahead else _between(ground, own.scheduled_at),
        execution=_between(begins, own.executed_at),
        attestation=_between(own.executed_at, own.attested_at),
        proof=_between(own.attested_at, ready),
        submission=_between(max(ready, ground), own.submitted_at),
        settlement=_between(own.submitted_at, own.confirmed_at),
    )


def compute_finishes(own: Mapping[K, timedelta], parents: Mapping[K, tuple[K, ...]]) -> dict[K, timedelta]:
    """When each step ends, counted from the opening, if each begins when its last parent ends.

    The graph is acyclic and closed.
    """
    finishes: dict[K, timedelta] = {}
    for step in TopologicalSorter(parents).static_order():
        begins = max((finishes[parent] for parent in parents[step]), default=_NOTHING)
        finishes[step] = begins + own[step]
    return finishes


def compare(
    passages: Mapping[K, Passage], parents: Mapping[K, tuple[K, ...]], *, opened_at: datetime
) -> Comparison | None:
    """The confirmed part of a run, compared; None where nothing is confirmed.

    `parents` names every step's parents; those of a confirmed step are confirmed (invariant 6).
    """
    if not passages:
        return None
    within = {step: parents[step] for step in passages}
    own = {
        step: compute_stages(
            passage, [passages[parent] for parent in within[step]], opened_at=opened_at
        ).total
        for step, passage in passages.items()
    }
    last = max(passage.confirmed_at for passage in passages.values())
    return Comparison(took=_between(opened_at, last), without=max(compute_finishes(own, within).values()))


def _between(start: datetime, end: datetime) -> timedelta:
    return max(_NOTHING, end - start)

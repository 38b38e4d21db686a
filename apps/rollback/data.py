"""The values of a rollback: its phases, what it does to each task, and what is left for a person to see.

Everything a cascade changes in the database is one transaction; a stored phase says what is still to be
done after it, so that a crash at any point is taken up where it happened. Nothing here knows Django.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from apps.kernel.transitions import TransitionTable
from apps.speculation.data import FailureReason


class RollbackPhase(StrEnum):
    """Where one rollback stands."""

    #: a failure was signalled; whether it still holds is not known
    DETECTING = "detecting"
    #: it holds; the tasks are being locked and the cascade planned
    INITIATING = "initiating"
    #: the plan is being applied: statuses, bonds, slash and events
    PROPAGATING = "propagating"
    #: applied; messages are revoked, running work is aborted, pending proofs are cancelled
    CLEANING = "cleaning"
    #: its figures are counted and the news is told; dead letter and retry were part of the transaction
    LOGGING = "logging"
    #: nothing is left to do
    COMPLETE = "complete"
    #: the signal was about something that is over or never was
    DISMISSED = "dismissed"


_P = RollbackPhase

ROLLBACK_TABLE: Final = TransitionTable(
    name="rollback",
    moves={
        _P.DETECTING: frozenset({_P.INITIATING, _P.DISMISSED}),
        _P.INITIATING: frozenset({_P.PROPAGATING}),
        _P.PROPAGATING: frozenset({_P.CLEANING}),
        _P.CLEANING: frozenset({_P.LOGGING}),
        _P.LOGGING: frozenset({_P.COMPLETE}),
    },
)


class Target(StrEnum):
    """What a cascade makes of a task; the names are the task's next status."""

    #: the root of the failure
    FAILED = "failed"
    #: it had an output, which is worth nothing now
    ROLLED_BACK = "rolled_back"
    #: it was being executed
    ABORTED = "aborted"
    #: it had not started
    CANCELLED = "cancelled"
    #: it had not started either, and nobody failed: it is admitted again
    WAITING = "waiting"


class Scope(StrEnum):
    """How far a failure reaches."""

    #: the task and everything that stands on it
    DOWNSTREAM = "downstream"
    #: that task only, as long as neither it has an output nor anything that stands on it has started
    TASK_ONLY = "task_only"


class RecoveryAction(StrEnum):
    """What follows a failure."""

    #: the same work again, with a new proof
    RE_EXECUTE = "re_execute"
    #: nothing by itself: its ancestor's retry brings it back
    WAIT_FOR_ANCESTOR = "wait_for_ancestor"
    #: the same work again, with more time
    EXTEND_TIMEOUT = "extend_timeout"
    #: the same work again, later
    QUEUE_LATER = "queue_later"
    #: the subtree from the beginning, as if it had just been opened
    REDISCOVER = "rediscover"
    #: nothing; a person may replay the dead letter
    GIVE_UP = "give_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """One rollback as it is stored: at most one per (root, attempt); the first reason is kept."""

    id: UUID
    root: UUID
    epoch: int
    reason: FailureReason
    detected_at: datetime
    phase: RollbackPhase = RollbackPhase.DETECTING
    size: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """A locked task as a cascade sees it. `status` is the task's own, `bond_units` its open bond."""

    task: UUID
    status: str
    keeper: str = ""
    epoch: int = 0
    bond_units: int = 0
    compute_units: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """What a person needs to know of a failure: where it happened, why, and what it took along."""

    task: UUID
    epoch: int
    stage: str
    reason: FailureReason
    error: str
    attempts: int
    dependents: int
    wasted_units: int
    is_final: bool
    failed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackTold:
    """What is counted of one rollback when it is complete."""

    reason: str
    size: int
    slashed_units: int
    released_units: int
    wasted_units: int
    abort_latencies_ms: tuple[float, ...]
    is_lettered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Which dead letters are meant; what is None or empty does not narrow them.

    `is_waiting`: those that nothing brings back by itself and nobody has replayed.
    """

    run_id: UUID | None = None
    task_id: UUID | None = None
    reason: FailureReason | None = None
    stage: str = ""
    error_code: str = ""
    is_waiting: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackFigures:
    """Figures over the rollbacks of a time; `recovery_rate` and latency None where there is nothing to count.

    `recovered` are tasks that were retried by themselves and are confirmed, of the `retried` that have ended.
    """

    count: int
    by_reason: Mapping[str, int]
    cascade_depth_max: int
    cascade_size_mean: float
    abort_latency_p99_ms: float | None
    retried: int
    recovered: int
    recovery_rate: float | None
    slashed_units: int
    wasted_units: int
    dead_letters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackFault:
    """A broken invariant: its number, what is wrong, and where."""

    invariant: int
    reason: str
    where: str

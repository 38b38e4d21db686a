"""What follows a failure: how far it reaches, what is tried again, when, and how often.

A retry is a new attempt of the same task; what was recorded of the old one stays. What a cascade took
along comes back with its root, as soon as nothing it stands on is dead any more (invariants 7 and 10).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from apps.kernel.ids import to_wire
from apps.rollback.data import RecoveryAction, Scope, TaskState
from apps.rollback.errors import RetryNotAllowed, RollbackRootUnknown
from apps.speculation.data import STANDINGS, FailureReason, Standing
from apps.speculation.domain.graph import DependencyGraph

_ACTION = RecoveryAction


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How far a failure of one kind reaches and what follows it."""

    scope: Scope
    action: RecoveryAction


POLICIES: Final[Mapping[FailureReason, Policy]] = {
    FailureReason.PROOF_REJECTED: Policy(scope=Scope.DOWNSTREAM, action=_ACTION.RE_EXECUTE),
    FailureReason.PROOF_GENERATION_FAILED: Policy(scope=Scope.DOWNSTREAM, action=_ACTION.RE_EXECUTE),
    FailureReason.RESULT_REJECTED: Policy(scope=Scope.DOWNSTREAM, action=_ACTION.RE_EXECUTE),
    FailureReason.TIMEOUT: Policy(scope=Scope.DOWNSTREAM, action=_ACTION.EXTEND_TIMEOUT),
    FailureReason.CLAIM_EXPIRED: Policy(scope=Scope.DOWNSTREAM, action=_ACTION.RE_EXECUTE),
    FailureReason.NOT_ACKNOWLEDGED: Policy(scope=Scope.TASK_ONLY, action=_ACTION.QUEUE_LATER),
    FailureReason.EXECUTION_FAILED: Policy(scope=Scope.DOWNSTREAM, action=_ACTION.RE_EXECUTE),
    FailureReason.NO_QUORUM: Policy(scope=Scope.DOWNSTREAM, action=_ACTION.GIVE_UP),
    FailureReason.RESOURCES_EXHAUSTED: Policy(scope=Scope.TASK_ONLY, action=_ACTION.QUEUE_LATER),
    FailureReason.SUBMISSION_REFUSED: Policy(scope=Scope.DOWNSTREAM, action=_ACTION.GIVE_UP),
    FailureReason.INVALID_STATE: Policy(scope=Scope.DOWNSTREAM, action=_ACTION.REDISCOVER),
    FailureReason.ANCESTOR_FAILED: Policy(scope=Scope.DOWNSTREAM, action=_ACTION.WAIT_FOR_ANCESTOR),
    FailureReason.MANUAL: Policy(scope=Scope.DOWNSTREAM, action=_ACTION.GIVE_UP),
}
#: actions that open a new attempt by themselves
RETRYING: Final = frozenset(
    {_ACTION.RE_EXECUTE, _ACTION.EXTEND_TIMEOUT, _ACTION.QUEUE_LATER, _ACTION.REDISCOVER}
)
#: reasons for which the root's attempt does not count: nobody failed
_UNCOUNTED: Final = frozenset(
    {FailureReason.NOT_ACKNOWLEDGED, FailureReason.ANCESTOR_FAILED, FailureReason.MANUAL}
)
#: what a retried root brings back with it
_TAKEN_ALONG: Final = frozenset({"rolled_back", "aborted", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryTerms:
    """How often and how patiently. A delay doubles with every failed attempt, up to its most."""

    max_attempts: int = 3
    timeout_factor_percent: int = 200
    max_timeout_seconds: int = 600
    delay_seconds: int = 1
    max_delay_seconds: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What follows one failure. `timeout_seconds` is the next attempt's."""

    action: RecoveryAction
    scope: Scope
    not_before: datetime | None = None
    timeout_seconds: int = 0

    @property
    def is_retried(self) -> bool:
        """Whether a new attempt opens by itself."""
        return self.action in RETRYING


def decide_recovery(
    reason: FailureReason,
    *,
    failed_attempts: int,
    timeout_seconds: int,
    now: datetime,
    terms: RecoveryTerms,
) -> Recovery:
    """What follows a failure, itself counted in `failed_attempts`; after the last attempt it is given up."""
    policy = POLICIES[reason]
    if policy.action not in RETRYING:
        return Recovery(action=policy.action, scope=policy.scope, timeout_seconds=timeout_seconds)
    if failed_attempts >= terms.max_attempts:
        return Recovery(action=_ACTION.GIVE_UP, scope=Scope.DOWNSTREAM, timeout_seconds=timeout_seconds)

    delay_seconds = 0
    if policy.action is _ACTION.QUEUE_LATER:
        delay_seconds = compute_delay(failed_attempts, terms)
    if policy.action is _ACTION.EXTEND_TIMEOUT:
        extended = timeout_seconds * terms.timeout_factor_percent // 100
        timeout_seconds = max(timeout_seconds, min(extended, terms.max_timeout_seconds))
    return Recovery(
        action=policy.action,
        scope=policy.scope,
        not_before=now + timedelta(seconds=delay_seconds),
        timeout_seconds=timeout_seconds,
    )


def is_counted(reason: FailureReason) -> bool:
    """Whether an attempt that ended so is one of those a task has."""
    return reason not in _UNCOUNTED


def compute_delay(failed_attempts: int, terms: RecoveryTerms) -> int:
    """min(delay × 2^(n-1), most), in seconds; the first failure is n = 1."""
    doublings = min(max(failed_attempts - 1, 0), 32)
    return min(terms.delay_seconds << doublings, terms.max_delay_seconds)


def plan_retry(
    root: UUID,
    *,
    graph: DependencyGraph[UUID],
    states: Mapping[UUID, TaskState],
    final: Collection[UUID] = (),
) -> list[UUID]:
    """The tasks that a retry of `root` opens again, parents first: the root, and what its failure took along.

    A descendant comes back when nothing it stands on stays dead; one that failed itself, or is among
    the `final` ones (a person stopped it), stays as it is, and so does what stands on it. Raises
    RollbackRootUnknown and RetryNotAllowed(task, reason).
    """
    own = states.get(root)
    if own is None or root not in graph:
        raise RollbackRootUnknown(task=to_wire("task", root))
    if STANDINGS[own.status] is not Standing.DEAD:
        raise RetryNotAllowed(task=to_wire("task", root), reason="it has not ended")
    if _has_dead_parent(graph, states, root, opened=()):
        raise RetryNotAllowed(task=to_wire("task", root), reason="it stands on a task that has failed")

    opened = {root: None}
    for task in graph.get_order(graph.get_descendants([root])):
        is_taken_along = states[task].status in _TAKEN_ALONG and task not in final
        if is_taken_along and not _has_dead_parent(graph, states, task, opened=opened):
            opened[task] = None
    return list(opened)


def _has_dead_parent(
    graph: DependencyGraph[UUID],
    states: Mapping[UUID, TaskState],
    task: UUID,
    *,
    opened: Collection[UUID],
) -> bool:
    return any(
        parent not in opened and STANDINGS[states[parent].status] is Standing.DEAD
        for parent in graph.get_parents(task)
    )

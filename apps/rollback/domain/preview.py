"""What stopping a task or a run would do, before anybody does it, and what is kept of a failure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from apps.kernel.ids import to_wire
from apps.rollback.data import DeadLetter, Target, TaskState
from apps.rollback.domain.cascade import SETTLING, CascadePlan, plan_cascade, plan_cascades
from apps.rollback.domain.recovery import Recovery
from apps.speculation.data import STANDINGS, FailureReason, Standing
from apps.speculation.domain.bonds import BondTerms
from apps.speculation.domain.graph import DependencyGraph


@dataclass(frozen=True, slots=True, kw_only=True)
class BlastRadius:
    """How many tasks would end and how, what it would cost, and what stays."""

    targets: Mapping[Target, int]
    depth: int
    released_units: int
    slashed_units: int
    wasted_units: int
    running: int
    proofs: int
    confirmed: int
    tasks: tuple[UUID, ...]

    def to_json(self) -> dict[str, Any]:
        """The form of an answer; amounts are strings of integers."""
        return {
            "targets": {str(target): count for target, count in sorted(self.targets.items())},
            "tasks": [to_wire("task", task) for task in self.tasks],
            "depth": self.depth,
            "released_units": str(self.released_units),
            "slashed_units": str(self.slashed_units),
            "wasted_units": str(self.wasted_units),
            "running": self.running,
            "proofs": self.proofs,
            "confirmed": self.confirmed,
        }


def preview_failure(
    root: UUID,
    reason: FailureReason,
    *,
    graph: DependencyGraph[UUID],
    states: Mapping[UUID, TaskState],
    terms: BondTerms,
) -> BlastRadius:
    """What this failure would do. Raises as `plan_cascade`."""
    return _measure([plan_cascade(root, reason, graph=graph, states=states, terms=terms)], states)


def plan_cancel(
    roots: Sequence[UUID],
    *,
    graph: DependencyGraph[UUID],
    states: Mapping[UUID, TaskState],
    terms: BondTerms,
) -> list[CascadePlan]:
    """Stop these tasks and what stands on them by hand; what is confirmed or being settled goes on.

    Raises RollbackRootUnknown.
    """
    beyond = {task for task, state in states.items() if _is_beyond_reach(state)}
    chosen = {root: FailureReason.MANUAL for root in roots if root not in beyond}
    return plan_cascades(chosen, graph=graph, states=states, terms=terms)


def preview_cancel(
    roots: Sequence[UUID],
    *,
    graph: DependencyGraph[UUID],
    states: Mapping[UUID, TaskState],
    terms: BondTerms,
) -> BlastRadius:
    """What stopping these by hand would do; with all its tasks given, what stopping a run would."""
    return _measure(plan_cancel(roots, graph=graph, states=states, terms=terms), states)


def build_dead_letter(
    plan: CascadePlan, *, recovery: Recovery, error: str, attempts: int, now: datetime
) -> DeadLetter | None:
    """What is kept of a failure; None where nothing failed: it was over, or a person stopped it."""
    if not plan.changes or plan.changes[-1].target is not Target.FAILED:
        return None
    root = plan.changes[-1]
    return DeadLetter(
        task=root.task,
        epoch=root.epoch,
        stage=root.previous,
        reason=plan.reason,
        error=error[:500],
        attempts=attempts,
        dependents=plan.dependents,
        wasted_units=plan.wasted_units,
        is_final=not recovery.is_retried,
        failed_at=now,
    )


def _is_beyond_reach(state: TaskState) -> bool:
    return STANDINGS[state.status] is Standing.CONFIRMED or state.status in SETTLING


def _measure(plans: Sequence[CascadePlan], states: Mapping[UUID, TaskState]) -> BlastRadius:
    changes = [change for plan in plans for change in plan.changes]
    targets: dict[Target, int] = {}
    for change in changes:
        targets[change.target] = targets.get(change.target, 0) + 1
    return BlastRadius(
        targets=targets,
        depth=max((plan.depth for plan in plans), default=0),
        released_units=sum(change.released_units for change in changes),
        slashed_units=sum(change.slashed_units for change in changes),
        wasted_units=sum(change.wasted_units for change in changes),
        running=sum(STANDINGS[change.previous] is Standing.EXECUTING for change in changes),
        proofs=sum(change.is_proof_cancelled for change in changes),
        confirmed=sum(STANDINGS[state.status] is Standing.CONFIRMED for state in states.values()),
        tasks=tuple(change.task for change in changes),
    )

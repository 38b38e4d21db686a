"""The rows and events of rollbacks and dead letters, built from plans; nothing here asks the database.

Events alone rebuild a row: the first one tells every column as it began, each later one what changed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from apps.eventlog.data import EventDraft
from apps.kernel.ids import new_id, to_wire
from apps.kernel.outcome import Revocation
from apps.rollback.data import DeadLetter, RecoveryAction, RollbackPhase
from apps.rollback.data import Rollback as RollbackValue
from apps.rollback.domain.cascade import CascadePlan
from apps.rollback.domain.phases import Step, apply_plan, finish_step
from apps.rollback.models import LETTER_FIELDS, ROLLBACK_FIELDS, Rollback
from apps.rollback.models import DeadLetter as DeadLetterRow
from apps.speculation.domain.lineage import stamp_of
from apps.tasks.data import FailureReason
from apps.tasks.models import Task

#: phase → the event of entering it
EVENTS: Final[Mapping[RollbackPhase, str]] = {
    RollbackPhase.DETECTING: "rollback.detected",
    RollbackPhase.INITIATING: "rollback.initiated",
    RollbackPhase.PROPAGATING: "rollback.planned",
    RollbackPhase.CLEANING: "rollback.propagated",
    RollbackPhase.LOGGING: "rollback.cleaned",
    RollbackPhase.COMPLETE: "rollback.completed",
    RollbackPhase.DISMISSED: "rollback.dismissed",
}
ITEM_COLUMNS: Final = (
    "rollback_id",
    "task_id",
    "position",
    "epoch",
    "keeper",
    "previous",
    "target",
    "released_units",
    "slashed_units",
    "wasted_units",
)
#: what the plan and what follows it say of the row
_PLANNED: Final = (
    "phase",
    "scope",
    "size",
    "depth",
    "slashed_keeper",
    "slashed_units",
    "treasury_units",
    "victims",
    "released_units",
    "wasted_units",
    "recovery",
    "is_retried",
    "proofs",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why something is undone, in words for rows: the code and detail its root ends with."""

    reason: FailureReason
    code: str
    detail: str
    epoch: int
    detected_at: datetime


def rollback_new(cause: Cause, root: Task, *, trace_id: str) -> tuple[Rollback, EventDraft]:
    """A rollback that was just detected, and the event that says so."""
    row = Rollback(
        id=new_id(),
        root_id=root.id,
        run_id=root.run_id,
        project_id=root.project_id,
        epoch=cause.epoch,
        reason=cause.reason,
        error_code=cause.code,
        error_detail=cause.detail,
        detected_at=cause.detected_at,
        trace_id=trace_id,
    )
    facts = {"root": to_wire("task", root.id), "step": root.step_key}
    return row, draft_of(row, RollbackPhase.DETECTING, ROLLBACK_FIELDS, facts)


def rollback_fill(
    row: Rollback,
    plan: CascadePlan,
    *,
    action: RecoveryAction,
    is_retried: bool,
    proofs: Sequence[str],
) -> None:
    """Note on a row what its plan does and what follows it."""
    row.scope, row.size, row.depth = plan.scope, len(plan.changes), plan.depth
    row.slashed_keeper, row.slashed_units = plan.slashed_keeper, plan.shares.slashed_units
    row.treasury_units, row.victims = plan.shares.treasury_units, dict(plan.shares.victims)
    row.released_units, row.wasted_units = sum(plan.released.values()), plan.wasted_units
    row.recovery, row.is_retried, row.proofs = action, is_retried, list(proofs)


def rollback_walk(
    row: Rollback, plan: CascadePlan, *, now: datetime, wake_at: datetime | None
) -> tuple[list[EventDraft], list[EventDraft]]:
    """Take a filled row through the phases of the applying transaction.

    Returns the events that come before those of the tasks, and the one that comes after them.
    """
    before: list[EventDraft] = []
    after: list[EventDraft] = []
    for value in apply_plan(_value_of(row), plan):
        row.phase = value.phase
        if value.phase is RollbackPhase.CLEANING:
            row.applied_at, row.wake_at = now, wake_at
            after.append(draft_of(row, value.phase, ("phase", "applied_at")))
        elif value.phase is RollbackPhase.DISMISSED:
            row.completed_at = now
            before.append(draft_of(row, value.phase, ("phase", "completed_at")))
        else:
            fields = _PLANNED if value.phase is RollbackPhase.PROPAGATING else ("phase",)
            before.append(draft_of(row, value.phase, fields))
    return before, after


def rollback_step(row: Rollback, step: Step, fields: Sequence[str]) -> EventDraft:
    """Note on a row, which is in the step's phase, that it was done."""
    phase = finish_step(_value_of(row), step).phase
    row.phase = phase
    return draft_of(row, phase, ("phase", *fields))


def item_values(row: Rollback, plan: CascadePlan) -> list[tuple[Any, ...]]:
    """The values of ITEM_COLUMNS for each changed task, leaves first."""
    return [
        (
            row.id,
            change.task,
            position,
            change.epoch,
            change.keeper,
            change.previous,
            change.target,
            change.released_units,
            change.slashed_units,
            change.wasted_units,
        )
        for position, change in enumerate(plan.changes)
    ]


def letter_new(row: Rollback, letter: DeadLetter, cause: Cause) -> tuple[DeadLetterRow, EventDraft]:
    """The dead letter of a rollback, and the event that says so."""
    made = DeadLetterRow(
        id=new_id(),
        rollback_id=row.id,
        task_id=letter.task,
        run_id=row.run_id,
        project_id=row.project_id,
        epoch=letter.epoch,
        stage=letter.stage,
        reason=letter.reason,
        error_code=cause.code,
        error_detail=letter.error,
        attempts=letter.attempts,
        dependents=letter.dependents,
        wasted_units=letter.wasted_units,
        is_final=letter.is_final,
        failed_at=letter.failed_at,
    )
    return made, letter_draft(made, "dead_letter.recorded", LETTER_FIELDS, trace_id=row.trace_id)


def letter_draft(
    letter: DeadLetterRow, event: str, fields: Iterable[str], *, trace_id: str, **facts: Any
) -> EventDraft:
    """An event about a dead letter."""
    return EventDraft(
        row=letter,
        type=event,
        payload={"set": letter.get_json_fields(fields), "task": to_wire("task", letter.task_id), **facts},
        run_id=letter.run_id,
        project_id=letter.project_id,
        trace_id=trace_id,
    )


def revocation_of(row: Rollback, aborted: Iterable[tuple[str, UUID, int]]) -> Revocation:
    """What is to be stopped after a rollback; `aborted` are (keeper, task, epoch)."""
    aborts: dict[str, list[tuple[str, int]]] = {}
    for keeper, task, epoch in aborted:
        if keeper:
            aborts.setdefault(keeper, []).append((to_wire("task", task), epoch))
    return Revocation(
        rollback=str(row),
        stamps=(stamp_of(row.root_id, row.epoch),),
        aborts={keeper: tuple(attempts) for keeper, attempts in aborts.items()},
        proofs=tuple(row.proofs),
    )


def draft_of(
    row: Rollback, phase: RollbackPhase, fields: Iterable[str], facts: Mapping[str, Any] | None = None
) -> EventDraft:
    """The event of a rollback that enters a phase."""
    return EventDraft(
        row=row,
        type=EVENTS[phase],
        payload={"set": row.get_json_fields(fields), **(facts or {})},
        run_id=row.run_id,
        project_id=row.project_id,
        trace_id=row.trace_id,
    )


def _value_of(row: Rollback) -> RollbackValue:
    return RollbackValue(
        id=row.id,
        root=row.root_id,
        epoch=row.epoch,
        reason=FailureReason(row.reason),
        detected_at=row.detected_at,
        phase=RollbackPhase(row.phase),
        size=row.size,
        detail=row.error_detail,
    )

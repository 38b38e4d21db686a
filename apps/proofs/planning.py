"""One pass over the pool of proofs: what is in it, what the rule decides, and what may still be written.

The pass reads without locks, decides, then locks the tasks of what changes without waiting for any, and
drops what moved meanwhile: whoever moved it pokes again. Passes take turns, so the limits hold exactly; who
writes proofs beside them (an answer, a signature, a cascade) only ever frees a place.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import connection
from django.db.models import Q

from apps.eventlog.locking import lock_rows
from apps.proofs.domain.deferral import (
    PROOF_TABLE,
    Change,
    DeferralLimits,
    DeferredProof,
    Effect,
    EffectKind,
    ProofStatus,
    abandon,
)
from apps.proofs.domain.deferral_plan import plan
from apps.proofs.models import UNFINISHED, Proof
from apps.proofs.rows import find_wake_at, rows_new, to_value
from apps.proofs.selectors import get_standing, is_live
from apps.tasks.data import TASK_TABLE, TaskStatus
from apps.tasks.models import Task

_S = ProofStatus
ATTEMPT_OVER: Final = "attempt_over"
#: these take a place in the pool whatever their task does
_HOLDING: Final = (_S.GENERATING, _S.SUBMITTING)
#: an advisory key beside the event store's
_POOL_KEY: Final = 0x464C << 48 | 1
#: what a pass reads of each proof and of its task: neither bytes nor specifications
_COLUMNS: Final = (
    *(field.name for field in Proof._meta.concrete_fields if field.name != "proof"),
    *(f"task__{name}" for name in ("status", "epoch", "is_failing", "stage_errors", "wake_at")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A proof as it was and as it is to be, with what follows from that.

    `is_new` where it is not stored yet, `is_resent` where the prover is to be asked again.
    """

    row: Proof
    task: Task
    before: DeferredProof
    after: DeferredProof
    effects: tuple[Effect, ...] = ()
    is_new: bool = False
    is_resent: bool = False

    @property
    def source(self) -> UUID | None:
        """The proof whose result it takes over."""
        named = (effect.source for effect in self.effects if effect.kind is EffectKind.SHARE)
        return next((UUID(hex=name) for name in named), None)


def lock_pool() -> None:
    """Let passes take turns until the transaction ends; on SQLite the transaction itself does."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_POOL_KEY])


def decide_pool(
    arrived: Sequence[Task], *, limits: DeferralLimits, now: datetime, ids: Collection[UUID] | None
) -> list[Decision]:
    """What a pass would change: of all proofs, or of those of some tasks. `arrived` are locked.

    Each arrived task is among it, also where its proof does not change. A proof that broke a pass is left out
    until its task is due again; one whose attempt is over is ended.
    """
    mine = {task.id: task for task in arrived}
    rows = _get_rows(mine, now)
    known = {(row.task_id, row.epoch) for row in rows}
    new = rows_new([task for task in arrived if (task.id, task.epoch) not in known], now=now)

    going_on: list[Proof] = []
    changes: list[Change] = []
    for row in (*rows, *new):
        if _is_over(row):
            changes.append(abandon(to_value(row), reason=ATTEMPT_OVER))
        elif row.task_id in mine or is_live(row, row.task) or row.status in _HOLDING:
            going_on.append(row)
    changes.extend(_plan(going_on, limits=limits, now=now))

    changed = {change.proof.id: change for change in changes}
    fresh = {row.id for row in new}
    decisions: list[Decision] = []
    for row in (*rows, *new):
        one = _decision(row, changed.get(row.id.hex), is_new=row.id in fresh, now=now)
        is_asked_for = ids is None or row.task_id in ids
        if is_asked_for and (row.task_id in mine or _matters(one, limits, now)):
            decisions.append(one)
    return decisions


def lock_decided(decisions: Sequence[Decision], arrived: Sequence[Task]) -> tuple[list[Task], list[Decision]]:
    """Lock the tasks of decisions without waiting, and keep the decisions that are still about what they saw.

    Their rows are read again, whole, and with them the results that are shared.
    """
    locked = {task.id: task for task in arrived}
    others = Task.objects.filter(pk__in={one.task.id for one in decisions} - locked.keys())
    locked |= {task.id: task for task in lock_rows(others)}
    wanted = {one.row.id for one in decisions if not one.is_new}
    wanted |= {one.source for one in decisions if one.source is not None}
    rows = {row.id: row for row in Proof.objects.filter(pk__in=wanted)}

    kept: list[Decision] = []
    for one in decisions:
        task, row = locked.get(one.task.id), one.row if one.is_new else rows.get(one.row.id)
        if task is None or row is None or to_value(row) != one.before or _facts(task) != _facts(one.task):
            continue
        if one.source is not None:
            row.proof = rows[one.source].proof
        kept.append(replace(one, row=row, task=task))
    return list(locked.values()), kept


def _get_rows(mine: Mapping[UUID, Task], now: datetime) -> list[Proof]:
    """The proofs that have not ended and those of the arrived attempts, with what matters of their tasks."""
    rows = Proof.objects.select_related("task").only(*_COLUMNS)
    found: list[Proof] = []
    for row in rows.filter(Q(status__in=UNFINISHED) | Q(task__in=mine)).order_by("pk"):
        row.task = mine.get(row.task_id, row.task)
        is_wanted = row.status in PROOF_TABLE.moves or row.epoch == row.task.epoch
        if is_wanted and not _is_set_aside(row.task, now):
            found.append(row)
    return found


def _plan(rows: Sequence[Proof], *, limits: DeferralLimits, now: datetime) -> list[Change]:
    """What the rule says of these, with the results that are still kept for what waits to be made."""
    values = [to_value(row) for row in rows]
    queued = {value.input_hash for value in values if value.status is _S.QUEUED}
    kept = Proof.objects.none()
    if queued:
        oldest = now - timedelta(seconds=limits.result_kept_seconds)
        kept = Proof.objects.filter(input_hash__in=queued, generated_at__gt=oldest).defer("proof")
    results = {row.id.hex: to_value(row) for row in kept} | {value.id: value for value in values}
    waiting = (value for value in values if value.status is not _S.SUBMITTING)
    confirmed, failed = get_standing(above for value in waiting for above in value.ancestors)

    found = plan(list(results.values()), now, limits, confirmed=confirmed, failed=failed)

    effects: defaultdict[str, list[Effect]] = defaultdict(list)
    for effect in found.effects:
        effects[effect.proof].append(effect)
    return [Change(proof=value, effects=tuple(effects[value.id])) for value in found.changed]


def _decision(row: Proof, change: Change | None, *, is_new: bool, now: datetime) -> Decision:
    before = to_value(row)
    is_late = row.resend_at is not None and row.resend_at <= now
    return Decision(
        row=row,
        task=row.task,
        before=before,
        after=before if change is None else change.proof,
        effects=() if change is None else change.effects,
        is_new=is_new,
        is_resent=change is None and is_late and is_live(row, row.task),
    )


def _matters(one: Decision, limits: DeferralLimits, now: datetime) -> bool:
    """Whether anything is to be written: a change, or a wake-up that is over and may be moved on."""
    if one.is_new or one.is_resent or one.after != one.before or one.effects:
        return True
    if is_live(one.row, one.task) and one.task.wake_at is not None and one.task.wake_at <= now:
        return True
    wake_at = find_wake_at(one.row, one.after, limits, now)
    return one.row.wake_at is not None and wake_at is not None and one.row.wake_at <= now < wake_at


def _is_over(row: Proof) -> bool:
    """Whether the attempt it is of has ended, or another one has been opened."""
    return row.epoch != row.task.epoch or TASK_TABLE.is_ending(TaskStatus(row.task.status))


def _is_set_aside(task: Task, now: datetime) -> bool:
    """Whether it broke a pass and is to be left alone for a while."""
    return bool(task.stage_errors and task.wake_at is not None and task.wake_at > now)


def _facts(task: Task) -> tuple[str, int, bool]:
    return task.status, task.epoch, task.is_failing

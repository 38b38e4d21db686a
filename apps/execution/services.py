"""Leases: given to the best keeper, answered by a receipt, or taken back.

The fence of every write here is (task, epoch, lease): whatever arrives late, twice or forged changes
no row. Lock order: tasks (by id), then their assignments.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from apps.eventlog.locking import lock_rows
from apps.eventlog.writing import rows_insert
from apps.execution.attempts import attempt_failed
from apps.execution.claims import (
    Refusal,
    lease_move,
    leases_write,
    lock_claims,
    parse_signed,
    require_claim,
)
from apps.execution.data import (
    AssignmentStatus,
    Receipt,
    acknowledgement_from_json,
    receipt_body,
    receipt_from_json,
)
from apps.execution.domain.receipt import RESULT_MEMBERS
from apps.execution.errors import ParentNotRecorded
from apps.execution.ground import Ground, depth_of, executed_follow
from apps.execution.leasing import lease_new, open_pool
from apps.execution.models import OPEN_STATUSES
from apps.execution.models import Assignment as AssignmentRow
from apps.execution.offers import offers_repeat, offers_start
from apps.execution.selectors import get_failed_keepers, get_held_tasks, is_assignment_due
from apps.keepers.models import Keeper
from apps.keepers.services import keepers_mark_assigned
from apps.kernel.errors import DomainError
from apps.kernel.outcome import Outcome
from apps.tasks.changes import TaskChanges
from apps.tasks.data import FailureReason, TaskStatus
from apps.tasks.models import Task
from apps.tasks.services import tasks_lock_due

#: a task whose eligible keepers all have their hands full lets others pass for this long
_NO_ROOM_SECONDS = 1
#: without an eligible keeper a task is looked at again after this
_NO_KEEPER_SECONDS = 5
#: a receipt that came before its parents' is asked for again after this
_EARLY_SECONDS = 1
_HELD = (TaskStatus.SCHEDULED, TaskStatus.EXECUTING)
_RETURNED = AssignmentStatus.RETURNED


def tasks_assign(*, now: datetime, limit: int, ids: Sequence[UUID] | None = None) -> Outcome:
    """Give admitted tasks without a lease to the best keepers, as many as those have room for.

    The others stay as they are until receipts make room; without an eligible keeper one is asked again soon.
    """
    pool = open_pool(now)
    if pool.keepers and not pool.room:
        return Outcome()
    with transaction.atomic():
        most = min(limit, pool.room or limit)
        tasks = tasks_lock_due([TaskStatus.SCHEDULED], now=now, limit=most, ids=ids)
        if not tasks:
            return Outcome()
        changes = TaskChanges(tasks, now=now)
        failed, held = get_failed_keepers(tasks), get_held_tasks(tasks)
        rows: list[AssignmentRow] = []
        for task in tasks:
            choice = None
            if task.id not in held:
                choice = pool.choose(task.spec, failed=failed.get(task.id, frozenset()), now=now)
            if choice is None:
                is_full = task.id not in held and pool.is_full_for(task.spec)
                seconds = _NO_ROOM_SECONDS if is_full else _NO_KEEPER_SECONDS
                changes.touch(task, wake_at=now + timedelta(seconds=seconds))
                continue
            row = lease_new(task, choice, now=now)
            rows.append(row)
            changes.touch(task, epoch=row.epoch, performer=row.keeper_id, wake_at=row.expires_at)
            facts = {"set": {"epoch": row.epoch, "performer": row.keeper_id}, "lease": row.id.hex}
            changes.tell(task, "task.assigned", {**facts, "score": choice.card["score"]})
        rows_insert(AssignmentRow, rows)
        changes.write()
        chosen = Keeper.objects.filter(address__in={row.keeper_id for row in rows}).only("address")
        keepers_mark_assigned({keeper.address: now for keeper in lock_rows(chosen, skip_locked=False)})
    by_id = {task.id: task for task in tasks}
    messages = offers_repeat(rows, by_id, changes.trace_of)
    return Outcome(taken=len(tasks), messages=tuple(messages))


def receipts_record(*, items: Sequence[Mapping[str, Any]], now: datetime) -> tuple[Outcome, list[Refusal]]:
    """Record what keepers returned; a receipt whose claim does not hold changes nothing.

    The same receipt again is a silent no-op. A good one makes its task `executed`; one that says or
    shows a failure ends the lease and signals the failure. One that stands on parents whose receipts are
    not here yet is refused and asked for again: parents come first.
    """
    receipts, refusals = parse_signed(items, receipt_from_json)
    with transaction.atomic():
        tasks, leases = lock_claims([receipt for _, receipt in receipts])
        changes = TaskChanges(list(tasks.values()), now=now)
        ground = Ground(tasks)
        answered: list[AssignmentRow] = []
        early: list[AssignmentRow] = []
        for index, receipt in sorted(receipts, key=lambda one: depth_of(tasks.get(one[1].task_id))):
            try:
                body = receipt_body(items[index])
                task, lease = require_claim(receipt, tasks, leases, repeated=body)
                if lease is not None and ground.is_early(receipt, task):
                    lease.resend_at = now + timedelta(seconds=_EARLY_SECONDS)
                    early.append(lease)
                    raise ParentNotRecorded(task=str(task))
            except DomainError as exc:
                refusals.append(Refusal(index=index, error=exc))
                continue
            if lease is None:
                continue
            judgement = ground.judge(receipt, task)
            lease.receipt = body
            if judgement.is_accepted:
                _end(lease, AssignmentStatus.RETURNED, "", now)
                _task_executed(changes, task, receipt)
            else:
                _end(lease, AssignmentStatus.FAILED, judgement.error_code, now)
                attempt_failed(changes, task, judgement.error_code, judgement.error_detail)
            answered.append(lease)
        leases_write([*answered, *early])
        messages = executed_follow(changes, [lease for lease in answered if lease.status == _RETURNED])
        changes.write()
        if answered and is_assignment_due(now):
            changes.pokes.add("assign")
    return Outcome(taken=len(receipts), messages=messages, pokes=frozenset(changes.pokes)), refusals


def acknowledgements_record(
    *, items: Sequence[Mapping[str, Any]], now: datetime
) -> tuple[Outcome, list[Refusal]]:
    """Note that keepers work on their leases: scheduled → executing."""
    acknowledgements, refusals = parse_signed(items, acknowledgement_from_json)
    with transaction.atomic():
        tasks, leases = lock_claims([item for _, item in acknowledgements])
        changes = TaskChanges(list(tasks.values()), now=now)
        noted: list[AssignmentRow] = []
        for index, item in acknowledgements:
            try:
                task, lease = require_claim(item, tasks, leases)
            except DomainError as exc:
                refusals.append(Refusal(index=index, error=exc))
                continue
            if lease is None or lease.status == AssignmentStatus.ACKNOWLEDGED:
                continue
            lease_move(lease, AssignmentStatus.ACKNOWLEDGED)
            lease.acknowledged_at = now
            noted.append(lease)
            facts = {"keeper": lease.keeper_id, "epoch": lease.epoch}
            changes.move(task, TaskStatus.EXECUTING, wake_at=lease.expires_at, facts=facts)
        leases_write(noted)
        changes.write()
    return Outcome(taken=len(acknowledgements)), refusals


def leases_sweep(*, now: datetime, limit: int, ids: Sequence[UUID] | None = None) -> Outcome:
    """Look at every open lease that is due: offer it again, start it, or take it back.

    An offer nobody acknowledged in time and a lease past its end are failures; the lease of a task that has
    moved on is revoked. Anything else is offered again, less and less often: the keeper answers a
    repeated offer with the receipt it has, or starts what a crash made it forget. What still awaits others
    is not offered; what they made startable meanwhile is.
    """
    due = AssignmentRow.objects.filter(status__in=OPEN_STATUSES, resend_at__lte=now)
    if ids is not None:
        due = due.filter(pk__in=ids)
    keys = list(due.order_by("resend_at").values_list("id", "task_id")[:limit])
    if not keys:
        return Outcome()
    offered: list[AssignmentRow] = []
    with transaction.atomic():
        tasks = {task.id: task for task in lock_rows(Task.objects.filter(pk__in={t for _, t in keys}))}
        held = [lease for lease, task in keys if task in tasks]
        leases = lock_rows(
            AssignmentRow.objects.filter(pk__in=held, status__in=OPEN_STATUSES, resend_at__lte=now),
            skip_locked=False,
        )
        changes = TaskChanges(list(tasks.values()), now=now)
        for lease in leases:
            task = tasks[lease.task_id]
            if task.epoch != lease.epoch or task.status not in _HELD:
                _end(lease, AssignmentStatus.REVOKED, f"task_{task.status}", now)
            elif task.is_failing:
                lease.resend_at = now + compute_pause(lease.offered_at, now)
            elif lease.status == AssignmentStatus.OFFERED and lease.acknowledge_by <= now:
                _end(lease, AssignmentStatus.EXPIRED, "not_acknowledged", now)
                changes.signal(task, FailureReason.NOT_ACKNOWLEDGED, "not_acknowledged")
            elif lease.expires_at <= now:
                _end(lease, AssignmentStatus.EXPIRED, "lease_expired", now)
                attempt_failed(changes, task, "lease_expired", reason=FailureReason.CLAIM_EXPIRED)
            else:
                lease.resend_at = now + compute_pause(lease.offered_at, now)
                offered.append(lease)
        parked = offers_start([lease for lease in offered if lease.is_parked], tasks, changes.trace_of)
        travelling = [lease for lease in offered if not lease.is_parked and lease not in parked.started]
        messages = (*parked.messages, *offers_repeat(travelling, tasks, changes.trace_of))
        leases_write(leases)
        changes.write()
    return Outcome(taken=len(keys), messages=messages, pokes=frozenset(changes.pokes))


def leases_revoke(*, task_ids: Collection[UUID], reason: str, now: datetime) -> None:
    """End the live leases on these tasks, which are locked: whatever their keepers say of them is late."""
    live = AssignmentRow.objects.filter(task__in=task_ids, status__in=OPEN_STATUSES)
    leases = lock_rows(live, skip_locked=False)
    for lease in leases:
        _end(lease, AssignmentStatus.REVOKED, reason, now)
    leases_write(leases)


def compute_pause(since: datetime, now: datetime) -> timedelta:
    """Until something unanswered since then is sent again: it doubles, so that a queue is not flooded."""
    return max(now - since, timedelta(seconds=settings.FOREKEEP.execution.resend_seconds))


def _task_executed(changes: TaskChanges, task: Task, receipt: Receipt) -> None:
    result = {name: receipt.result[name] for name in RESULT_MEMBERS if name in receipt.result}
    changed = {
        "result": result,
        "output_cid": result["output_cid"],
        "package_cid": result["package_cid"],
    }
    changes.move(task, TaskStatus.EXECUTED, wake_at=changes.now, changed=changed)
    changes.pokes.add("attest")


def _end(lease: AssignmentRow, status: AssignmentStatus, reason: str, now: datetime) -> None:
    lease_move(lease, status)
    lease.end_reason, lease.ended_at = reason, now

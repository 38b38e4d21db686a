"""Leases: given to the best keeper, answered by a receipt, or taken back.

The fence of every write here is (task, epoch, lease): whatever arrives late, twice or forged changes
no row. Lock order: tasks (by id), then their assignments.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from apps.eventlog.locking import lock_rows
from apps.eventlog.writing import rows_insert
from apps.execution.attempts import attempt_failed, task_reschedule
from apps.execution.claims import (
    Refusal,
    lease_move,
    leases_write,
    lock_claims,
    parse_signed,
    require_claim,
)
from apps.execution.data import (
    Assignment,
    AssignmentStatus,
    Receipt,
    acknowledgement_from_json,
    receipt_body,
    receipt_from_json,
)
from apps.execution.dispatcher import execute_message
from apps.execution.domain.receipt import RESULT_MEMBERS, judge_receipt
from apps.execution.domain.scoring import choose_keeper, compute_demand, compute_room, is_eligible
from apps.execution.models import OPEN_STATUSES
from apps.execution.models import Assignment as AssignmentRow
from apps.execution.selectors import (
    count_open_leases,
    get_backlogged_keepers,
    get_failed_keepers,
    get_held_tasks,
    is_assignment_due,
)
from apps.keepers.models import Keeper
from apps.keepers.selectors import get_assignable_keepers
from apps.keepers.services import keepers_mark_assigned
from apps.kernel.errors import DomainError
from apps.kernel.ids import new_id
from apps.kernel.outcome import Outcome
from apps.tasks.changes import TaskChanges
from apps.tasks.data import TaskStatus
from apps.tasks.models import Task
from apps.tasks.services import tasks_lock_due

#: a task whose eligible keepers all have their hands full lets others pass for this long
_NO_ROOM_SECONDS = 1
#: without an eligible keeper a task is looked at again after this
_NO_KEEPER_SECONDS = 5
_HELD = (TaskStatus.SCHEDULED, TaskStatus.EXECUTING)


def tasks_assign(*, now: datetime, limit: int, ids: Sequence[UUID] | None = None) -> Outcome:
    """Give admitted tasks without a lease to the best keepers, as many as those have room for.

    The others stay as they are until receipts make room; without an eligible keeper one is asked again soon.
    """
    offers: list[tuple[Assignment, str]] = []
    keepers = get_assignable_keepers()
    open_leases, backlogged = count_open_leases(), get_backlogged_keepers(now)
    ready = [keeper for keeper in keepers if keeper.address not in backlogged]
    room = sum(compute_room(keeper, open_leases[keeper.address]) for keeper in ready)
    if keepers and not room:
        return Outcome()
    with transaction.atomic():
        tasks = tasks_lock_due([TaskStatus.SCHEDULED], now=now, limit=min(limit, room or limit), ids=ids)
        if not tasks:
            return Outcome()
        changes = TaskChanges(tasks, now=now)
        assigned_at = {k.address: k.last_assigned_at for k in keepers if k.last_assigned_at}
        failed_before = get_failed_keepers(tasks)
        min_stake_units = settings.FOREKEEP.keepers.min_stake_units
        held = get_held_tasks(tasks)
        rows: list[AssignmentRow] = []
        for task in tasks:
            if task.id in held:
                changes.touch(task, wake_at=now + timedelta(seconds=_NO_KEEPER_SECONDS))
                continue
            failed = failed_before.get(task.id, frozenset())
            demand = compute_demand(task.spec, min_stake_units=min_stake_units, excluded=failed)
            choice = choose_keeper(ready, demand, open_leases, assigned_at)
            if choice is None and any(is_eligible(keeper, demand) for keeper in keepers):
                changes.touch(task, wake_at=now + timedelta(seconds=_NO_ROOM_SECONDS))
                continue
            if choice is None and failed:
                demand = compute_demand(task.spec, min_stake_units=min_stake_units, excluded=frozenset())
                choice = choose_keeper(ready, demand, open_leases, assigned_at)
            if choice is None:
                changes.touch(task, wake_at=now + timedelta(seconds=_NO_KEEPER_SECONDS))
                continue
            open_leases[choice.address] += 1
            assigned_at[choice.address] = now
            row = _lease_new(task, choice.address, choice.card, now)
            rows.append(row)
            changes.touch(task, epoch=row.epoch, performer=row.keeper_id, wake_at=row.expires_at)
            facts = {"set": {"epoch": row.epoch, "performer": row.keeper_id}, "lease": row.id.hex}
            changes.tell(task, "task.assigned", {**facts, "score": choice.card["score"]})
            offers.append((_to_value(row, task), changes.trace_of(task)))
        rows_insert(AssignmentRow, rows)
        changes.write()
        chosen = Keeper.objects.filter(address__in={row.keeper_id for row in rows}).only("address")
        keepers_mark_assigned({keeper.address: now for keeper in lock_rows(chosen, skip_locked=False)})
    return Outcome(taken=len(tasks), messages=tuple(execute_message(*offer) for offer in offers))


def receipts_record(*, items: Sequence[Mapping[str, Any]], now: datetime) -> tuple[Outcome, list[Refusal]]:
    """Record what keepers returned; a receipt whose claim does not hold changes nothing.

    The same receipt again is a silent no-op. A good one makes its task `executed`; one that says or
    shows a failure ends the lease and either schedules another attempt or fails the task.
    """
    receipts, refusals = parse_signed(items, receipt_from_json)
    with transaction.atomic():
        tasks, leases = lock_claims([receipt for _, receipt in receipts])
        changes = TaskChanges(list(tasks.values()), now=now)
        answered: list[AssignmentRow] = []
        for index, receipt in receipts:
            try:
                body = receipt_body(items[index])
                task, lease = require_claim(receipt, tasks, leases, repeated=body)
            except DomainError as exc:
                refusals.append(Refusal(index=index, error=exc))
                continue
            if lease is None:
                continue
            judgement = judge_receipt(receipt, task.spec)
            lease.receipt = body
            if judgement.is_accepted:
                _end(lease, AssignmentStatus.RETURNED, "", now)
                _task_executed(changes, task, receipt)
            else:
                _end(lease, AssignmentStatus.FAILED, judgement.error_code, now)
                attempt_failed(changes, task, judgement.error_code, judgement.error_detail)
            answered.append(lease)
        leases_write(answered)
        changes.write()
        if answered and is_assignment_due(now):
            changes.pokes.add("assign")
    return Outcome(taken=len(receipts), pokes=frozenset(changes.pokes)), refusals


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
    """Look at every open lease that is due: offer it again, or take it back.

    An offer nobody acknowledged in time and a lease past its end go back to be assigned; the lease of
    a task that has moved on is revoked. Anything else is offered again, less and less often: the keeper
    answers a repeated offer with the receipt it has, or starts what a crash made it forget.
    """
    due = AssignmentRow.objects.filter(status__in=OPEN_STATUSES, resend_at__lte=now)
    if ids is not None:
        due = due.filter(pk__in=ids)
    keys = list(due.order_by("resend_at").values_list("id", "task_id")[:limit])
    if not keys:
        return Outcome()
    offers: list[tuple[Assignment, str]] = []
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
            elif lease.status == AssignmentStatus.OFFERED and lease.acknowledge_by <= now:
                _end(lease, AssignmentStatus.EXPIRED, "not_acknowledged", now)
                task_reschedule(changes, task, "not_acknowledged", failures=task.failures)
            elif lease.expires_at <= now:
                _end(lease, AssignmentStatus.EXPIRED, "lease_expired", now)
                attempt_failed(changes, task, "lease_expired")
            else:
                lease.resend_at = now + compute_pause(lease.offered_at, now)
                offers.append((_to_value(lease, task), changes.trace_of(task)))
        leases_write(leases)
        changes.write()
    messages = tuple(execute_message(*offer) for offer in offers)
    return Outcome(taken=len(keys), messages=messages, pokes=frozenset(changes.pokes))


def compute_pause(since: datetime, now: datetime) -> timedelta:
    """Until something unanswered since then is sent again: it doubles, so that a queue is not flooded."""
    return max(now - since, timedelta(seconds=settings.FOREKEEP.execution.resend_seconds))


def _lease_new(task: Task, keeper: str, card: dict[str, Any], now: datetime) -> AssignmentRow:
    execution = settings.FOREKEEP.execution
    seconds = task.spec["limits"]["deadline_seconds"] + execution.lease_margin_seconds
    return AssignmentRow(
        id=new_id(),
        task=task,
        epoch=task.epoch + 1,
        keeper_id=keeper,
        status=AssignmentStatus.OFFERED,
        offered_at=now,
        acknowledge_by=now + timedelta(seconds=execution.acknowledge_seconds),
        expires_at=now + timedelta(seconds=seconds),
        resend_at=now + timedelta(seconds=execution.resend_seconds),
        score_card=card,
    )


def _to_value(lease: AssignmentRow, task: Task) -> Assignment:
    return Assignment(
        task_id=task.id,
        run_id=task.run_id,
        epoch=lease.epoch,
        lease=lease.id,
        keeper=lease.keeper_id,
        expires_at=int(lease.expires_at.timestamp()),
        spec=task.spec,
    )


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

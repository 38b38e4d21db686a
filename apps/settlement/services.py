"""Attested rounds go to the hub as batches; what the hub says k blocks deep makes tasks final.

A submission is signed and stored in the transaction that moves its tasks, and sent after it: whatever
dies in between, the stored bytes are sent again, and the hub takes them once. Lock order: jobs whose
storage is written, tasks, batches, then everything `TaskChanges` locks.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from apps.chains.data import OutboundStatus
from apps.chains.domain.settlement_abi import proof_of
from apps.chains.services import outbound_broadcast, outbound_poll, outbound_sign
from apps.eventlog.data import EventDraft
from apps.eventlog.locking import lock_rows
from apps.eventlog.services import rows_create, rows_write
from apps.eventlog.writing import rows_insert, rows_update
from apps.execution.attempts import attempt_failed
from apps.kernel.hashing import to_hex
from apps.kernel.ids import new_id
from apps.kernel.outcome import Outcome
from apps.proofs.services import proofs_confirm, proofs_fail_submission, proofs_mark_signed
from apps.settlement.data import BATCH_TABLE, SETTLEMENT_TABLE, BatchStatus, SettlementStatus
from apps.settlement.domain.items import PROOF_REJECTED, HubVerdict
from apps.settlement.models import BATCH_FIELDS, Batch, Settlement
from apps.settlement.payments import Payments
from apps.settlement.selectors import ENDED, SUBMITTABLE, get_due_tasks, get_ended_batches, get_verdicts
from apps.settlement.storing import get_storage_writes
from apps.settlement.submitting import (
    Submission,
    circuit_of,
    gather_submissions,
    item_of,
    split_by_ground,
)
from apps.speculation.selectors import get_tasks_to_ask_again
from apps.speculation.services import commitments_confirm, commitments_lock_open
from apps.storage.services import storage_apply, storage_lock
from apps.tasks.changes import TaskChanges
from apps.tasks.data import FailureReason, TaskStatus
from apps.tasks.models import Task
from apps.tasks.services import tasks_wake

#: a submitted task is looked at again this late at the latest; its batch is what really wakes it
_SUBMITTED_SECONDS = 3_600
_SETTLEMENT_FIELDS = (
    "status",
    "tx_hash",
    "block_number",
    "block_hash",
    "gas_units",
    "fee_units",
)


def batches_submit(*, now: datetime, limit: int, ids: Sequence[UUID] | None = None) -> Outcome:
    """Sign hub transactions for results whose ground is final and move their tasks to `submitted`.

    A result without a proof whose ancestors are not all confirmed is held back until they are.
    """
    due = get_due_tasks(now, limit, ids)
    if not due:
        return Outcome()
    with transaction.atomic():
        rows = Task.objects.filter(pk__in=due, status__in=SUBMITTABLE, is_failing=False)
        tasks = lock_rows(rows)
        if not tasks:
            return Outcome()
        changes = TaskChanges(tasks, now=now)
        ready, held = split_by_ground(tasks)
        for task in held:
            _hold_back(task, changes)
        submissions = gather_submissions(ready)
        batches = [_batch_new(one, now) for one in submissions]
        settlements: list[Settlement] = []
        for one, batch in zip(submissions, batches, strict=True):
            settlements.extend(_settlements_new(one, batch))
            for task in one.tasks:
                wake_at = now + timedelta(seconds=_SUBMITTED_SECONDS)
                facts = {"batch": str(batch), "round": str(one.round)}
                changes.move(task, TaskStatus.SUBMITTED, wake_at=wake_at, facts=facts)
        requests = [one.build_request() for one in submissions]
        for batch, outbound in zip(batches, outbound_sign(requests), strict=True):
            batch.outbound = outbound
        proofs_mark_signed([task for one in submissions if one.circuit for task in one.tasks], now=now)
        rows_create(batches, [_submitted_event(batch) for batch in batches], now=now)
        rows_insert(Settlement, settlements, is_key_given=False)
        changes.write()
    return Outcome(taken=len(tasks), pokes=frozenset({"broadcast"}) if batches else frozenset())


def batches_broadcast(*, now: datetime, limit: int, ids: Sequence[Any] | None = None) -> Outcome:
    """Send what is signed, and send again what no block has yet."""
    del limit, ids
    sent = outbound_broadcast(now)
    return Outcome(taken=0, pokes=frozenset({"confirm"}) if sent else frozenset())


def batches_confirm(*, now: datetime, limit: int, ids: Sequence[UUID] | None = None) -> Outcome:
    """Look at the chain, and end every batch whose transaction is deep enough.

    Each task the hub recorded is confirmed: fee, rewards and points post, what its script wants kept is
    kept if nothing else was meanwhile, its children wake. One whose
    action reverted, or whose transaction failed as a whole, is attested again, a bounded number of times.
    """
    outbound_poll(now)
    ended = get_ended_batches(limit=limit, ids=ids)
    if not ended:
        return Outcome()
    with transaction.atomic():
        writes = get_storage_writes(ended)
        jobs = storage_lock({write.job_id for write in writes.values()})
        mine = Settlement.objects.filter(batch__in=ended, status=SettlementStatus.SUBMITTED)
        tasks = {
            task.id: task
            for task in lock_rows(Task.objects.filter(pk__in=mine.values("task_id")), skip_locked=False)
        }
        batches = {
            batch.id: batch
            for batch in lock_rows(
                Batch.objects.filter(
                    pk__in=ended, status=BatchStatus.SUBMITTED, outbound__status__in=ENDED
                ).select_related("outbound")
            )
        }
        changes = TaskChanges(list(tasks.values()), now=now)
        verdicts = {batch.id: get_verdicts(batch.outbound) for batch in batches.values()}
        settlements = list(mine.filter(batch__in=batches).order_by("batch_id", "position"))
        settled: list[Settlement] = []
        void: defaultdict[str, list[Task]] = defaultdict(list)
        for settlement in settlements:
            batch, task = batches[settlement.batch_id], tasks[settlement.task_id]
            verdict = verdicts[batch.id].get(task.id.int, HubVerdict(is_settled=False, reason="refused"))
            if verdict.is_settled:
                _settle(settlement, batch, task, changes)
                settled.append(settlement)
            else:
                _void(settlement, task, verdict.reason, changes)
                void[verdict.reason].append(task)
        final = [tasks[settlement.task_id] for settlement in settled]
        _end_proofs(final, void, now)
        commitments = list(commitments_lock_open([task.id for task in final]).values())
        payments = Payments(changes.lock())
        payments.postings.extend(commitments_confirm(commitments, now=now))
        for settlement in settled:
            _pay(settlement, batches[settlement.batch_id], tasks[settlement.task_id], payments, changes)
        changes.settle(spent=payments.spent, postings=payments.postings)
        payments.lock_keepers()
        storage_apply([writes[task.id] for task in final if task.id in writes], jobs, now=now)
        changes.write()
        payments.record_outcomes()
        epochs = [settlement.epoch for settlement in settlements]
        rows_update(Settlement, settlements, _SETTLEMENT_FIELDS, epochs, guard_column="epoch")
        _end_batches(list(batches.values()), now)
    if commitments:
        tasks_wake(get_tasks_to_ask_again(), now=now)
        changes.pokes.add("admit")
    figures = (
        ("speculation_confirmed", sum(task.is_ahead for task in final)),
        ("stake_released_units", sum(row.bond_units for row in commitments)),
    )
    return Outcome(taken=len(settlements), pokes=frozenset(changes.pokes), figures=figures)


def _settle(settlement: Settlement, batch: Batch, task: Task, changes: TaskChanges) -> None:
    outbound = batch.outbound
    _move_settlement(settlement, SettlementStatus.SETTLED)
    settlement.tx_hash, settlement.block_hash = outbound.tx_hash, outbound.block_hash
    settlement.block_number = outbound.block_number
    facts = {
        "batch": str(batch),
        "tx_hash": outbound.tx_hash,
        "block_number": outbound.block_number,
        "block_hash": outbound.block_hash,
        "proof_of_task": settlement.proof_of_task,
    }
    changes.move(task, TaskStatus.CONFIRMED, facts=facts)


def _pay(settlement: Settlement, batch: Batch, task: Task, payments: Payments, changes: TaskChanges) -> None:
    fee = payments.pay(
        task,
        attesters=batch.attesters,
        gas_used=-(-batch.outbound.gas_used // batch.size),
        gas_price_wei=batch.outbound.effective_gas_price,
    )
    settlement.gas_units, settlement.fee_units = fee.gas_units, fee.total_units
    changes.amend(task, {"fee_units": str(fee.total_units)})


def _hold_back(task: Task, changes: TaskChanges) -> None:
    """Its ancestors are not all confirmed: the confirmation of the last of its parents wakes it."""
    later = changes.now + timedelta(seconds=settings.FOREKEEP.speculation.waiting_seconds)
    if task.status == TaskStatus.ATTESTED:
        changes.move(task, TaskStatus.WAITING_ANCESTORS, wake_at=later)
    else:
        changes.touch(task, wake_at=later)


def _void(settlement: Settlement, task: Task, reason: str, changes: TaskChanges) -> None:
    """The hub did not record it: a committee is asked again (things may have moved); a bad proof fails."""
    _move_settlement(settlement, SettlementStatus.VOID)
    if reason == PROOF_REJECTED:
        attempt_failed(changes, task, reason, reason=FailureReason.PROOF_REJECTED)
        return
    if task.resubmissions >= settings.FOREKEEP.settlement.resubmit_max:
        changes.signal(task, FailureReason.SUBMISSION_REFUSED, reason)
        return
    changed = {"resubmissions": task.resubmissions + 1, "is_solo": True}
    facts = {"reason": reason}
    changes.move(
        task, TaskStatus.EXECUTED, wake_at=changes.now, changed=changed, facts=facts, event="task.resubmitted"
    )
    changes.pokes.add("attest")


def _end_proofs(final: Sequence[Task], void: Mapping[str, Sequence[Task]], now: datetime) -> None:
    """Proofs of what the chain settled are confirmed; others are kept for another time, or lost."""
    proofs_confirm([task for task in final if circuit_of(task)], now=now)
    for reason, tasks in void.items():
        proved = [task for task in tasks if circuit_of(task)]
        proofs_fail_submission(proved, reason=reason, is_curable=reason != PROOF_REJECTED, now=now)


def _move_settlement(settlement: Settlement, target: SettlementStatus) -> None:
    current = SettlementStatus(settlement.status)
    settlement.status = SETTLEMENT_TABLE.move(id=str(settlement.pk), current=current, target=target)


def _end_batches(batches: Sequence[Batch], now: datetime) -> None:
    drafts: list[EventDraft] = []
    for batch in batches:
        outbound = batch.outbound
        is_good = outbound.status == OutboundStatus.CONFIRMED
        target = BatchStatus.CONFIRMED if is_good else BatchStatus.FAILED
        batch.status = BATCH_TABLE.move(id=str(batch), current=BatchStatus(batch.status), target=target)
        batch.confirmed_at = now
        payload = {
            "set": {"status": str(batch.status), "confirmed_at": now},
            "tx_hash": outbound.tx_hash,
            "block_number": outbound.block_number,
            "gas_used": outbound.gas_used,
        }
        drafts.append(
            EventDraft(row=batch, type=f"batch.{batch.status}", payload=payload, trace_id=batch.trace_id)
        )
    rows_write(batches, ("status", "confirmed_at"), drafts, now=now)


def _batch_new(one: Submission, now: datetime) -> Batch:
    return Batch(
        id=new_id(),
        round=one.round,
        root=one.round.root,
        size=len(one.tasks),
        attesters=list(one.signers),
        aggregated_signature=to_hex(one.signature),
        status=BatchStatus.SUBMITTED,
        submitted_at=now,
        trace_id=one.round.trace_id,
    )


def _settlements_new(one: Submission, batch: Batch) -> list[Settlement]:
    return [
        Settlement(
            batch=batch,
            task=task,
            epoch=task.epoch,
            position=position,
            proof_of_task=to_hex(proof_of(item_of(task, one.circuit))),
            status=SettlementStatus.SUBMITTED,
        )
        for task, position in zip(one.tasks, one.positions, strict=True)
    ]


def _submitted_event(batch: Batch) -> EventDraft:
    return EventDraft(
        row=batch,
        type="batch.submitted",
        payload={"set": batch.get_json_fields(BATCH_FIELDS), "tx_hash": batch.outbound.tx_hash},
        trace_id=batch.trace_id,
    )

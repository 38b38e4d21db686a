"""Attested rounds go to the hub as batches; what the hub says k blocks deep makes tasks final.

A submission is signed and stored in the transaction that moves its tasks, and sent after it: whatever
dies in between, the stored bytes are sent again, and the hub takes them once. Lock order: tasks,
batches, then everything `TaskChanges` locks.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from apps.attestation.data import ItemVerdict, RoundStatus
from apps.attestation.models import Ballot, Round, RoundItem
from apps.chains.data import CallRequest, OutboundStatus, SettlementItem
from apps.chains.domain.settlement_abi import compute_gas_limit, encode_batch, sort_attesters
from apps.chains.services import outbound_broadcast, outbound_poll, outbound_sign
from apps.eventlog.data import EventDraft
from apps.eventlog.locking import lock_rows
from apps.eventlog.services import rows_create, rows_write
from apps.eventlog.writing import rows_insert, rows_update
from apps.execution.dispatcher import get_domain
from apps.kernel.bls import aggregate
from apps.kernel.hashing import from_hex, to_hex
from apps.kernel.ids import new_id
from apps.kernel.outcome import Outcome
from apps.settlement.data import BATCH_TABLE, SETTLEMENT_TABLE, BatchStatus, SettlementStatus
from apps.settlement.domain.items import HubVerdict, build_item
from apps.settlement.models import BATCH_FIELDS, Batch, Settlement
from apps.settlement.payments import Payments
from apps.settlement.selectors import ENDED, get_ended_batches, get_verdicts
from apps.tasks.changes import TaskChanges
from apps.tasks.data import TaskStatus
from apps.tasks.models import Task

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
    """Sign one hub transaction per unanimous round and move its tasks to `submitted`."""
    attested = Task.objects.filter(status=TaskStatus.ATTESTED, wake_at__lte=now)
    if ids is not None:
        attested = attested.filter(pk__in=ids)
    round_ids = list(
        Round.objects.filter(
            status=RoundStatus.UNANIMOUS, batch__isnull=True, items__task__in=attested.order_by("pk")[:limit]
        )
        .order_by("pk")
        .values_list("pk", flat=True)
        .distinct()
    )
    if not round_ids:
        return Outcome()
    with transaction.atomic():
        members = RoundItem.objects.filter(round_id__in=round_ids, verdict=ItemVerdict.VALID)
        tasks = {
            task.id: task
            for task in lock_rows(
                Task.objects.filter(pk__in=members.values("task_id"), status=TaskStatus.ATTESTED)
            )
        }
        rounds = lock_rows(Round.objects.filter(pk__in=round_ids, batch__isnull=True))
        changes = TaskChanges(list(tasks.values()), now=now)
        groups: defaultdict[UUID, list[Task]] = defaultdict(list)
        proofs: dict[tuple[UUID, UUID], str] = {}
        for item in members.order_by("round_id", "position"):
            if item.task_id in tasks:
                groups[item.round_id].append(tasks[item.task_id])
                proofs[item.round_id, item.task_id] = item.proof_of_task
        signatures = _signatures_of(rounds)
        batches: list[Batch] = []
        settlements: list[Settlement] = []
        requests: list[CallRequest] = []
        for row in rounds:
            group = groups[row.id]
            if len(group) != row.size:
                continue
            signers = sort_attesters(list(signatures[row.id]))
            signature = aggregate([signatures[row.id][address] for address in signers])
            items = [_item_of(task) for task in group]
            requests.append(_request(row, items, signature, signers))
            batch = _batch_new(row, signers, signature, now)
            batches.append(batch)
            settlements.extend(_settlements_new(batch, group, proofs))
            for task in group:
                wake_at = now + timedelta(seconds=_SUBMITTED_SECONDS)
                facts = {"batch": str(batch), "round": str(row)}
                changes.move(task, TaskStatus.SUBMITTED, wake_at=wake_at, facts=facts)
        for batch, outbound in zip(batches, outbound_sign(requests), strict=True):
            batch.outbound = outbound
        rows_create(batches, [_submitted_event(batch) for batch in batches], now=now)
        rows_insert(Settlement, settlements, is_key_given=False)
        changes.write()
    taken = sum(batch.size for batch in batches)
    return Outcome(taken=taken, pokes=frozenset({"broadcast"}) if batches else frozenset())


def batches_broadcast(*, now: datetime, limit: int, ids: Sequence[Any] | None = None) -> Outcome:
    """Send what is signed, and send again what no block has yet."""
    del limit, ids
    sent = outbound_broadcast(now)
    return Outcome(taken=0, pokes=frozenset({"confirm"}) if sent else frozenset())


def batches_confirm(*, now: datetime, limit: int, ids: Sequence[UUID] | None = None) -> Outcome:
    """Look at the chain, and end every batch whose transaction is deep enough.

    Each task the hub recorded is confirmed: fee, rewards and points post, its children wake. One whose
    action reverted, or whose transaction failed as a whole, is attested again, a bounded number of times.
    """
    outbound_poll(now)
    ended = get_ended_batches(limit=limit, ids=ids)
    if not ended:
        return Outcome()
    with transaction.atomic():
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
        for settlement in settlements:
            batch, task = batches[settlement.batch_id], tasks[settlement.task_id]
            verdict = verdicts[batch.id].get(task.id.int, HubVerdict(is_settled=False, reason="refused"))
            if verdict.is_settled:
                _settle(settlement, batch, task, changes)
                settled.append(settlement)
            else:
                _void(settlement, task, verdict.reason, changes)
        payments = Payments(changes.lock())
        for settlement in settled:
            _pay(settlement, batches[settlement.batch_id], tasks[settlement.task_id], payments, changes)
        changes.settle(spent=payments.spent, postings=payments.postings)
        payments.lock_keepers()
        changes.write()
        payments.record_outcomes()
        epochs = [settlement.epoch for settlement in settlements]
        rows_update(Settlement, settlements, _SETTLEMENT_FIELDS, epochs, guard_column="epoch")
        _end_batches(list(batches.values()), now)
    return Outcome(taken=len(settlements), pokes=frozenset(changes.pokes))


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


def _void(settlement: Settlement, task: Task, reason: str, changes: TaskChanges) -> None:
    """The hub did not record it: ask a committee again, for the next submission needs its own root."""
    _move_settlement(settlement, SettlementStatus.VOID)
    if task.resubmissions >= settings.FOREKEEP.settlement.resubmit_max:
        changes.fail(task, reason)
        return
    changed = {"resubmissions": task.resubmissions + 1, "is_solo": True}
    facts = {"reason": reason}
    changes.move(
        task, TaskStatus.EXECUTED, wake_at=changes.now, changed=changed, facts=facts, event="task.resubmitted"
    )
    changes.pokes.add("attest")


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


def _signatures_of(rounds: Sequence[Round]) -> Mapping[UUID, dict[str, bytes]]:
    """Round → the signature over its root of each attester that agreed with everything."""
    found: defaultdict[UUID, dict[str, bytes]] = defaultdict(dict)
    for ballot in Ballot.objects.filter(round__in=rounds, is_unanimous=True):
        found[ballot.round_id][ballot.attester] = from_hex(ballot.signature)
    return found


def _item_of(task: Task) -> SettlementItem:
    return build_item(
        task_id=task.id.int, epoch=task.epoch, performer=task.performer, result=task.result or {}
    )


def _request(
    row: Round, items: Sequence[SettlementItem], signature: bytes, signers: Sequence[str]
) -> CallRequest:
    return CallRequest(
        to=get_domain().contract,
        data=encode_batch(items, signature, signers),
        gas_limit=compute_gas_limit(items, len(signers)),
        purpose="settle",
        trace_id=row.trace_id,
    )


def _batch_new(row: Round, signers: Sequence[str], signature: bytes, now: datetime) -> Batch:
    return Batch(
        id=new_id(),
        round=row,
        root=row.root,
        size=row.size,
        attesters=list(signers),
        aggregated_signature=to_hex(signature),
        status=BatchStatus.SUBMITTED,
        submitted_at=now,
        trace_id=row.trace_id,
    )


def _settlements_new(
    batch: Batch, group: Sequence[Task], proofs: Mapping[tuple[UUID, UUID], str]
) -> list[Settlement]:
    return [
        Settlement(
            batch=batch,
            task=task,
            epoch=task.epoch,
            position=position,
            proof_of_task=proofs[batch.round_id, task.id],
            status=SettlementStatus.SUBMITTED,
        )
        for position, task in enumerate(group)
    ]


def _submitted_event(batch: Batch) -> EventDraft:
    return EventDraft(
        row=batch,
        type="batch.submitted",
        payload={"set": batch.get_json_fields(BATCH_FIELDS), "tx_hash": batch.outbound.tx_hash},
        trace_id=batch.trace_id,
    )

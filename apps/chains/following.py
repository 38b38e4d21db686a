"""Writing down what one look at the chain showed: the rows' verdicts, the chain's state, what was lost."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q

from apps.chains.client import Observation
from apps.chains.data import OUTBOUND_TABLE, Fees, OutboundStatus, Receipt
from apps.chains.domain.sending import SendOutcome, compute_bumped_fees
from apps.chains.domain.tracking import Effect, Sighting, Tracked, TrackingLimits, Verdict, decide
from apps.chains.keys import AccountKey
from apps.chains.models import ChainState, Outbound, Sender
from apps.chains.signing import SIGNED_FIELDS, sign_row_again
from apps.eventlog.locking import lock_rows
from apps.eventlog.writing import rows_update

_log = structlog.get_logger("forekeep.chains")

_WEI_PER_GWEI: Final = 10**9
_AT_REST: Final = (OutboundStatus.CONFIRMED, OutboundStatus.FAILED, OutboundStatus.DROPPED)
_MOVED_FIELDS: Final = (
    "status",
    "wake_at",
    "confirmed_at",
    "reorg_count",
    "block_number",
    "block_hash",
    "version",
)
_RECEIPT_FIELDS: Final = (
    "status",
    "wake_at",
    "tx_hash",
    "former_hashes",
    "block_number",
    "block_hash",
    "success",
    "gas_used",
    "effective_gas_price",
    "logs",
    "mined_at",
    "last_error",
    "version",
)
_BUMP_FIELDS: Final = (
    "status",
    "wake_at",
    "send_count",
    "last_error",
    "former_hashes",
    "version",
    *SIGNED_FIELDS,
)


def follow(
    rows: Sequence[Outbound],
    senders: Sequence[Sender],
    seen: Observation,
    *,
    keys: Mapping[str, AccountKey],
    now: datetime,
) -> list[Outbound]:
    """Apply the observation to the claimed rows, in one transaction; return those whose status moved."""
    former = {row.pk: row.status for row in rows}
    effects: dict[Effect, list[Outbound]] = {effect: [] for effect in Effect}
    for row in rows:
        receipt = _receipt_of(row, seen)
        verdict = _judge(row, receipt, seen, now)
        if verdict.effect is Effect.BUMP and row.sender.address not in keys:
            verdict = Verdict(status=OutboundStatus.SIGNED)
        _apply(row, verdict, receipt, now)
        effects[verdict.effect].append(row)

    with transaction.atomic():
        _write_bumped(effects[Effect.BUMP], seen.fees, keys)
        _write(effects[Effect.RECORD], _RECEIPT_FIELDS)
        _write([*effects[Effect.NONE], *effects[Effect.FORGET]], _MOVED_FIELDS)
        state = _observe_state(senders, seen, now)
        lost = _take_back(senders, seen, state, now) if state is not None else []
    moved = [row for row in rows if row.status != former[row.pk]]
    return [*moved, *lost]


def _receipt_of(row: Outbound, seen: Observation) -> Receipt | None:
    """The receipt of whichever price of this nonce was mined."""
    found = (seen.receipts.get(tx_hash) for tx_hash in row.all_hashes)
    return next((receipt for receipt in found if receipt is not None), None)


def _judge(row: Outbound, receipt: Receipt | None, seen: Observation, now: datetime) -> Verdict:
    chain = settings.FOREKEEP.chain
    known_hash = None if row.block_number is None else seen.block_hashes.get(row.block_number)
    return decide(
        Tracked(
            status=OutboundStatus(row.status),
            nonce=row.nonce,
            block_number=row.block_number,
            block_hash=row.block_hash,
            is_void=bool(row.void_reason),
            is_underpriced=row.last_error.startswith(SendOutcome.FEE_TOO_LOW),
            send_count=row.send_count,
            created_at=row.created_at,
            broadcast_at=row.broadcast_at,
        ),
        Sighting(
            receipt=receipt,
            known_block_hash=known_hash,
            head_number=seen.head.number,
            mined_nonces=seen.nonces[row.sender.address],
        ),
        TrackingLimits(
            confirmations=chain.confirmations,
            resend_seconds=chain.resend_seconds,
            drop_after_seconds=chain.drop_after_seconds,
            bump_after_sends=chain.bump_after_sends,
        ),
        now,
    )


def _apply(row: Outbound, verdict: Verdict, receipt: Receipt | None, now: datetime) -> None:
    current = OutboundStatus(row.status)
    if verdict.status is not current:
        row.status = OUTBOUND_TABLE.move(id=str(row.pk), current=current, target=verdict.status)
    row.wake_at = _wake_at(verdict, now)
    if verdict.effect is Effect.RECORD and receipt is not None:
        _record(row, receipt, now)
    elif verdict.effect is Effect.FORGET:
        _log.warning("outbound.reorged", outbound=str(row.pk), block_number=row.block_number)
        _forget(row)
    if verdict.status in _AT_REST:
        row.confirmed_at = now


def _wake_at(verdict: Verdict, now: datetime) -> datetime | None:
    if verdict.status in _AT_REST:
        return None
    if verdict.status is OutboundStatus.SIGNED or verdict.effect is Effect.RECORD:
        return now
    return now + timedelta(seconds=settings.FOREKEEP.chain.poll_seconds)


def _record(row: Outbound, receipt: Receipt, now: datetime) -> None:
    if receipt.tx_hash != row.tx_hash:
        row.former_hashes = [h for h in row.all_hashes if h != receipt.tx_hash]
        row.tx_hash = receipt.tx_hash
    row.block_number, row.block_hash = receipt.block_number, receipt.block_hash
    row.success, row.gas_used = receipt.is_success, receipt.gas_used
    row.effective_gas_price = receipt.effective_gas_price_wei
    row.logs = [log.to_json() for log in receipt.logs if log.address == row.to]
    row.mined_at, row.last_error = now, ""


def _forget(row: Outbound) -> None:
    row.block_number, row.block_hash = None, ""
    row.reorg_count += 1


def _write_bumped(rows: Sequence[Outbound], fees: Fees, keys: Mapping[str, AccountKey]) -> None:
    """Sign again at a higher price. The bytes were left out of the claim; fetch them for these few."""
    if not rows:
        return
    cap_wei = settings.FOREKEEP.chain.max_fee_gwei * _WEI_PER_GWEI
    data = dict(Outbound.objects.filter(pk__in=[row.pk for row in rows]).values_list("pk", "data"))
    for row in rows:
        row.data = data[row.pk]
        offered = Fees(max_fee_wei=row.max_fee_wei, priority_fee_wei=row.priority_fee_wei)
        sign_row_again(row, keys[row.sender.address], compute_bumped_fees(offered, fees, cap_wei))
        row.send_count, row.last_error = 0, ""
        _log.warning("outbound.repriced", outbound=str(row.pk), max_fee_wei=row.max_fee_wei)
    _write(rows, _BUMP_FIELDS)


def _write(rows: Sequence[Outbound], fields: Sequence[str]) -> None:
    guards = [row.version for row in rows]
    for row in rows:
        row.version += 1
    rows_update(Outbound, rows, fields, guards, guard_column="version")


def _observe_state(senders: Sequence[Sender], seen: Observation, now: datetime) -> ChainState | None:
    """Keep the head and the prices. While the head is below the highest ever seen, keep since when."""
    if not senders:
        return None
    chain_id = senders[0].chain_id
    known = next(iter(lock_rows(ChainState.objects.filter(pk=chain_id), skip_locked=False)), None)
    is_behind = known is not None and seen.head.number < known.head_number
    state = ChainState(
        chain_id=chain_id,
        head_number=known.head_number if known is not None and is_behind else seen.head.number,
        head_hash=seen.head.hash,
        max_fee_wei=seen.fees.max_fee_wei,
        priority_fee_wei=seen.fees.priority_fee_wei,
        observed_at=now,
        behind_since=(known.behind_since or now) if known is not None and is_behind else None,
    )
    state.save(force_update=known is not None)
    return state


def _take_back(
    senders: Sequence[Sender], seen: Observation, state: ChainState, now: datetime
) -> list[Outbound]:
    """Ended transactions the chain no longer counts: all of them, and those after them, are sent again.

    A node that merely lags looks the same for a moment; so either the chain has grown past the block
    without them, or the head has stayed below what it was for `heal_after_seconds`.
    """
    chain = settings.FOREKEEP.chain
    is_long_behind = state.behind_since is not None and now - state.behind_since >= timedelta(
        seconds=chain.heal_after_seconds
    )
    counted = Q()
    for sender in senders:
        counted |= Q(sender=sender, nonce__gte=seen.nonces[sender.address])
    ended = Outbound.objects.filter(counted, block_number__isnull=False, status__in=_AT_REST)
    if not is_long_behind:
        ended = ended.filter(block_number__lte=seen.head.number - chain.confirmations)
    lost = lock_rows(ended.select_related("sender"), limit=chain.outbound_rows)
    if is_long_behind:
        ChainState.objects.filter(pk=state.pk).update(head_number=seen.head.number, behind_since=None)
    if not lost:
        return []
    _log.warning("chain.restored_older", lost=len(lost), head=seen.head.number)
    for row in lost:
        row.status = OUTBOUND_TABLE.move(
            id=str(row.pk), current=OutboundStatus(row.status), target=OutboundStatus.SIGNED
        )
        row.wake_at, row.confirmed_at = now, None
        _forget(row)
    _write(lost, _MOVED_FIELDS)
    pending = Outbound.objects.filter(
        sender__in={row.sender_id for row in lost}, status=OutboundStatus.BROADCAST
    )
    pending.update(status=OutboundStatus.SIGNED, wake_at=now, version=F("version") + 1)
    return lost

"""Sending transactions: sign inside the caller's transaction, send after it, follow until it is final.

The stored bytes are the truth: sending them twice is harmless, and whatever a crash, a reorg or a
node restored from an older state takes away is sent again in nonce order. Network and row locks never
overlap: a pass claims its rows (a short lease in `wake_at`), talks to the node, then writes what it
learned where nobody wrote meanwhile (`version`).
"""

import heapq
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.conf import settings
from django.db import models, transaction
from django.db.models import Count, F

from apps.chains.client import ChainClient
from apps.chains.data import OUTBOUND_TABLE, CallRequest, Fees, OutboundStatus
from apps.chains.domain.sending import SendOutcome, compute_fees
from apps.chains.errors import ChainUnreachable, SenderMissing
from apps.chains.following import follow
from apps.chains.keys import AccountKey, read_accounts
from apps.chains.models import ChainState, Outbound, Sender
from apps.chains.selectors import LIVE, get_deployment, is_audit_due, open_client
from apps.chains.signing import SIGNED_FIELDS, sign_row, void_row
from apps.eventlog.locking import lock_rows
from apps.eventlog.selectors import get_database_now
from apps.eventlog.writing import rows_insert, rows_update
from apps.kernel.trace import current_trace

_log = structlog.get_logger("forekeep.chains")

#: Used until the chain has been looked at once: dear enough for any first block.
_FIRST_FEES: Final = compute_fees(base_fee_wei=2_000_000_000, priority_fee_wei=1_000_000_000)
_RETRY_MAX_SECONDS: Final = 30
_UNREACHABLE_SECONDS: Final = 1


def senders_ensure(*, addresses: Sequence[str], chain_id: int, mined_nonces: dict[str, int]) -> list[Sender]:
    """Have a row for each address; move its next nonce up to what is mined, or down where we sent nothing.

    The second happens on a chain that was started afresh: without it nothing would ever fill the gap.
    """
    with transaction.atomic():
        Sender.objects.bulk_create(
            [Sender(address=address, chain_id=chain_id) for address in addresses], ignore_conflicts=True
        )
        rows = lock_rows(Sender.objects.filter(chain_id=chain_id, address__in=addresses), skip_locked=False)
        last_sent = dict(
            Outbound.objects.filter(sender__in=rows).values_list("sender_id").annotate(models.Max("nonce"))
        )
        for row in rows:
            row.next_nonce = max(mined_nonces[row.address], last_sent.get(row.pk, -1) + 1)
        Sender.objects.bulk_update(rows, ["next_nonce"])
    return rows


def outbound_sign(requests: Sequence[CallRequest], *, now: datetime | None = None) -> list[Outbound]:
    """Store one signed transaction per request, in order, without any network.

    Runs in the caller's transaction: the decision and the transaction that carries it out commit together.
    Senders with the least pending come first. Raises SenderMissing, DeploymentMissing, KeyFileInvalid.
    """
    if not requests:
        return []
    chain_id = get_deployment().chain_id
    keys = _get_keys()
    now = now or get_database_now()
    with transaction.atomic():
        senders = lock_rows(Sender.objects.filter(chain_id=chain_id, address__in=keys), skip_locked=False)
        if not senders:
            raise SenderMissing(chain_id=chain_id)
        fees = _get_fees(chain_id)
        queue = _least_pending_first(senders)
        rows: list[Outbound] = []
        for request in requests:
            pending, position = heapq.heappop(queue)
            sender = senders[position]
            row = _outbound_new(request, sender, fees, now)
            sign_row(row, keys[sender.address])
            sender.next_nonce += 1
            heapq.heappush(queue, (pending + 1, position))
            rows.append(row)
        rows_insert(Outbound, rows)
        Sender.objects.bulk_update(senders, ["next_nonce"])
    return rows


def outbound_broadcast(now: datetime, *, client: ChainClient | None = None) -> int:
    """Send what is signed and due, in nonce order and one batch; return how many a node has now.

    A refusal that time may cure is tried again with a growing pause; a transaction no node will ever take
    gives its nonce to an empty transfer. With no node to talk to nothing changes.
    """
    rows = _claim(Outbound.objects.filter(status=OutboundStatus.SIGNED), now)
    if not rows:
        return 0
    rows.sort(key=lambda row: (row.sender_id, row.nonce))
    try:
        outcomes = (client or open_client()).send_raw([bytes(row.raw) for row in rows])
    except ChainUnreachable as exc:
        _log.warning("chain.unreachable", reason=exc.reason, waiting=len(rows))
        _put_off(rows, now)
        return 0
    for row, (outcome, message) in zip(rows, outcomes, strict=True):
        _apply_outcome(row, outcome, message, now)
    _write(rows, ("status", "send_count", "broadcast_at", "last_error", "wake_at"))
    _write([row for row in rows if row.void_reason], ("void_reason", *SIGNED_FIELDS))
    return sum(row.status == OutboundStatus.BROADCAST for row in rows)


def outbound_poll(now: datetime, *, client: ChainClient | None = None) -> list[Outbound]:
    """Look at the chain once, for everything that is due, in one batch; return the rows whose status moved.

    Mined and k blocks deep with the block's hash seen twice → confirmed or failed; no longer in any block
    → signed, to be sent again; stuck → signed again at a higher price. Also audits the senders' nonces:
    a chain that has fewer of our transactions than it once showed gets them all again.
    """
    followed = Outbound.objects.filter(status__in=(OutboundStatus.BROADCAST, OutboundStatus.MINED))
    rows = _claim(followed.defer("raw", "data", "logs"), now)
    if not rows and not is_audit_due(now):
        return []
    chain_id = get_deployment().chain_id
    senders = list(Sender.objects.filter(chain_id=chain_id))
    try:
        observation = (client or open_client()).observe(
            tx_hashes=[tx_hash for row in rows for tx_hash in row.all_hashes],
            addresses=[sender.address for sender in senders],
            block_numbers=[row.block_number for row in rows if row.block_number is not None],
        )
    except ChainUnreachable as exc:
        _log.warning("chain.unreachable", reason=exc.reason, waiting=len(rows))
        _put_off(rows, now)
        return []
    if observation.chain_id != chain_id:
        _log.error("chain.wrong", expected=chain_id, found=observation.chain_id)
        _put_off(rows, now)
        return []
    return follow(rows, senders, observation, keys=_get_keys(), now=now)


def _get_keys() -> dict[str, AccountKey]:
    accounts = read_accounts(settings.FOREKEEP.chain.submitter_key_files)
    return {account.address: account for account in accounts}


def _get_fees(chain_id: int) -> Fees:
    state = ChainState.objects.filter(pk=chain_id).first()
    if state is None:
        return _FIRST_FEES
    return Fees(max_fee_wei=state.max_fee_wei, priority_fee_wei=state.priority_fee_wei)


def _least_pending_first(senders: Sequence[Sender]) -> list[tuple[int, int]]:
    """A heap of (transactions under way, position in `senders`)."""
    live = Outbound.objects.filter(sender__in=senders, status__in=LIVE)
    counts = dict(live.values_list("sender_id").annotate(Count("pk")))
    queue = [(counts.get(sender.pk, 0), position) for position, sender in enumerate(senders)]
    heapq.heapify(queue)
    return queue


def _outbound_new(request: CallRequest, sender: Sender, fees: Fees, now: datetime) -> Outbound:
    return Outbound(
        chain_id=sender.chain_id,
        sender=sender,
        nonce=sender.next_nonce,
        purpose=request.purpose,
        to=request.to.lower(),
        data=request.data,
        value_wei=str(request.value_wei),
        gas_limit=request.gas_limit,
        max_fee_wei=fees.max_fee_wei,
        priority_fee_wei=fees.priority_fee_wei,
        status=OutboundStatus.SIGNED,
        wake_at=now,
        created_at=now,
        trace_id=request.trace_id or current_trace().trace_id,
    )


def _claim(queryset: "models.QuerySet[Outbound, Outbound]", now: datetime) -> list[Outbound]:
    """Lease the due rows: a pass that dies leaves them to the next one."""
    chain = settings.FOREKEEP.chain
    lease_ends_at = now + timedelta(seconds=2 * chain.request_timeout_seconds)
    due = queryset.filter(wake_at__lte=now).select_related("sender")
    with transaction.atomic():
        rows = lock_rows(due, limit=chain.outbound_rows)
        if rows:
            Outbound.objects.filter(pk__in=[row.pk for row in rows]).update(
                wake_at=lease_ends_at, version=F("version") + 1
            )
    for row in rows:
        row.version += 1
    return rows


def _put_off(rows: Sequence[Outbound], now: datetime) -> None:
    """The node did not answer: the same again in a moment."""
    for row in rows:
        row.wake_at = now + timedelta(seconds=_UNREACHABLE_SECONDS)
    _write(rows, ("wake_at",))


def _apply_outcome(row: Outbound, outcome: SendOutcome, message: str, now: datetime) -> None:
    row.send_count += 1
    row.last_error = "" if outcome is SendOutcome.ACCEPTED else f"{outcome}: {message}"[:200]
    match outcome:
        case SendOutcome.ACCEPTED | SendOutcome.NONCE_USED | SendOutcome.FEE_TOO_LOW:
            row.status = OUTBOUND_TABLE.move(
                id=str(row.pk), current=OutboundStatus(row.status), target=OutboundStatus.BROADCAST
            )
            row.broadcast_at = row.wake_at = now
        case SendOutcome.REFUSED if not row.void_reason:
            _log.error("outbound.voided", outbound=str(row.pk), reason=message)
            void_row(row, _get_keys()[row.sender.address], message)
            row.wake_at = now
        case _:
            _log.warning("outbound.refused", outbound=str(row.pk), outcome=str(outcome), reason=message)
            pause = min(2 ** min(row.send_count, 10), _RETRY_MAX_SECONDS)
            row.wake_at = now + timedelta(seconds=pause)


def _write(rows: Sequence[Outbound], fields: Sequence[str]) -> int:
    """Write the fields of those rows nobody wrote since they were claimed."""
    guards = [row.version for row in rows]
    for row in rows:
        row.version += 1
    with transaction.atomic():
        return rows_update(Outbound, rows, (*fields, "version"), guards, guard_column="version")

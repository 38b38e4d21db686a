"""Set-up transactions: signed, sent and waited for in one go, without a database.

Only the one process that sets a deployment up uses this, with keys nobody else sends with meanwhile;
everything the running system sends is an Outbound (services.py).
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from apps.chains.client import ChainClient
from apps.chains.data import Call, Receipt
from apps.chains.domain.sending import SendOutcome
from apps.chains.domain.transaction import SignedTransaction, Transaction, sign_transaction
from apps.chains.errors import FundsMissing, TransactionFailed
from apps.chains.keys import AccountKey

_POLL_SECONDS: Final = 0.05
_GAS_PERCENT: Final = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectCall:
    """One transaction: `to` None deploys. Gas is estimated unless given."""

    purpose: str
    key: AccountKey
    to: str | None
    data: bytes
    value_wei: int = 0
    gas_limit: int | None = None


def send_and_wait(
    client: ChainClient, chain_id: int, calls: Sequence[DirectCall], *, timeout_seconds: float = 120.0
) -> list[Receipt]:
    """Send all, wait until all are mined, and return the receipts in order.

    Raises TransactionFailed for the first that reverts or does not come, FundsMissing where an account
    cannot pay.
    """
    if not calls:
        return []
    signed = _sign(client, chain_id, calls)
    for call, (outcome, message) in zip(calls, client.send_raw([item.raw for item in signed]), strict=True):
        if outcome is not SendOutcome.ACCEPTED:
            raise TransactionFailed(purpose=call.purpose, reason=message or str(outcome))
    receipts = _wait(client, [item.tx_hash for item in signed], timeout_seconds)
    for call, item in zip(calls, signed, strict=True):
        receipt = receipts.get(item.tx_hash)
        if receipt is None or not receipt.is_success:
            reason = "not mined in time" if receipt is None else _reason(client, call)
            raise TransactionFailed(purpose=call.purpose, tx_hash=item.tx_hash, reason=reason)
    return [receipts[item.tx_hash] for item in signed]


def _sign(client: ChainClient, chain_id: int, calls: Sequence[DirectCall]) -> list[SignedTransaction]:
    addresses = sorted({call.key.address for call in calls})
    fees, next_nonces = client.get_fees(), client.get_nonces(addresses)
    gas_limits = [call.gas_limit or _estimate(client, call) for call in calls]
    _require_funds(client, calls, gas_limits, fees.max_fee_wei)
    signed: list[SignedTransaction] = []
    for call, gas_limit in zip(calls, gas_limits, strict=True):
        transaction = Transaction(
            chain_id=chain_id,
            nonce=next_nonces[call.key.address],
            to=call.to,
            data=call.data,
            value_wei=call.value_wei,
            gas_limit=gas_limit,
            max_fee_wei=fees.max_fee_wei,
            priority_fee_wei=fees.priority_fee_wei,
        )
        next_nonces[call.key.address] += 1
        signed.append(sign_transaction(transaction, call.key.private))
    return signed


def _estimate(client: ChainClient, call: DirectCall) -> int:
    """The node's estimate and a margin."""
    fields = {"from": call.key.address, "data": "0x" + call.data.hex(), "value": hex(call.value_wei)}
    if call.to is not None:
        fields["to"] = call.to
    return int(client.request("eth_estimateGas", fields), 16) * _GAS_PERCENT // 100


def _require_funds(
    client: ChainClient, calls: Sequence[DirectCall], gas_limits: Sequence[int], max_fee_wei: int
) -> None:
    needed: Counter[str] = Counter()
    for call, gas_limit in zip(calls, gas_limits, strict=True):
        needed[call.key.address] += call.value_wei + gas_limit * max_fee_wei
    balances = client.get_balances(needed)
    for address, amount in needed.items():
        if balances[address] < amount:
            raise FundsMissing(address=address, balance_wei=balances[address], needed_wei=amount)


def _wait(client: ChainClient, tx_hashes: Sequence[str], timeout_seconds: float) -> dict[str, Receipt]:
    deadline = time.monotonic() + timeout_seconds
    while True:
        receipts = client.get_receipts(tx_hashes)
        if len(receipts) == len(set(tx_hashes)) or time.monotonic() > deadline:
            return receipts
        time.sleep(_POLL_SECONDS)


def _reason(client: ChainClient, call: DirectCall) -> str:
    """Why it reverted, as far as running it again tells."""
    if call.to is None:
        return "reverted"
    attempt = Call(
        to=call.to,
        data=call.data,
        sender=call.key.address,
        value_wei=call.value_wei,
        gas_limit=call.gas_limit,
    )
    (result,) = client.simulate([attempt])
    return result.reason or "reverted"

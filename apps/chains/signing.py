"""Turning an outbound row into signed bytes: the first time, at a higher price, or emptied."""

from apps.chains.data import Fees
from apps.chains.domain.transaction import Transaction, sign_transaction
from apps.chains.keys import AccountKey
from apps.chains.models import Outbound

_TRANSFER_GAS = 21_000

#: The fields `sign_row` writes.
SIGNED_FIELDS = ("to", "data", "value_wei", "gas_limit", "max_fee_wei", "priority_fee_wei", "raw", "tx_hash")


def sign_row(row: Outbound, key: AccountKey) -> None:
    """Sign what the row says and write `raw` and `tx_hash`."""
    signed = sign_transaction(
        Transaction(
            chain_id=row.chain_id,
            nonce=row.nonce,
            to=row.to,
            data=bytes(row.data),
            value_wei=int(row.value_wei),
            gas_limit=row.gas_limit,
            max_fee_wei=row.max_fee_wei,
            priority_fee_wei=row.priority_fee_wei,
        ),
        key.private,
    )
    row.raw, row.tx_hash = signed.raw, signed.tx_hash


def sign_row_again(row: Outbound, key: AccountKey, fees: Fees) -> None:
    """Sign the same call at another price; the former hash stays known, for it may still be mined."""
    row.former_hashes = [*row.former_hashes, row.tx_hash]
    row.max_fee_wei, row.priority_fee_wei = fees.max_fee_wei, fees.priority_fee_wei
    sign_row(row, key)


def void_row(row: Outbound, key: AccountKey, reason: str) -> None:
    """Give the row's nonce to an empty transfer to ourselves: later nonces would be stuck behind it."""
    row.void_reason = reason[:200] or "refused"
    row.to, row.data, row.value_wei, row.gas_limit = key.address, b"", "0", _TRANSFER_GAS
    sign_row(row, key)

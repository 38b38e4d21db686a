"""Our transactions against eth-account and rlp as oracles."""

import coincurve
import rlp  # type: ignore[import-untyped]
from eth_account import Account
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from apps.chains.domain.transaction import (
    Transaction,
    compute_contract_address,
    encode_rlp,
    sign_transaction,
)
from apps.kernel.eip712 import address_of
from apps.kernel.hashing import keccak, to_hex

KEY = coincurve.PrivateKey(b"\x09" * 32)
items = st.recursive(st.binary(max_size=80), lambda inner: st.lists(inner, max_size=5), max_leaves=20)


@given(
    st.integers(1, 2**63 - 1),
    st.integers(0, 2**63),
    st.one_of(st.none(), st.binary(min_size=20, max_size=20)),
    st.binary(max_size=300),
    st.integers(0, 2**128),
    st.integers(21_000, 30_000_000),
    st.integers(1, 10**12),
    st.integers(0, 10**12),
)
def test_signed_bytes_and_hash_are_the_oracles(chain_id, nonce, to, data, value, gas, max_fee, priority):
    ours = sign_transaction(
        Transaction(
            chain_id=chain_id,
            nonce=nonce,
            to=None if to is None else to_hex(to),
            data=data,
            value_wei=value,
            gas_limit=gas,
            max_fee_wei=max_fee,
            priority_fee_wei=priority,
        ),
        KEY,
    )
    fields = {
        "type": 2,
        "chainId": chain_id,
        "nonce": nonce,
        "data": data,
        "value": value,
        "gas": gas,
        "maxFeePerGas": max_fee,
        "maxPriorityFeePerGas": priority,
        "accessList": [],
    }
    if to is not None:
        fields["to"] = to_checksum_address(to)
    theirs = Account.sign_transaction(fields, KEY.secret)
    assert ours.raw == bytes(theirs.raw_transaction)
    assert ours.tx_hash == to_hex(bytes(theirs.hash))


@given(items)
def test_rlp_is_the_oracles(item):
    assert encode_rlp(item) == rlp.encode(item)


def test_long_payloads_have_long_prefixes():
    for length in (55, 56, 255, 256, 70_000):
        assert encode_rlp(bytes(length)) == rlp.encode(bytes(length))


@given(st.integers(0, 2**63))
def test_a_contracts_address_follows_from_creator_and_nonce(nonce):
    creator = address_of(KEY.public_key)
    expected = keccak(rlp.encode([bytes.fromhex(creator[2:]), nonce]))[-20:]
    assert compute_contract_address(creator, nonce) == to_hex(expected)

"""The settlement hashes: known words, and that every field counts."""

from typing import Any

from eth_abi.abi import encode

from apps.kernel.hashing import keccak
from apps.kernel.settlement_hash import (
    NO_ACTION,
    SETTLE_PURPOSE,
    action_hash,
    proof_of_task,
    settlement_leaf,
    settlement_message,
)

PERFORMER = "0x" + "11" * 20
TARGET = "0x" + "22" * 20
HUB = "0x" + "33" * 20
FIELDS: dict[str, Any] = {
    "task_id": 7,
    "epoch": 2,
    "performer": PERFORMER,
    "output_hash": b"\x01" * 32,
    "package_digest": b"\x02" * 32,
    "action": NO_ACTION,
}


def test_the_proof_is_the_keccak_of_the_abi_encoded_fields():
    words = encode(["uint256", "uint64", "address", "bytes32", "bytes32", "bytes32"], list(FIELDS.values()))
    assert proof_of_task(**FIELDS) == keccak(words)


def test_every_field_changes_the_proof():
    changes: dict[str, Any] = {
        "task_id": 8,
        "epoch": 3,
        "performer": TARGET,
        "output_hash": b"\x03" * 32,
        "package_digest": b"\x03" * 32,
        "action": b"\x03" * 32,
    }
    proofs = {proof_of_task(**{**FIELDS, name: value}) for name, value in changes.items()}
    assert len(proofs | {proof_of_task(**FIELDS)}) == len(changes) + 1


def test_no_target_is_the_zero_action():
    assert action_hash(None, b"ignored", 5) == NO_ACTION
    assert action_hash("0x" + "00" * 20, b"ignored", 5) == NO_ACTION


def test_an_action_is_bound_to_target_data_and_gas():
    words = encode(["address", "bytes32", "uint256"], [TARGET, keccak(b"data"), 100_000])
    assert action_hash(TARGET, b"data", 100_000) == keccak(words)
    others = {
        action_hash(HUB, b"data", 100_000),
        action_hash(TARGET, b"date", 100_000),
        action_hash(TARGET, b"data", 100_001),
    }
    assert len(others | {keccak(words)}) == 4


def test_the_leaf_is_domain_separated():
    proof = proof_of_task(**FIELDS)
    assert settlement_leaf(7, proof) == keccak(b"\x00" + (7).to_bytes(32) + proof)


def test_the_message_is_bound_to_purpose_chain_and_hub():
    root = b"\x05" * 32
    words = encode(["bytes32", "uint256", "address", "bytes32"], [SETTLE_PURPOSE, 31337, HUB, root])
    assert keccak(b"forekeep.settle.v1") == SETTLE_PURPOSE
    assert settlement_message(chain_id=31337, hub=HUB, root=root) == keccak(words)
    assert settlement_message(chain_id=1, hub=HUB, root=root) != keccak(words)
    assert settlement_message(chain_id=31337, hub=TARGET, root=root) != keccak(words)

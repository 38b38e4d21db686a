"""Batches as the hub takes them."""

import pytest
from eth_abi.abi import decode

from apps.chains.artifacts import get_abi
from apps.chains.data import ZERO_ADDRESS, SettlementItem
from apps.chains.domain.settlement_abi import (
    BATCH_GAS_MAX,
    ITEM_TYPE,
    NO_PROOF,
    SINGLE_TYPES,
    compute_gas_limit,
    count_fitting,
    encode_batch,
    encode_task_validation,
    inclusion_of,
    leaf_of,
    root_of,
    sort_attesters,
)
from apps.chains.errors import BatchInvalid
from apps.kernel.merkle import verify_inclusion
from apps.kernel.settlement_hash import bind_statement

SIGNATURE = bytes(range(128))
ATTESTERS = ["0x" + "cc" * 20, "0x" + "AA" * 20, "0x" + "bb" * 20]
TARGET = "0x" + "77" * 20
PROOF = (1, 2, 3, 4, 5, 6, 7, 8)


def item(task_id=1, **fields):
    values = {
        "epoch": 1,
        "performer": "0x" + "11" * 20,
        "output_hash": b"\x01" * 32,
        "package_digest": b"\x02" * 32,
    }
    return SettlementItem(task_id=task_id, **{**values, **fields})


def encode_all(items, *, circuit=0, proofs=(), signature=SIGNATURE, attesters=ATTESTERS):
    """A whole round's batch."""
    leaves = [leaf_of(one) for one in items]
    return encode_batch(leaves, range(len(items)), items, circuit, proofs, signature, attesters)


def proved(task_id, **fields):
    return item(task_id, **{"circuit": 16, "statement": 1000 + task_id, **fields})


def test_the_call_data_is_that_of_the_artefacts_abi():
    items = [
        proved(1),
        proved(2, target=TARGET, call_data=b"\x05" * 40, gas_limit=90_000, statement=2**256 - 1),
    ]
    leaves = [leaf_of(one) for one in (item(9), items[1], items[0])]
    rows = [
        (1, 1, "0x" + "11" * 20, b"\x01" * 32, b"\x02" * 32, ZERO_ADDRESS, b"", 0, 1001),
        (2, 1, "0x" + "11" * 20, b"\x01" * 32, b"\x02" * 32, TARGET, b"\x05" * 40, 90_000, 2**256 - 1),
    ]
    addresses = ["0x" + "aa" * 20, "0x" + "bb" * 20, "0x" + "cc" * 20]
    proofs = [PROOF, NO_PROOF]
    arguments = (leaves, [2, 1], rows, 16, proofs, SIGNATURE, addresses)
    expected = get_abi("Hub").encode("submitBatch", *arguments)
    assert encode_batch(leaves, [2, 1], items, 16, proofs, SIGNATURE, ATTESTERS) == expected


def test_attesters_go_out_ascending_and_lower_case():
    data = encode_task_validation(5, b"\x07" * 32, SIGNATURE, ATTESTERS)
    values = decode(SINGLE_TYPES, data[4:])
    assert values[:2] == (5, b"\x07" * 32)
    assert list(values[3]) == ["0x" + "aa" * 20, "0x" + "bb" * 20, "0x" + "cc" * 20]
    assert values[4:] == (b"\x07" * 32, 0, 0, NO_PROOF)


def test_one_tasks_proof_of_task_binds_its_statement():
    data = encode_task_validation(5, b"\x07" * 32, SIGNATURE, ATTESTERS, circuit=16, statement=3, proof=PROOF)
    values = decode(SINGLE_TYPES, data[4:])
    assert values[1] == bind_statement(b"\x07" * 32, circuit=16, statement=3) != b"\x07" * 32
    assert values[4:] == (b"\x07" * 32, 16, 3, PROOF)


@pytest.mark.parametrize(
    ("items", "attesters"),
    [
        ([], ATTESTERS),
        ([item(number) for number in range(65)], ATTESTERS),
        ([item(1), item(1, epoch=2)], ATTESTERS),
        ([item(1, target=TARGET, call_data=bytes(1025), gas_limit=1)], ATTESTERS),
        ([item(1, performer="0x" + "aa" * 20)], ATTESTERS),
        ([item(1)], []),
        ([item(1)], [ATTESTERS[0], ATTESTERS[0].upper().replace("0X", "0x")]),
    ],
    ids=["none", "too many", "a task twice", "long data", "performer votes", "no votes", "a vote twice"],
)
def test_what_the_hub_would_refuse_is_not_encoded(items, attesters):
    with pytest.raises(BatchInvalid):
        encode_all(items, attesters=attesters)


@pytest.mark.parametrize(
    ("leaves", "positions"),
    [
        ([], [0]),
        ([leaf_of(item(2))], []),
        ([leaf_of(item(2))], [0, 0]),
        ([leaf_of(item(2))], [1]),
        ([leaf_of(item(2))], [-1]),
        ([leaf_of(item(1)), leaf_of(item(2))], [0]),
        ([leaf_of(item(2, epoch=2))], [0]),
        ([leaf_of(item(number)) for number in range(65)], [2]),
    ],
    ids=["no leaf", "no position", "two", "outside", "below", "another's", "another attempt", "too many"],
)
def test_an_item_that_is_not_the_leaf_of_its_position_is_not_encoded(leaves, positions):
    with pytest.raises(BatchInvalid):
        encode_batch(leaves, positions, [item(2)], 0, (), SIGNATURE, ATTESTERS)


@pytest.mark.parametrize(
    ("items", "circuit", "proofs"),
    [
        ([proved(1)], 16, []),
        ([proved(1)], 16, [PROOF, PROOF]),
        ([proved(1)], 0, []),
        ([proved(1)], 64, [PROOF]),
        ([proved(1), proved(2, circuit=64)], 16, [PROOF, PROOF]),
        ([item(1)], 0, [PROOF]),
        ([item(1)], 16, [PROOF]),
        ([proved(1)], 16, [PROOF[:7]]),
        ([proved(1)], 16, [(*PROOF[:7], 2**256)]),
        ([proved(1)], 16, [(*PROOF[:7], -1)]),
    ],
    ids=[
        "no proof",
        "one too many",
        "no circuit",
        "another circuit",
        "two circuits",
        "a proof without a circuit",
        "an item without a circuit",
        "seven words",
        "a word too large",
        "a negative word",
    ],
)
def test_proofs_that_do_not_fit_the_items_are_not_encoded(items, circuit, proofs):
    with pytest.raises(BatchInvalid):
        encode_all(items, circuit=circuit, proofs=proofs)


def test_one_tasks_proof_without_a_circuit_is_not_encoded():
    with pytest.raises(BatchInvalid):
        encode_task_validation(5, b"\x07" * 32, SIGNATURE, ATTESTERS, proof=PROOF)
    with pytest.raises(BatchInvalid):
        encode_task_validation(5, b"\x07" * 32, SIGNATURE, ATTESTERS, circuit=16, proof=PROOF[:7])


def test_a_short_signature_is_not_encoded():
    with pytest.raises(BatchInvalid):
        encode_all([item()], signature=SIGNATURE[:-1])
    with pytest.raises(BatchInvalid):
        encode_task_validation(5, b"\x07" * 32, SIGNATURE[:-1], ATTESTERS)


def test_every_item_is_in_its_batchs_tree():
    items = [item(number) for number in range(1, 8)]
    for index, one in enumerate(items):
        assert verify_inclusion(root_of(items), leaf_of(one), index, 7, inclusion_of(items, index))


def test_the_gas_limit_leaves_every_action_its_whole_limit():
    plain = compute_gas_limit([item()], 3, 1)
    acting = compute_gas_limit([item(target=TARGET, call_data=b"", gas_limit=630_000)], 3, 1)
    assert acting - plain > 640_000


def test_the_gas_limit_has_every_proof_checked_twice():
    """Once with all others, and once for itself where the first answer was no; a single one only once."""
    plain = [compute_gas_limit([item(n) for n in range(count)], 3, 64) for count in (1, 2, 3)]
    limits = [compute_gas_limit([proved(n) for n in range(count)], 3, 64) for count in (1, 2, 3)]
    one, two, three = (limit - without for limit, without in zip(limits, plain, strict=True))
    assert 190_000 < one < 300_000
    assert three - two > 190_000 + 50_000
    assert two - one > 2 * (190_000 + 50_000) - 190_000


def test_as_many_items_fit_as_one_transaction_has_gas_for():
    items = [item(n, target=TARGET, gas_limit=5_000_000) for n in range(64)]
    count = count_fitting(items, 4, 64)
    assert compute_gas_limit(items[:count], 4, 64) <= BATCH_GAS_MAX
    assert compute_gas_limit(items[: count + 1], 4, 64) > BATCH_GAS_MAX
    assert count_fitting(items[:3], 4, 64) == 3
    assert count_fitting([item(1, target=TARGET, gas_limit=30_000_000), item(2)], 4, 64) == 1
    assert count_fitting([proved(n) for n in range(64)], 64, 64) == 64


def test_sorting_keeps_every_attester_once():
    assert sort_attesters(ATTESTERS) == sorted(address.lower() for address in ATTESTERS)
    assert ITEM_TYPE.count(",") == 8

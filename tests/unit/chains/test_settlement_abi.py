"""Batches as the hub takes them."""

import pytest
from eth_abi.abi import decode

from apps.chains.artifacts import get_abi
from apps.chains.data import ZERO_ADDRESS, SettlementItem
from apps.chains.domain.settlement_abi import (
    ITEM_TYPE,
    compute_gas_limit,
    encode_batch,
    encode_task_validation,
    inclusion_of,
    leaf_of,
    root_of,
    sort_attesters,
)
from apps.chains.errors import BatchInvalid
from apps.kernel.merkle import verify_inclusion

SIGNATURE = bytes(range(128))
ATTESTERS = ["0x" + "cc" * 20, "0x" + "AA" * 20, "0x" + "bb" * 20]
TARGET = "0x" + "77" * 20


def item(task_id=1, **fields):
    values = {
        "epoch": 1,
        "performer": "0x" + "11" * 20,
        "output_hash": b"\x01" * 32,
        "package_digest": b"\x02" * 32,
    }
    return SettlementItem(task_id=task_id, **{**values, **fields})


def test_the_call_data_is_that_of_the_artefacts_abi():
    items = [item(1), item(2, target=TARGET, call_data=b"\x05" * 40, gas_limit=90_000)]
    rows = [
        (1, 1, "0x" + "11" * 20, b"\x01" * 32, b"\x02" * 32, ZERO_ADDRESS, b"", 0),
        (2, 1, "0x" + "11" * 20, b"\x01" * 32, b"\x02" * 32, TARGET, b"\x05" * 40, 90_000),
    ]
    addresses = ["0x" + "aa" * 20, "0x" + "bb" * 20, "0x" + "cc" * 20]
    expected = get_abi("Hub").encode("submitBatch", rows, SIGNATURE, addresses)
    assert encode_batch(items, SIGNATURE, ATTESTERS) == expected


def test_attesters_go_out_ascending_and_lower_case():
    data = encode_task_validation(5, b"\x07" * 32, SIGNATURE, ATTESTERS)
    values = decode(["uint256", "bytes32", "bytes", "address[]"], data[4:])
    assert values[0] == 5
    assert list(values[3]) == ["0x" + "aa" * 20, "0x" + "bb" * 20, "0x" + "cc" * 20]


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
        encode_batch(items, SIGNATURE, attesters)


def test_a_short_signature_is_not_encoded():
    with pytest.raises(BatchInvalid):
        encode_batch([item()], SIGNATURE[:-1], ATTESTERS)


def test_every_item_is_in_its_batchs_tree():
    items = [item(number) for number in range(1, 8)]
    for index, one in enumerate(items):
        assert verify_inclusion(root_of(items), leaf_of(one), index, 7, inclusion_of(items, index))


def test_the_gas_limit_leaves_every_action_its_whole_limit():
    plain = compute_gas_limit([item()], 3)
    acting = compute_gas_limit([item(target=TARGET, call_data=b"", gas_limit=630_000)], 3)
    assert acting - plain > 640_000


def test_sorting_keeps_every_attester_once():
    assert sort_attesters(ATTESTERS) == sorted(address.lower() for address in ATTESTERS)
    assert ITEM_TYPE.count(",") == 7

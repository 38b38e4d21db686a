"""The ABI encoder, against eth_abi as the oracle and against bad input."""

from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from apps.kernel.abi import (
    AbiInvalid,
    ArgumentsMismatch,
    checksum_address,
    compute_selector,
    compute_signature,
    encode_call,
    is_address,
)
from apps.kernel.hashing import keccak
from tests.unit.kernel.abi_types import native, typed_values

REPORT = {
    "type": "function",
    "name": "report",
    "inputs": [{"name": "symbol", "type": "bytes32"}, {"name": "value", "type": "uint256"}],
}
WORD = "0x" + "41" * 32


def _entry(*types: str) -> dict[str, Any]:
    return {
        "type": "function",
        "name": "f",
        "inputs": [{"name": f"a{i}", "type": kind} for i, kind in enumerate(types)],
    }


def test_a_call_is_the_selector_and_the_encoded_words() -> None:
    assert compute_signature(REPORT) == "report(bytes32,uint256)"

    data = encode_call(REPORT, [WORD, "1234567890123456789012345"])

    assert data[:4] == compute_selector(REPORT) == keccak(b"report(bytes32,uint256)")[:4]
    assert data[4:] == encode(["bytes32", "uint256"], [b"A" * 32, 1234567890123456789012345])


@given(st.lists(typed_values(), max_size=4))
def test_every_encoding_equals_the_reference_encoder(members: list[tuple[dict[str, Any], str, Any]]) -> None:
    entry = {"type": "function", "name": "f", "inputs": [member for member, _, _ in members]}
    types = [text for _, text, _ in members]

    data = encode_call(entry, [value for _, _, value in members])

    values = [native(text, value) for _, text, value in members]
    assert data == keccak(f"f({','.join(types)})".encode())[:4] + encode(types, values)


def test_a_tuple_may_be_given_by_member_names() -> None:
    entry = {
        "type": "function",
        "name": "f",
        "inputs": [
            {
                "name": "p",
                "type": "tuple",
                "components": [{"name": "x", "type": "uint8"}, {"name": "y", "type": "string"}],
            }
        ],
    }
    assert encode_call(entry, [{"y": "b", "x": 1}]) == encode_call(entry, [[1, "b"]])
    with pytest.raises(ArgumentsMismatch):
        encode_call(entry, [{"y": "b"}])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint8", 256),
        ("uint8", -1),
        ("uint8", 1.0),
        ("uint8", True),
        ("uint8", "1e3"),
        ("uint8", "5\n"),
        ("uint8", ""),
        ("uint256", "9" * 79),
        ("uint256", "0x"),
        ("int8", 128),
        ("int8", -129),
        ("bool", 1),
        ("bool", "true"),
        ("address", "0x12"),
        ("address", 5),
        ("address", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD".replace("aAeb", "AAeb")),
        ("bytes32", "0x41"),
        ("bytes32", "AAPL"),
        ("bytes", "41"),
        ("bytes", "0x4"),
        ("string", 5),
        ("string", "\ud800"),
        ("uint8[]", "12"),
        ("uint8[]", {"0": 1}),
        ("uint8[2]", [1]),
        ("uint8[2]", [1, 2, 3]),
        ("uint8[2][]", [[1, "x"]]),
        ("uint8", None),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_place(kind: str, value: object) -> None:
    with pytest.raises(ArgumentsMismatch) as caught:
        encode_call(_entry("bool", kind), [True, value])
    assert (caught.value.pointer or "").startswith("/1")


@pytest.mark.parametrize("values", [[], [1, 2], "1", None, {"b": 1}])
def test_another_number_of_arguments_is_refused(values: Any) -> None:
    with pytest.raises(ArgumentsMismatch):
        encode_call(_entry("uint8"), values)


@pytest.mark.parametrize(
    "kind",
    [
        "uint7",
        "uint264",
        "uint0",
        "uint08",
        "bytes0",
        "bytes33",
        "byte",
        "uint256[",
        "uint256[0]",
        "uint256[999999999999999999999]",
        "address8",
        "bool1",
        "tuple1",
        "fixed128x18",
        "",
        "uint256\n",
        "uint8" + "[]" * 9,
    ],
)
def test_an_unknown_type_is_refused(kind: str) -> None:
    with pytest.raises(AbiInvalid):
        encode_call(_entry(kind), [1])


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"type": "event", "name": "f", "inputs": []},
        {"type": "function", "name": "f(", "inputs": []},
        {"type": "function", "name": "f"},
        {"type": "function", "name": "f", "inputs": "x"},
        {"type": "function", "name": "f", "inputs": ["uint8"]},
        {"type": "function", "name": "f", "inputs": [{"name": "a"}]},
        {"type": "function", "name": "f", "inputs": [{"type": "tuple", "name": "a"}]},
    ],
)
def test_an_entry_that_is_no_function_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(AbiInvalid):
        encode_call(entry, [])


def test_a_type_nested_too_deep_is_refused() -> None:
    member: dict[str, Any] = {"name": "a", "type": "uint8"}
    for _ in range(40):
        member = {"name": "a", "type": "tuple", "components": [member]}
    with pytest.raises(AbiInvalid):
        encode_call({"type": "function", "name": "f", "inputs": [member]}, [1])


def test_checksums_are_those_of_eip_55() -> None:
    vector = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    assert checksum_address(vector.lower()) == vector
    assert is_address(vector)
    assert is_address(vector.lower())
    assert not is_address(vector[:-1] + "D")
    assert not is_address(vector + "\n")

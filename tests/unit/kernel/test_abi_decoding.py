"""The ABI decoder, against our own encoder, against eth_abi, and against bytes that lie."""

from typing import Any

import pytest
from eth_abi.abi import decode as reference_decode
from eth_abi.abi import encode as reference_encode
from eth_abi.exceptions import DecodingError
from hypothesis import given
from hypothesis import strategies as st

from apps.kernel.abi import AbiType, checksum_address, encode_call, parse_members, parse_outputs
from apps.kernel.abi_decoding import AbiDataInvalid, decode, decode_word
from apps.kernel.abi_text import members_of_types
from tests.unit.kernel.abi_types import native, typed_values


def _types(*texts: str) -> AbiType:
    return parse_members(members_of_types(texts, "/returns"))


def _word(number: int) -> bytes:
    return number.to_bytes(32)


def _plain(text: str, value: Any) -> Any:
    """The JSON value as the decoder gives it: addresses with their checksum."""
    if text.endswith("]"):
        return [_plain(text[: text.rindex("[")], item) for item in value]
    if isinstance(value, list):
        types = _types(text).parts[0].parts
        return [_plain(part.text, item) for part, item in zip(types, value, strict=True)]
    return checksum_address(value) if text == "address" else value


def _listed(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return [_listed(item) for item in value] if isinstance(value, list | tuple) else value


@given(st.lists(typed_values(), max_size=4))
def test_what_was_encoded_is_decoded_to_the_same_values(
    members: list[tuple[dict[str, Any], str, Any]],
) -> None:
    entry = {"type": "function", "name": "f", "inputs": [member for member, _, _ in members]}

    data = encode_call(entry, [value for _, _, value in members])[4:]

    expected = [_plain(text, value) for _, text, value in members]
    assert decode(parse_members(entry["inputs"]), data) == expected
    assert reference_encode([text for _, text, _ in members], [native(t, v) for _, t, v in members]) == data


@given(st.lists(typed_values(), min_size=1, max_size=3), st.data())
def test_damaged_bytes_are_refused_or_read_as_the_reference_reads_them(
    members: list[tuple[dict[str, Any], str, Any]], data: st.DataObject
) -> None:
    entry = {"type": "function", "name": "f", "inputs": [member for member, _, _ in members]}
    encoded = bytearray(encode_call(entry, [value for _, _, value in members])[4:])
    for _ in range(data.draw(st.integers(1, 3))):
        if encoded:
            encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(encoded[: data.draw(st.integers(0, len(encoded)))])

    for damaged in (bytes(encoded), cut):
        try:
            found = decode(parse_members(entry["inputs"]), damaged)
        except AbiDataInvalid:
            continue
        try:
            reference = reference_decode([text for _, text, _ in members], damaged, strict=False)
        except DecodingError:
            # what fills a last word up is not read here, and so neither missed nor judged
            continue
        texts = [text for _, text, _ in members]
        expected = [_plain(text, value) for text, value in zip(texts, _listed(reference), strict=True)]
        assert found == expected


def test_an_oracles_answer_is_read_by_its_outputs() -> None:
    outputs = [{"name": name, "type": kind} for name, kind in (("round", "uint80"), ("answer", "int256"))]
    types = parse_outputs({"type": "function", "name": "latest", "inputs": [], "outputs": outputs})

    assert types.names == ("round", "answer")
    assert decode(types, _word(2**64 + 1) + (-5).to_bytes(32, signed=True)) == [2**64 + 1, -5]


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("uint8", _word(256)),
        ("uint256", bytes(31)),
        ("int8", _word(255)),
        ("int8", _word(128)),
        ("bool", _word(2)),
        ("address", b"\1" + bytes(31)),
        ("bytes4", bytes(31) + b"\1"),
        ("string", _word(32) + _word(1) + b"\xff" + bytes(31)),
        ("bytes", _word(32) + _word(33) + bytes(32)),
        ("bytes", _word(2**256 - 1)),
        ("bytes", _word(64) + _word(0)),
        ("bytes", b""),
        ("uint8[]", _word(32) + _word(2**255)),
        ("uint8[]", _word(32) + _word(2) + _word(1)),
        ("uint8[2]", _word(1)),
        ("uint8[4096][4096][4096]", bytes(64)),
    ],
)
def test_bytes_that_are_no_encoding_are_refused_with_their_place(kind: str, data: bytes) -> None:
    with pytest.raises(AbiDataInvalid) as caught:
        decode(_types(kind), data)
    assert (caught.value.pointer or "").startswith("/0")
    assert caught.value.reason


def test_offsets_that_share_their_content_do_not_multiply_it() -> None:
    count = 4
    shared = _word(32) + _word(count) + _word(32 * count) * count + _word(32) + bytes(32)
    with pytest.raises(AbiDataInvalid):
        decode(_types("bytes[]"), shared)


def test_elements_without_a_size_are_refused() -> None:
    member = {"name": "", "type": "tuple[4096][4096][4096]", "components": []}
    with pytest.raises(AbiDataInvalid):
        decode(parse_members([member]), bytes(32))


def test_padding_may_be_missing_or_dirty_and_more_may_follow() -> None:
    head = _word(32) + _word(3)
    for tail in (b"abc", b"abc" + bytes(29), b"abc" + b"\xff" * 29, b"abc" + bytes(61)):
        assert decode(_types("string"), head + tail) == ["abc"]


def test_an_indexed_argument_is_one_word() -> None:
    kinds = _types("address", "int24").parts
    vector = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    assert decode_word(kinds[0], bytes(12) + bytes.fromhex(vector[2:])) == vector
    assert decode_word(kinds[1], (-7).to_bytes(32, signed=True)) == -7
    with pytest.raises(AbiDataInvalid):
        decode_word(kinds[1], b"")
    with pytest.raises(AbiDataInvalid):
        decode_word(_types("bytes").parts[0], bytes(32))

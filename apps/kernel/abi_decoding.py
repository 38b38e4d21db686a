"""Contract ABI: from returned or logged bytes to values, the inverse of the encoder.

Values come back exact: integers as int, addresses with their checksum, bytes as `0x…`, tuples and arrays as
lists. Every offset and length is checked against the data before it is followed, a word must hold nothing
but its value, and no byte is read twice: what is decoded is never larger than what came. The padding after
bytes and texts is nobody's value and is not looked at; old contracts leave it out or dirty.
"""

from collections.abc import Sequence
from typing import Any, Final

from apps.kernel.abi import AbiType, checksum_address
from apps.kernel.errors import Invalid

_WORD: Final = 32


class AbiDataInvalid(Invalid):
    """Bytes that are no encoding of the expected types. Fields: reason, type; the pointer counts values."""

    code = "abi_data_invalid"
    title = "The data is not an encoding of the expected types"


def decode(types: AbiType, data: bytes) -> list[Any]:
    """The members of a tuple type, in order; raise AbiDataInvalid(pointer, reason, type).

    `types` is what `parse_inputs`, `parse_outputs` or `parse_members` give. Bytes beyond the encoding are
    left alone, as contracts do.
    """
    return _Reader(data).parts(types.parts, 0, "")


def decode_word(kind: AbiType, word: bytes, pointer: str = "") -> Any:
    """One value of a type that takes one word, such as an indexed argument of a log; raise AbiDataInvalid."""
    if len(word) != _WORD:
        raise AbiDataInvalid(pointer=pointer, reason="a word of 32 bytes is expected", type=kind.text)
    match kind.kind:
        case "uint" | "int":
            return _integer(kind, word, pointer)
        case "bool" if word[:31] == bytes(31) and word[31] <= 1:
            return word[31] == 1
        case "address" if word[:12] == bytes(12):
            return checksum_address("0x" + word[12:].hex())
        case "fixed" if not any(word[kind.size :]):
            return "0x" + word[: kind.size].hex()
    raise AbiDataInvalid(pointer=pointer, reason="not a value of this type", type=kind.text)


class _Reader:
    """The data, and how many bytes of it have been read: an encoding holds each byte once."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = len(data)

    def parts(self, types: Sequence[AbiType], start: int, pointer: str) -> list[Any]:
        """The values of consecutive members; offsets count from `start`."""
        values: list[Any] = []
        at = start
        for i, part in enumerate(types):
            place = f"{pointer}/{i}"
            if part.is_dynamic:
                offset = self._number(at, part, place)
                values.append(self._value(part, start + offset, place))
            else:
                values.append(self._value(part, at, place))
            at += part.head_size
        return values

    def _value(self, kind: AbiType, at: int, pointer: str) -> Any:
        match kind.kind:
            case "tuple":
                return self.parts(kind.parts, at, pointer)
            case "row":
                return self._elements(kind, kind.size, at, pointer)
            case "array":
                return self._elements(kind, self._number(at, kind, pointer), at + _WORD, pointer)
            case "bytes" | "string":
                content = self._take(at + _WORD, self._number(at, kind, pointer), kind, pointer)
                return "0x" + content.hex() if kind.kind == "bytes" else _text(content, pointer)
        return decode_word(kind, self._take(at, _WORD, kind, pointer), pointer)

    def _elements(self, kind: AbiType, count: int, at: int, pointer: str) -> list[Any]:
        element = kind.parts[0]
        if element.head_size == 0 or count * element.head_size > self._left:
            raise AbiDataInvalid(pointer=pointer, reason="more elements than the data holds", type=kind.text)
        return self.parts((element,) * count, at, pointer)

    def _number(self, at: int, kind: AbiType, pointer: str) -> int:
        number = int.from_bytes(self._take(at, _WORD, kind, pointer))
        if number > len(self._data):
            raise AbiDataInvalid(pointer=pointer, reason="points beyond the data", type=kind.text)
        return number

    def _take(self, at: int, size: int, kind: AbiType, pointer: str) -> bytes:
        if at + size > len(self._data) or size > self._left:
            raise AbiDataInvalid(pointer=pointer, reason="the data ends before the value", type=kind.text)
        self._left -= size
        return self._data[at : at + size]


def _integer(kind: AbiType, word: bytes, pointer: str) -> int:
    signed = kind.kind == "int"
    number = int.from_bytes(word, signed=signed)
    low, high = (-(1 << kind.size - 1), 1 << kind.size - 1) if signed else (0, 1 << kind.size)
    if not low <= number < high:
        raise AbiDataInvalid(pointer=pointer, reason="out of range", type=kind.text)
    return number


def _text(content: bytes, pointer: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise AbiDataInvalid(pointer=pointer, reason="not UTF-8", type="string") from None

"""Contract ABI: types, selectors and argument encoding, from JSON values to call data.

One encoder serves the job's validation, the performer and the attesters, so the three can never
disagree. JSON forms: integers as integers or decimal or `0x…` text (text beyond 2^53), addresses as
`0x…` with a correct EIP-55 checksum where the case is mixed, bytes as `0x…` of the exact length, tuples as
lists or as objects by member name. Floats, booleans in place of integers and padding are refused.
Only what the caller gave is trusted to be JSON; everything else raises AbiInvalid or ArgumentsMismatch.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from apps.kernel.errors import Invalid
from apps.kernel.hashing import keccak

MAX_NESTING: Final = 8
MAX_ELEMENTS: Final = 4096
_TYPE: Final = re.compile(r"(uint|int|bytes|address|bool|string|tuple)([0-9]*)((?:\[[0-9]*\])*)")
_NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]{0,77})")
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_HEX_NUMBER: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")


class AbiInvalid(Invalid):
    """An ABI entry that describes no callable function."""

    code = "abi_invalid"
    title = "The ABI entry is not valid"


class ArgumentsMismatch(Invalid):
    """Values that do not fit the function's parameters."""

    code = "arguments_mismatch"
    title = "The arguments do not fit the function"


class AddressInvalid(Invalid):
    """Not `0x` and 40 hex digits, or the zero address."""

    code = "address_invalid"
    title = "The address is not valid"


class AddressChecksum(Invalid):
    """A mixed-case address whose EIP-55 checksum is wrong; `expected` is the right form."""

    code = "address_checksum"
    title = "The address has a wrong checksum"


@dataclass(frozen=True, slots=True, kw_only=True)
class AbiType:
    """One parsed type. `size` is bits (uint, int), bytes (fixed bytes) or length (fixed arrays).

    `kind` is uint, int, address, bool, fixed (bytes1-32), bytes, string, array (any length), row (fixed
    length) or tuple; `parts` are a tuple's members, or the one element type of an array.
    """

    kind: str
    size: int = 0
    parts: tuple["AbiType", ...] = ()
    names: tuple[str, ...] = ()

    @property
    def is_dynamic(self) -> bool:
        """Whether the head holds an offset instead of the value."""
        return self.kind in ("bytes", "string", "array") or any(part.is_dynamic for part in self.parts)

    @property
    def text(self) -> str:
        """The canonical name, as selectors hash it."""
        match self.kind:
            case "tuple":
                return f"({','.join(part.text for part in self.parts)})"
            case "array":
                return f"{self.parts[0].text}[]"
            case "row":
                return f"{self.parts[0].text}[{self.size}]"
            case "fixed":
                return f"bytes{self.size}"
            case "uint" | "int":
                return f"{self.kind}{self.size}"
        return self.kind

    @property
    def head_size(self) -> int:
        """Bytes of the head of a value of this type."""
        if self.is_dynamic:
            return 32
        if self.kind == "tuple":
            return sum(part.head_size for part in self.parts)
        if self.kind == "row":
            return self.size * self.parts[0].head_size
        return 32


def parse_inputs(entry: Mapping[str, Any]) -> AbiType:
    """The parameters of a function's ABI entry as one tuple type; raise AbiInvalid."""
    if not isinstance(entry, Mapping) or entry.get("type", "function") != "function":
        raise AbiInvalid(reason="a function entry is expected")
    if not isinstance(entry.get("name"), str) or not _NAME.fullmatch(entry["name"]):
        raise AbiInvalid(pointer="/name", reason="the function has no valid name")
    return _parse_members(entry.get("inputs"), "/inputs", depth=0)


def parse_outputs(entry: Mapping[str, Any]) -> AbiType:
    """What a function's ABI entry says it returns, as one tuple type; raise AbiInvalid."""
    if not isinstance(entry, Mapping):
        raise AbiInvalid(reason="a function entry is expected")
    return parse_members(entry.get("outputs"), "/outputs")


def parse_members(members: Any, pointer: str = "") -> AbiType:
    """A list of ABI members (`{"name", "type", "components"}`) as one tuple type; raise AbiInvalid."""
    return _parse_members(members, pointer, depth=0)


def compute_signature(entry: Mapping[str, Any]) -> str:
    """The canonical signature, such as `report(bytes32,uint256)`; raise AbiInvalid."""
    return f"{entry.get('name')}{parse_inputs(entry).text}"


def compute_selector(entry: Mapping[str, Any]) -> bytes:
    """The four bytes a call of this function starts with; raise AbiInvalid."""
    return keccak(compute_signature(entry).encode())[:4]


def encode_call(entry: Mapping[str, Any], values: Sequence[Any]) -> bytes:
    """Selector and encoded arguments; raise AbiInvalid, or ArgumentsMismatch(pointer, reason)."""
    inputs = parse_inputs(entry)
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        raise ArgumentsMismatch(pointer="", reason="a list of arguments is expected")

    arguments = _encode_parts(inputs.parts, _ordered(inputs, values, ""), "")

    return keccak(f"{entry['name']}{inputs.text}".encode())[:4] + arguments


def checksum_address(address: str) -> str:
    """The EIP-55 mixed-case form of a `0x` + 40 hex digits address."""
    digits = address[2:].lower()
    nibbles = keccak(digits.encode()).hex()
    return "0x" + "".join(
        char.upper() if int(nibble, 16) >= 8 else char for char, nibble in zip(digits, nibbles, strict=False)
    )


def is_address(text: Any) -> bool:
    """Whether this is `0x` and 40 hex digits, with a correct checksum where the case is mixed."""
    if not isinstance(text, str) or not re.fullmatch(r"0x[0-9a-fA-F]{40}", text):
        return False
    return text[2:] in (text[2:].lower(), text[2:].upper()) or text == checksum_address(text)


def require_address(value: Any, pointer: str) -> str:
    """The address in lower case; raise AddressInvalid or AddressChecksum."""
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise AddressInvalid(pointer=pointer, given=str(value)[:80])
    if not is_address(value):
        raise AddressChecksum(pointer=pointer, given=value, expected=checksum_address(value))
    if int(value, 16) == 0:
        raise AddressInvalid(pointer=pointer, given=value, reason="the zero address takes no call")
    return value.lower()


def _parse_members(members: Any, pointer: str, depth: int) -> AbiType:
    if not isinstance(members, Sequence) or isinstance(members, str) or len(members) > 64:
        raise AbiInvalid(pointer=pointer, reason="a list of at most 64 members is expected")
    types = tuple(_parse_member(member, f"{pointer}/{i}", depth) for i, member in enumerate(members))
    names = tuple(str(member.get("name", "")) for member in members)
    return AbiType(kind="tuple", parts=types, names=names)


def _parse_member(member: Any, pointer: str, depth: int) -> AbiType:
    if not isinstance(member, Mapping) or not isinstance(member.get("type"), str):
        raise AbiInvalid(pointer=pointer, reason="a member has a type")
    if depth >= MAX_NESTING:
        raise AbiInvalid(pointer=pointer, reason=f"nested deeper than {MAX_NESTING}")
    match = _TYPE.fullmatch(member["type"])
    if match is None:
        raise AbiInvalid(pointer=f"{pointer}/type", reason="unknown type", value=member["type"][:80])

    name, digits, suffix = match.groups()
    if name == "tuple" and not digits:
        found = _parse_members(member.get("components"), f"{pointer}/components", depth + 1)
    else:
        found = _parse_word(name, digits, f"{pointer}/type")

    lengths = re.findall(r"\[([0-9]*)\]", suffix)
    if len(lengths) > MAX_NESTING or not all(1 <= int(length[:9] or 1) <= MAX_ELEMENTS for length in lengths):
        raise AbiInvalid(pointer=f"{pointer}/type", reason=f"arrays hold 1 to {MAX_ELEMENTS} elements")
    for length in lengths:
        found = AbiType(kind="row" if length else "array", size=int(length or 0), parts=(found,))
    return found


def _parse_word(name: str, digits: str, pointer: str) -> AbiType:
    size = int(digits[:4] or 0)
    match name:
        case "uint" | "int" if not digits:
            return AbiType(kind=name, size=256)
        case "uint" | "int" if size % 8 == 0 and 8 <= size <= 256 and digits == str(size):
            return AbiType(kind=name, size=size)
        case "bytes" if digits and 1 <= size <= 32 and digits == str(size):
            return AbiType(kind="fixed", size=size)
        case "bytes" | "string" | "address" | "bool" if not digits:
            return AbiType(kind=name)
    raise AbiInvalid(pointer=pointer, reason="unknown type", value=f"{name}{digits}"[:80])


def _ordered(kind: AbiType, value: Any, pointer: str) -> Sequence[Any]:
    """The members' values in order, from a list or from an object by name."""
    count = len(kind.parts)
    if isinstance(value, Mapping):
        if len(set(kind.names)) != count or "" in kind.names or set(value) != set(kind.names):
            raise ArgumentsMismatch(pointer=pointer, reason="other member names", expected=list(kind.names))
        return [value[name] for name in kind.names]
    if isinstance(value, str | bytes) or not isinstance(value, Sequence) or len(value) != count:
        raise ArgumentsMismatch(pointer=pointer, reason=f"{count} values are expected", type=kind.text)
    return value


def _encode_parts(types: Sequence[AbiType], values: Sequence[Any], pointer: str) -> bytes:
    """Heads, then tails (contract ABI specification, `enc` of a tuple)."""
    offset = sum(part.head_size for part in types)
    heads: list[bytes] = []
    tails: list[bytes] = []
    for i, (part, value) in enumerate(zip(types, values, strict=True)):
        encoded = _encode(part, value, f"{pointer}/{i}")
        if part.is_dynamic:
            heads.append(offset.to_bytes(32))
            tails.append(encoded)
            offset += len(encoded)
        else:
            heads.append(encoded)
    return b"".join(heads + tails)


def _encode(kind: AbiType, value: Any, pointer: str) -> bytes:
    match kind.kind:
        case "uint" | "int":
            return _encode_integer(kind, value, pointer)
        case "bool" if isinstance(value, bool):
            return int(value).to_bytes(32)
        case "address" if is_address(value):
            return bytes(12) + bytes.fromhex(value[2:])
        case "fixed" if (data := _hex_bytes(value)) is not None and len(data) == kind.size:
            return data.ljust(32, b"\0")
        case "bytes" if (data := _hex_bytes(value)) is not None:
            return _encode_bytes(data)
        case "string" if isinstance(value, str) and _is_unicode(value):
            return _encode_bytes(value.encode())
        case "tuple":
            return _encode_parts(kind.parts, _ordered(kind, value, pointer), pointer)
        case "array" | "row" if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            return _encode_elements(kind, value, pointer)
    raise ArgumentsMismatch(pointer=pointer, reason="not a value of this type", type=kind.text)


def _encode_elements(kind: AbiType, value: Sequence[Any], pointer: str) -> bytes:
    if kind.kind == "row" and len(value) != kind.size:
        raise ArgumentsMismatch(pointer=pointer, reason=f"{kind.size} elements are expected", type=kind.text)
    if len(value) > MAX_ELEMENTS:
        raise ArgumentsMismatch(pointer=pointer, reason=f"more than {MAX_ELEMENTS} elements", type=kind.text)
    body = _encode_parts(kind.parts * len(value), value, pointer)
    return body if kind.kind == "row" else len(value).to_bytes(32) + body


def _encode_integer(kind: AbiType, value: Any, pointer: str) -> bytes:
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        number = int(value)
    elif isinstance(value, str) and _HEX_NUMBER.fullmatch(value):
        number = int(value, 16)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        raise ArgumentsMismatch(pointer=pointer, reason="not an integer", type=kind.text)
    signed = kind.kind == "int"
    low, high = (-(1 << kind.size - 1), 1 << kind.size - 1) if signed else (0, 1 << kind.size)
    if not low <= number < high:
        raise ArgumentsMismatch(pointer=pointer, reason="out of range", type=kind.text)
    return number.to_bytes(32, signed=signed)


def _encode_bytes(data: bytes) -> bytes:
    return len(data).to_bytes(32) + data + bytes(-len(data) % 32)


def _hex_bytes(value: Any) -> bytes | None:
    if not isinstance(value, str) or not re.fullmatch(r"0x(?:[0-9a-fA-F]{2})*", value):
        return None
    return bytes.fromhex(value[2:])


def _is_unicode(value: str) -> bool:
    return not any(0xD800 <= ord(char) <= 0xDFFF for char in value)

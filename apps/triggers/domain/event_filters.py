"""What an argument of a log has to be: equal to something, one of a few, or within exact integer bounds.

Integers are exact, addresses and bytes compare in lower case. An indexed argument of a dynamic type is in
the log by its Keccak hash only: a text or bytes are compared by theirs, anything else by `{"hash": "0x…"}`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from apps.kernel.abi import is_address
from apps.kernel.hashing import keccak, to_hex
from apps.kernel.reading import escape, is_clean
from apps.triggers.domain.event_signatures import Argument, Event
from apps.triggers.errors import FilterInvalid, FilterUnknown

MAX_VALUES: Final = 64
_MAX_CHARACTERS: Final = 4_096
_ORDERS: Final = ("greater_than", "greater_equal", "less_than", "less_equal", "between")
_EQUALITIES: Final = ("equals", "one_of")
_HASH: Final = "hash"
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,77})", re.ASCII)
_HEX_INTEGER: Final = re.compile(r"0x[0-9a-fA-F]{1,64}", re.ASCII)
_BYTES: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*", re.ASCII)
_MAX_SAFE: Final = (1 << 53) - 1

Value = int | str | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One comparison: what `is_met` asks for, and what with (two ends for `between`, some for `one_of`)."""

    how: str
    values: tuple[Value, ...]

    def is_met(self, found: Any) -> bool:
        """Whether a decoded value in its comparable form passes."""
        match self.how:
            case "greater_than":
                return bool(found > self.values[0])
            case "greater_equal":
                return bool(found >= self.values[0])
            case "less_than":
                return bool(found < self.values[0])
            case "less_equal":
                return bool(found <= self.values[0])
            case "between":
                return bool(self.values[0] <= found <= self.values[1])
        return found in self.values


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentFilter:
    """All that is asked of one argument; each test has to pass."""

    argument: Argument
    tests: tuple[Comparison, ...]

    def is_met(self, value: Any) -> bool:
        """Whether a decoded argument (`decode_word`, `decode`, or the topic of a hashed one) passes."""
        is_text = self.argument.kind.kind == "string" and not self.argument.is_indexed
        found = value.lower() if isinstance(value, str) and not is_text else value
        return all(test.is_met(found) for test in self.tests)

    def topics(self) -> tuple[str, ...] | None:
        """The topics a node may choose by; None where it cannot."""
        equalities = [test for test in self.tests if test.how in (*_EQUALITIES, _HASH)]
        if not self.argument.is_indexed or not equalities:
            return None
        return tuple(sorted({_topic(self.argument, value) for value in equalities[0].values}))

    def to_json(self) -> Any:
        """The stored form: every test by its name."""
        return {test.how: _shown(self.argument, test) for test in self.tests}


def filters_from_json(value: Any, event: Event, pointer: str) -> tuple[ArgumentFilter, ...]:
    """The filters of an event in the order of its arguments; raise FilterUnknown or FilterInvalid."""
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        raise FilterInvalid(pointer=pointer, reason="an object by argument is expected")
    known = [argument.name for argument in event.arguments]
    for name in value:
        if name not in known:
            place = f"{pointer}/{escape(str(name)[:80])}"
            raise FilterUnknown(pointer=place, argument=str(name)[:80], known=known)
    return tuple(
        ArgumentFilter(
            argument=argument,
            tests=_tests(argument, value[argument.name], f"{pointer}/{escape(argument.name)}"),
        )
        for argument in event.arguments
        if argument.name in value
    )


def is_hashed(argument: Argument) -> bool:
    """Whether a log holds only the hash of this argument: an indexed one that takes more than a word."""
    kind = argument.kind.kind
    return argument.is_indexed and kind in ("bytes", "string", "array", "row", "tuple")


def _tests(argument: Argument, value: Any, pointer: str) -> tuple[Comparison, ...]:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        value = {"one_of": value}
    elif not isinstance(value, Mapping):
        value = {"equals": value}
    if not value:
        raise FilterInvalid(pointer=pointer, reason="it asks for nothing", type=argument.kind.text)
    known = _allowed(argument)
    for how in value:
        if how not in known:
            raise FilterInvalid(
                pointer=f"{pointer}/{escape(str(how)[:80])}",
                reason="not for this type" if known else "arrays and tuples are not compared",
                known=list(known),
                type=argument.kind.text,
            )
    tests = tuple(_test(argument, how, value[how], f"{pointer}/{how}") for how in sorted(value))
    if len({test.how for test in tests}) != len(tests):
        raise FilterInvalid(pointer=pointer, reason="a hash is asked for twice", type=argument.kind.text)
    return tests


def _allowed(argument: Argument) -> tuple[str, ...]:
    match argument.kind.kind:
        case "uint" | "int":
            return (*_EQUALITIES, *_ORDERS)
        case "array" | "row" | "tuple":
            return (_HASH,) if argument.is_indexed else ()
        case "bytes" | "string" if argument.is_indexed:
            return (*_EQUALITIES, _HASH)
    return _EQUALITIES


def _test(argument: Argument, how: str, value: Any, pointer: str) -> Comparison:
    values = [value]
    is_list = how in ("one_of", "between") or (how == _HASH and not isinstance(value, str))
    if is_list:
        if isinstance(value, str | bytes) or not isinstance(value, Sequence):
            raise FilterInvalid(pointer=pointer, reason="a list is expected")
        values = list(value)
    if how == "between" and len(values) != 2:
        raise FilterInvalid(pointer=pointer, reason="both ends are expected: [low, high]")
    if not 1 <= len(values) <= MAX_VALUES:
        raise FilterInvalid(pointer=pointer, reason=f"1 to {MAX_VALUES} values are expected")

    read = tuple(
        _value(argument, how, each, f"{pointer}/{at}" if is_list else pointer)
        for at, each in enumerate(values)
    )
    if how == "between" and read[0] > read[1]:  # type: ignore[operator]
        raise FilterInvalid(pointer=pointer, reason="the low end is above the high one")
    if how != "between":
        read = tuple(sorted(set(read), key=str))
    if is_hashed(argument):
        how = _HASH
    return Comparison(how=how, values=read)


def _value(argument: Argument, how: str, value: Any, pointer: str) -> Value:
    kind = argument.kind
    if how == _HASH:
        if isinstance(value, str) and len(value) == 66 and _BYTES.fullmatch(value):
            return value.lower()
        raise FilterInvalid(pointer=pointer, reason="0x and 64 hex digits are expected", type=kind.text)
    match kind.kind:
        case "uint" | "int":
            number = _integer(value)
            bound = 1 << (kind.size - 1 if kind.kind == "int" else kind.size)
            if number is not None and (-bound if kind.kind == "int" else 0) <= number < bound:
                return number
        case "bool" if isinstance(value, bool):
            return value
        case "address" if is_address(value):
            return str(value).lower()
        case "fixed" if _is_bytes(value) and len(value) == 2 + 2 * kind.size:
            return str(value).lower()
        case "bytes" if _is_bytes(value):
            raw = bytes.fromhex(value[2:])
            return to_hex(keccak(raw)) if argument.is_indexed else str(value).lower()
        case "string" if isinstance(value, str) and len(value) <= _MAX_CHARACTERS and is_clean(value):
            return to_hex(keccak(value.encode())) if argument.is_indexed else value
    raise FilterInvalid(pointer=pointer, reason="not a value of this type", type=kind.text)


def _integer(value: Any) -> int | None:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    if isinstance(value, str) and _HEX_INTEGER.fullmatch(value):
        return int(value, 16)
    is_whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MAX_SAFE
    return value if is_whole else None


def _is_bytes(value: Any) -> bool:
    is_short = isinstance(value, str) and len(value) <= 2 * _MAX_CHARACTERS
    return is_short and _BYTES.fullmatch(value) is not None


def _topic(argument: Argument, value: Value) -> str:
    """The word a log has for an indexed value."""
    match argument.kind.kind:
        case "uint" | "int":
            return to_hex(int(value).to_bytes(32, signed=argument.kind.kind == "int"))
        case "bool":
            return to_hex(int(value).to_bytes(32))
        case "address":
            return "0x" + str(value)[2:].rjust(64, "0")
        case "fixed":
            return "0x" + str(value)[2:].ljust(64, "0")
    return str(value)


def _shown(argument: Argument, test: Comparison) -> Any:
    shown = [
        str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for value in test.values
    ]
    is_single = test.how not in ("one_of", "between") and len(shown) == 1
    return shown[0] if is_single else shown

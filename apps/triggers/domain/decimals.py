"""Exact numbers from JSON. Nothing here rounds: what cannot be held exactly is refused.

A value has at most 78 digits, as a uint256 has, and its exponents stay within 100 of zero, so that a sum or
a difference of two values is exact in a few hundred digits.
"""

import json
import re
from decimal import Context, Decimal, InvalidOperation
from typing import Any, Final

from apps.triggers.errors import SourceNotJson, ValueNotFinite, ValueNotNumber, ValueOutOfRange

MAX_DIGITS: Final = 78
MAX_EXPONENT: Final = 100
#: a float of JSON that has more digits than these may not be the number that was written
_FLOAT_DIGITS: Final = 15
_MAX_CHARACTERS: Final = 200
_NUMBER: Final = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?", re.ASCII)
_NOT_FINITE: Final = re.compile(r"[+-]?(?:s?nan|inf|infinity)", re.ASCII | re.IGNORECASE)
_EXACT: Final = Context(prec=600, Emax=10_000, Emin=-10_000)
_INTEGER_LIMIT: Final = 10**MAX_DIGITS


def decimal_of(value: Any) -> Decimal:
    """The exact number a JSON value is: a number, or a number as text such as `"-12.50"` or `"1e3"`.

    Raise ValueNotNumber, ValueNotFinite or ValueOutOfRange. A float is taken as the shortest text that
    reads as it, and only up to 15 digits: longer numbers are given as text.
    """
    kind = type(value)
    if kind is int:
        if not -_INTEGER_LIMIT < value < _INTEGER_LIMIT:
            raise ValueOutOfRange(reason=f"at most {MAX_DIGITS} digits are compared")
        return Decimal(value)
    if kind is Decimal:
        return _bounded(value)
    if kind is str:
        return _decimal_of_text(value)
    if kind is float:
        return _decimal_of_float(value)
    raise ValueNotNumber(given=_kind_name(value))


def decimal_text(value: Decimal) -> str:
    """The canonical text: no exponent, no needless zeros, no negative zero; equal numbers, equal texts."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def add(one: Decimal, other: Decimal) -> Decimal:
    """The exact sum of two values."""
    return _EXACT.add(one, other)


def subtract(one: Decimal, other: Decimal) -> Decimal:
    """The exact difference of two values."""
    return _EXACT.subtract(one, other)


def load_json(body: bytes) -> Any:
    """The document of a source's answer, its fractions as Decimals; raise SourceNotJson.

    Refused beside bad syntax: anything but UTF-8, NaN and infinities, a name twice in one object (readers
    disagree which counts), nesting beyond the interpreter's depth, numbers that fit no Decimal.
    """
    try:
        return json.loads(
            body.decode("utf-8-sig"),
            parse_float=Decimal,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object_of,
        )
    except RecursionError:
        raise SourceNotJson(reason="nested too deep") from None
    except InvalidOperation:
        raise SourceNotJson(reason="a number with an endless exponent") from None
    except ValueError as exc:
        raise SourceNotJson(reason=str(exc)[:200]) from None


def _decimal_of_text(text: str) -> Decimal:
    if len(text) > _MAX_CHARACTERS:
        raise ValueOutOfRange(reason="the text is too long for a number")
    if _NUMBER.fullmatch(text):
        return _bounded(Decimal(text))
    if _NOT_FINITE.fullmatch(text):
        raise ValueNotFinite(given=text)
    raise ValueNotNumber(given=text[:80])


def _decimal_of_float(value: float) -> Decimal:
    number = Decimal(repr(value))
    if not number.is_finite():
        raise ValueNotFinite(given=str(number))
    if len(number.as_tuple().digits) > _FLOAT_DIGITS + (value == int(value)):
        raise ValueOutOfRange(reason=f"a fraction of more than {_FLOAT_DIGITS} digits; give it as text")
    return _bounded(number)


def _bounded(value: Decimal) -> Decimal:
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise ValueNotFinite(given=str(value))
    if len(digits) > MAX_DIGITS or exponent < -MAX_EXPONENT or value.adjusted() > MAX_EXPONENT:
        raise ValueOutOfRange(
            reason=f"at most {MAX_DIGITS} digits and exponents within {MAX_EXPONENT} are compared"
        )
    return value


def _kind_name(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "object" if isinstance(value, dict) else "list" if isinstance(value, list) else "other"


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found

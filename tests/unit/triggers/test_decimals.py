"""Numbers from JSON: exact, or refused with a code."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.triggers.domain.decimals import decimal_of, decimal_text, load_json
from apps.triggers.errors import SourceNotJson, ValueNotFinite, ValueNotNumber, ValueOutOfRange


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (-7, "-7"),
        (10**77, "1" + "0" * 77),
        ("3000.50", "3000.5"),
        ("-12.5", "-12.5"),
        ("1e3", "1000"),
        ("1E-3", "0.001"),
        (".5", "0.5"),
        ("-0", "0"),
        ("-0.00", "0"),
        ("0.1", "0.1"),
        (0.1, "0.1"),
        (1e21, "1000000000000000000000"),
        ("9" * 78, "9" * 78),
        ("1e100", "1" + "0" * 100),
        ("1e-100", "0." + "0" * 99 + "1"),
        (Decimal("2.500"), "2.5"),
    ],
)
def test_a_number_is_read_exactly_and_has_one_text(value: Any, expected: str) -> None:
    assert decimal_text(decimal_of(value)) == expected


@pytest.mark.parametrize(
    "value",
    [True, False, None, {}, [], "", " 1", "1 ", "1,000", "0x10", "abc", "1e", "--1", "1.", "١", "1_0"],
)
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(ValueNotNumber):
        decimal_of(value)


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "inf", float("nan"), float("inf"), Decimal("NaN")])
def test_what_is_not_finite_is_refused(value: Any) -> None:
    with pytest.raises(ValueNotFinite):
        decimal_of(value)


@pytest.mark.parametrize(
    "value", [10**78, -(10**78), "1" * 79, "1e101", "1e-101", "1e999999", "0." + "0" * 300, 0.1 + 0.2]
)
def test_a_number_beyond_what_is_compared_is_refused(value: Any) -> None:
    with pytest.raises(ValueOutOfRange):
        decimal_of(value)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**20), max_value=10**20))
def test_a_text_reads_back_to_the_same_number(number: Decimal) -> None:
    text = decimal_text(number)
    assert decimal_of(text) == number
    assert decimal_text(decimal_of(text)) == text


def test_a_document_keeps_every_digit_of_its_fractions() -> None:
    assert load_json(b'{"a": 0.10000000000000000001, "b": [1, "x"]}') == {
        "a": Decimal("0.10000000000000000001"),
        "b": [1, "x"],
    }
    assert load_json(b"\xef\xbb\xbf1.50") == Decimal("1.50")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"NaN",
        b'{"a": Infinity}',
        b'{"a": 1, "a": 2}',
        b"\xff",
        b"[" * 200_000,
        b"1" * 5_000,
        b"1.5e99999999999999999999",
        b"<html>",
    ],
)
def test_a_body_that_readers_would_not_agree_on_is_refused(body: bytes) -> None:
    with pytest.raises(SourceNotJson) as caught:
        load_json(body)
    assert caught.value.reason

"""The scalar evaluator: seven comparisons, three values of truth, hysteresis, and what would flip it."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given

from apps.triggers.data import (
    condition_from_json,
    condition_to_json,
    evaluate,
    load_json,
    pick_number,
    region_of,
)
from apps.triggers.domain.evaluating import PickFault
from tests.unit.triggers.conditions import FAULT, condition, conditions, leaf, picked


def _met(when: Any, *values: str) -> list[bool | None]:
    """The truth after each of the values, one after the other."""
    found, latched = [], 0
    for value in values:
        verdict = evaluate(condition_from_json(condition(when)), picked(value), latched)
        latched = verdict.latched_after
        found.append(verdict.is_met)
    return found


@pytest.mark.parametrize(
    ("comparison", "below", "at", "above"),
    [
        ("greater_than", False, False, True),
        ("greater_equal", False, True, True),
        ("less_than", True, False, False),
        ("less_equal", True, True, False),
        ("equals", False, True, False),
        ("not_equals", True, False, True),
    ],
)
def test_a_comparison_is_decided_to_the_last_digit(
    comparison: str, below: bool, at: bool, above: bool
) -> None:
    threshold = "9007199254740993"
    values = ("9007199254740992.9999999999999999999", "9007199254740993.0", "9007199254740993.00000000001")
    for value, expected in zip(values, (below, at, above), strict=True):
        assert _met(leaf(comparison, threshold), value) == [expected]
        assert _met(leaf(comparison, "-0"), str(Decimal(value) - Decimal(threshold))) == [expected]


def test_both_ends_of_between_are_in() -> None:
    when = leaf("between", None, low="-1", high="2.5")
    for value, expected in (("-1", True), ("2.5", True), ("0", True), ("-1.01", False), ("2.51", False)):
        assert _met(when, value) == [expected]


@pytest.mark.parametrize(
    ("when", "values", "expected"),
    [
        (leaf("greater_than", "10", hysteresis="2"), "10 11 9 8.1 8 9 10 10.1", "0 1 1 1 0 0 0 1"),
        (leaf("greater_equal", "10", hysteresis="2"), "9 10 8 7.9 9 10", "0 1 1 0 0 1"),
        (leaf("less_than", "10", hysteresis="2"), "10 9 11.9 12 11 9", "0 1 1 0 0 1"),
        (leaf("less_equal", "10", hysteresis="2"), "11 10 12 12.1 11 10", "0 1 1 0 0 1"),
        (leaf("equals", "10", hysteresis="2"), "11 10 12 8 7.9 9", "0 1 1 1 0 0"),
        (leaf("between", None, low="10", high="20", hysteresis="2"), "9 10 8 22 22.1 21", "0 1 1 1 0 0"),
        (leaf("not_equals", "10", hysteresis="2"), "10 12 12.1 11 10.1 10 11", "0 0 1 1 1 0 0"),
        (leaf("greater_than", "10"), "10 11 10", "0 1 0"),
    ],
)
def test_a_comparison_that_is_met_stays_met_within_its_hysteresis(
    when: Any, values: str, expected: str
) -> None:
    assert _met(when, *values.split()) == [one == "1" for one in expected.split()]


def test_hysteresis_outlasts_a_source_that_is_down() -> None:
    read = condition_from_json(condition(leaf("greater_than", "10", hysteresis="2")))
    first = evaluate(read, picked("11"))
    second = evaluate(read, picked(FAULT), first.latched_after)
    third = evaluate(read, picked("9"), second.latched_after)
    assert [first.is_met, second.is_met, third.is_met] == [True, None, True]
    assert second.leaves[0].fault == FAULT
    assert second.leaves[0].value is None


_TRUTHS: dict[str, bool | None] = {"t": True, "f": False, "u": None}


@pytest.mark.parametrize(
    ("join", "parts", "expected"),
    [
        ("all", "tt", "t"),
        ("all", "tf", "f"),
        ("all", "tu", "u"),
        ("all", "fu", "f"),
        ("all", "uf", "f"),
        ("any", "ff", "f"),
        ("any", "tf", "t"),
        ("any", "fu", "u"),
        ("any", "tu", "t"),
        ("any", "ut", "t"),
    ],
)
def test_what_is_unknown_decides_nothing_that_is_decided_without_it(
    join: str, parts: str, expected: str
) -> None:
    routes = [f"r{i}" for i in range(len(parts))]
    read = condition_from_json(condition({join: [leaf(value="0", route=route) for route in routes]}))
    values = {"t": Decimal(1), "f": Decimal(0), "u": FAULT}
    picks = {"eth": {route: values[part] for route, part in zip(routes, parts, strict=True)}}
    verdict = evaluate(read, picks)
    assert verdict.is_met is _TRUTHS[expected]
    assert [one.is_met for one in verdict.leaves] == [_TRUTHS[part] for part in parts]


def test_a_pick_that_is_not_there_is_unknown() -> None:
    verdict = evaluate(condition_from_json(condition()), {})
    assert verdict.is_met is None
    assert verdict.leaves[0].fault == PickFault(code="value_missing")


@pytest.mark.parametrize(
    ("when", "value", "flip"),
    [
        (leaf(), "3012.50", "3000 or less (12.5 away)"),
        (leaf(), "2990", "above 3000 (10 away)"),
        (leaf(hysteresis="5"), "3001", "2995 or less (6 away)"),
        (leaf(hysteresis="5"), "2999", "above 3000 (1 away)"),
        (leaf("greater_equal"), "3000", "below 3000 (0 away)"),
        (leaf("less_than"), "2999", "3000 or more (1 away)"),
        (leaf("less_equal"), "3001", "3000 or less (1 away)"),
        (leaf("equals"), "3000", "anything but 3000 (0 away)"),
        (leaf("equals"), "1", "exactly 3000 (2999 away)"),
        (leaf("not_equals"), "1", "exactly 3000 (2999 away)"),
        (leaf("not_equals", hysteresis="5"), "3004", "below 2995 or above 3005 (1 away)"),
        (leaf("between", None, low="1", high="3"), "2.5", "below 1 or above 3 (0.5 away)"),
        (leaf("between", None, low="1", high="3"), "9", "1 to 3 (6 away)"),
    ],
)
def test_a_verdict_says_what_would_flip_it(when: Any, value: str, flip: str) -> None:
    assert evaluate(condition_from_json(condition(when)), picked(value)).leaves[0].flip == flip


@given(conditions)
def test_every_value_of_the_narrow_region_is_in_the_wide_one(form: dict[str, Any]) -> None:
    for one in condition_from_json(form).leaves:
        for value in (one.low, one.high, one.low - one.hysteresis, one.high + one.hysteresis, Decimal(0)):
            if region_of(one, False).contains(value):
                assert region_of(one, True).contains(value)


@given(conditions)
def test_a_condition_reads_back_from_its_own_json(form: dict[str, Any]) -> None:
    read = condition_from_json(form)
    again = condition_from_json(condition_to_json(read))
    assert again == read
    assert condition_to_json(again) == condition_to_json(read)


def test_a_number_is_picked_or_the_reason_why_not() -> None:
    document = load_json(b'{"price": "3000.50", "up": true, "many": [1, 2], "huge": 1e500}')
    assert pick_number("$.price", document) == Decimal("3000.50")
    faults = {route: pick_number(route, document) for route in ("up", "$.none", "$.many[*]", "many", "huge")}
    assert {route: fault.code for route, fault in faults.items()} == {
        "up": "value_not_number",
        "$.none": "route_matches_nothing",
        "$.many[*]": "route_matches_many",
        "many": "value_not_number",
        "huge": "value_out_of_range",
    }
    assert faults["$.many[*]"].detail == "count: 2"

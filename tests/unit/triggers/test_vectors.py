"""The evaluator of many conditions, against the scalar one over random histories."""

from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from apps.triggers.data import Condition, condition_from_json, evaluate
from apps.triggers.domain.vectors import Pick, Table
from tests.unit.triggers.conditions import FAULT, ROUTES, SOURCES, condition, conditions, leaf, values

KEYS = {"a": "A", "b": "B"}
_PICKS = [(KEYS[source], route) for source in SOURCES for route in ROUTES]


class _Scalar:
    """The same history, one condition at a time."""

    def __init__(self) -> None:
        self.jobs: dict[str, tuple[Condition, int]] = {}
        self.picked: dict[Pick, Any] = {}

    def evaluate(self) -> dict[str, tuple[bool | None, int]]:
        picks = {
            name: {route: self.picked[key, route] for route in ROUTES if (key, route) in self.picked}
            for name, key in KEYS.items()
        }
        found = {}
        for key, (one, latched) in self.jobs.items():
            verdict = evaluate(one, picks, latched)
            self.jobs[key] = (one, verdict.latched_after)
            found[key] = (verdict.is_met, verdict.latched_after)
        return found


_step = st.one_of(
    st.tuples(st.just("poll"), st.dictionaries(st.sampled_from(_PICKS), values, min_size=1)),
    st.tuples(st.just("add"), st.sampled_from("pqrs"), conditions, st.integers(0, 7)),
    st.tuples(st.just("remove"), st.sampled_from("pqrs")),
)


@settings(deadline=None, max_examples=200)
@given(st.lists(conditions, min_size=1, max_size=6), st.lists(_step, min_size=1, max_size=12))
def test_all_at_once_says_what_one_at_a_time_says(forms: list[Any], steps: list[Any]) -> None:
    scalar = _Scalar()
    for i, form in enumerate(forms):
        scalar.jobs[f"job{i}"] = (condition_from_json(form), 0)
    table = Table.compile((key, one, KEYS) for key, (one, _) in scalar.jobs.items())
    known: dict[str, bool | None] = {}

    for step in steps:
        match step:
            case ("poll", picks):
                scalar.picked |= picks
                table.update(picks)
            case ("add", key, form, latched):
                one = condition_from_json(form)
                bits = latched & ((1 << len(one.leaves)) - 1)
                scalar.jobs.pop(key, None)
                known.pop(key, None)
                scalar.jobs[key] = (one, bits)
                table.add(key, one, KEYS, latched=bits)
                table.update(scalar.picked)
            case ("remove", key):
                scalar.jobs.pop(key, None)
                known.pop(key, None)
                table.remove(key)
        before = {key: latched for key, (_, latched) in scalar.jobs.items()}
        expected = scalar.evaluate()
        found = table.evaluate()

        assert {key: (table.truth_of(key), table.latched_of(key)) for key in expected} == expected
        turned = {key: met for key, (met, _) in expected.items() if key not in known or known[key] is not met}
        assert found.turned == turned
        moved = {key for key, (_, latched) in expected.items() if latched != before[key]}
        assert set(found.latched) == moved
        known = {key: met for key, (met, _) in expected.items()}
        assert len(table) == len(expected)


def test_a_value_that_passes_no_threshold_is_not_compared_again() -> None:
    read = condition_from_json(condition(leaf("greater_than", "10")))
    table = Table.compile([("job", read, {"eth": "K"})])
    assert table.picks() == [("K", "$.price")]
    assert table.evaluate().turned == {"job": None}
    assert table.update({("K", "$.price"): Decimal("5"), ("K", "other"): Decimal(1)}) == 1
    assert table.evaluate().turned == {"job": False}
    assert table.update({("K", "$.price"): Decimal("7")}) == 0
    assert table.evaluate().turned == {}
    assert table.update({("K", "$.price"): Decimal("10.0000000000000000000000001")}) == 1
    assert table.evaluate().turned == {"job": True}
    table.update({("K", "$.price"): FAULT})
    assert table.evaluate().turned == {"job": None}


def test_a_pick_nobody_reads_any_more_forgets_its_value() -> None:
    read = condition_from_json(condition())
    table = Table.compile([("job", read, {"eth": "K"})])
    table.update({("K", "$.price"): Decimal(4000)})
    table.evaluate()
    table.remove("job")
    table.remove("job")
    assert (len(table), table.picks(), table.evaluate().turned) == (0, [], {})
    table.add("again", read, {"eth": "K"})
    assert table.evaluate().turned == {"again": None}
    assert "again" in table

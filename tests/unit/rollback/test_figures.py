"""Percentiles by nearest rank."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.rollback.domain.figures import compute_percentile


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([7], 99, 7), ([1, 2], 50, 1), ([1, 2], 51, 2), (range(1, 101), 99, 99), (range(1, 102), 99, 100)],
)
def test_the_nearest_rank_from_above(values, percent, expected):
    assert compute_percentile(list(values), percent) == expected


def test_there_is_no_percentile_of_nothing():
    assert compute_percentile([], 99) is None


@given(st.lists(st.integers(-1000, 1000), min_size=1), st.integers(1, 100))
def test_so_many_percent_lie_at_or_below_it_and_no_smaller_value_has_as_many(values, percent):
    found = compute_percentile(values, percent)
    assert sum(value <= found for value in values) * 100 >= percent * len(values)
    assert sum(value < found for value in values) * 100 < percent * len(values)
    assert compute_percentile(values, 50) == statistics.median_low(values)

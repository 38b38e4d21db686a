"""The breaker: off above the rate, half-open after the cool-down, then what the trials show."""

from datetime import timedelta

import pytest

from apps.speculation.domain.breaker import (
    BREAKER_TABLE,
    Breaker,
    BreakerStatus,
    BreakerTerms,
    Outcomes,
    advance_breaker,
    compute_window_start,
    get_cooled_at,
    is_backed_up,
    is_letting,
)
from tests.factories.speculation import NOW

TERMS = BreakerTerms()
CLOSED = Breaker(since=NOW)
OPEN = Breaker(status=BreakerStatus.OPEN, since=NOW)
HALF_OPEN = Breaker(status=BreakerStatus.HALF_OPEN, since=NOW)


def seconds(count):
    return timedelta(seconds=count)


@pytest.mark.parametrize(
    ("ended", "undone", "is_open"),
    [(100, 20, False), (100, 21, True), (20, 5, True), (19, 19, False), (0, 0, False), (1000, 200, False)],
)
def test_it_opens_above_the_rate_and_not_at_it(ended, undone, is_open):
    outcomes = Outcomes(ended=ended, undone=undone)
    advanced = advance_breaker(CLOSED, outcomes, now=NOW + seconds(1), terms=TERMS)
    assert (advanced.status is BreakerStatus.OPEN) is is_open
    assert is_letting(CLOSED, outcomes, TERMS) is not is_open
    assert advanced == CLOSED or advanced.since == NOW + seconds(1)


def test_an_open_breaker_lets_nothing_through_until_it_has_cooled():
    assert not is_letting(OPEN, Outcomes(), TERMS)
    assert advance_breaker(OPEN, Outcomes(), now=NOW + seconds(299), terms=TERMS) is OPEN
    cooled = advance_breaker(OPEN, Outcomes(), now=get_cooled_at(OPEN, TERMS), terms=TERMS)
    assert cooled == Breaker(status=BreakerStatus.HALF_OPEN, since=NOW + seconds(300))


def test_half_open_lets_a_few_through_and_closes_when_they_are_confirmed():
    assert [is_letting(HALF_OPEN, Outcomes(opened=n), TERMS) for n in range(5)] == [True] * 3 + [False] * 2
    waiting = Outcomes(opened=3, ended=2)
    assert advance_breaker(HALF_OPEN, waiting, now=NOW, terms=TERMS) is HALF_OPEN
    done = Outcomes(opened=3, ended=3)
    assert advance_breaker(HALF_OPEN, done, now=NOW, terms=TERMS).status is BreakerStatus.CLOSED


def test_the_first_trial_that_is_undone_opens_it_again_for_a_whole_cool_down():
    later = NOW + seconds(7)
    again = advance_breaker(HALF_OPEN, Outcomes(opened=3, ended=3, undone=1), now=later, terms=TERMS)
    assert again == Breaker(status=BreakerStatus.OPEN, since=later)


def test_what_was_counted_before_a_move_is_not_counted_again():
    assert compute_window_start(CLOSED, now=NOW + seconds(100), terms=TERMS) == NOW
    assert compute_window_start(CLOSED, now=NOW + seconds(900), terms=TERMS) == NOW + seconds(300)
    assert compute_window_start(HALF_OPEN, now=NOW + seconds(9_000), terms=TERMS) == NOW


def test_no_state_of_the_breaker_is_an_ending():
    assert not [status for status in BreakerStatus if BREAKER_TABLE.is_ending(status)]


def test_running_ahead_is_held_back_from_the_high_mark_down_to_the_low_one():
    held, seen = False, []
    for backlog in (99, 100, 60, 26, 25, 60, 99, 100):
        held = is_backed_up(held, backlog, high=100, low=25)
        seen.append(held)
    assert seen == [False, True, True, True, False, False, False, True]

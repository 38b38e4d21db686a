"""Each check of why a job does not fire fails once, and the first failing one is the answer."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from apps.progress.domain.firing_checks import FiringFacts, check_firing, find_answer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = FiringFacts(
    now=NOW,
    status="active",
    trigger_kind="time",
    next_fire_at=NOW + timedelta(minutes=1),
    sweep_age_seconds=1.0,
    sweep_limit_seconds=30.0,
    estimated_cost_units=5,
    balance_units=5,
)
EVENT = replace(GOOD, trigger_kind="event", next_fire_at=None, is_led=True, fired_sightings=1)


def answer(facts):
    return find_answer(check_firing(facts))["code"]


@pytest.mark.parametrize("facts", [GOOD, EVENT, replace(GOOD, trigger_kind="manual", next_fire_at=None)])
def test_nothing_holds_up_a_job_that_has_all_it_needs(facts):
    assert answer(facts) == "nothing_holds_it_up"


@pytest.mark.parametrize(
    ("facts", "check"),
    [
        (replace(GOOD, status="paused"), "status"),
        (replace(GOOD, status="completed"), "status"),
        (replace(GOOD, status="deleted"), "status"),
        (replace(GOOD, fires_left=0), "fires_left"),
        (replace(GOOD, expires_at=NOW), "expiry"),
        (replace(GOOD, next_fire_at=None), "next_fire"),
        (replace(EVENT, is_led=False), "chain_led"),
        (replace(EVENT, unheard="chain 1: no URL is set"), "chain_heard"),
        (replace(EVENT, fired_sightings=0), "log_seen"),
        (replace(GOOD, sweep_age_seconds=31.0), "scheduler"),
        (replace(GOOD, estimated_cost_units=None), "price"),
        (replace(GOOD, balance_units=4), "balance"),
        (replace(GOOD, last_refusal_reason="price_unknown"), "last_refusal"),
    ],
)
def test_each_check_fails_by_itself_and_is_the_answer(facts, check):
    failing = [one.check for one in check_firing(facts) if one.ok is False]
    assert failing == [check]
    assert answer(facts) == check


def test_a_reason_of_the_status_is_told():
    facts = replace(GOOD, status="paused", status_reason="failures_in_row")
    assert "failures_in_row" in find_answer(check_firing(facts))["explanation"]


def test_the_first_failing_check_goes_before_later_and_unknown_ones():
    assert answer(replace(GOOD, sweep_age_seconds=None, balance_units=0)) == "balance"
    assert answer(replace(GOOD, status="paused", balance_units=0)) == "status"
    assert answer(replace(GOOD, sweep_age_seconds=None)) == "scheduler"


def test_a_log_that_waits_for_its_confirmations_is_not_known_yet():
    seen = [one for one in check_firing(replace(EVENT, waiting_sightings=2)) if one.check == "log_seen"]
    assert seen[0].ok is None
    assert "confirmations" in seen[0].explanation

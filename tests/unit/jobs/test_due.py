"""What fires now: on-time ticks exactly once, missed ones by policy, nothing early, late or beyond."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.jobs.data import (
    CronSchedule,
    Due,
    IntervalSchedule,
    MissedPolicy,
    Patience,
    Skipped,
    SpecificSchedule,
    due,
)
from apps.jobs.domain.due import fire_after_pause, fires_left, first_fire, is_over, next_after_refusal
from apps.jobs.domain.schedule import fires_between

START = datetime(2026, 1, 1, tzinfo=UTC)
MINUTELY = CronSchedule(expression="* * * * *")


def job(schedule=MINUTELY, policy=MissedPolicy.ONE, **fields):
    value = Due(
        schedule=schedule,
        next_fire_at=None,
        missed_policy=policy,
        missed_limit=fields.pop("missed_limit", 1),
        fires_left=fields.pop("fires_left", None),
        expires_at=fields.pop("expires_at", None),
    )
    return replace(value, next_fire_at=fields.pop("next_fire_at", None) or first_fire(value, START))


def minutes(fires):
    return [round((tick.due_at - START).total_seconds() / 60) for tick in fires.ticks]


def after(**span):
    return START + timedelta(**span)


def test_nothing_fires_before_it_is_due():
    value = job(next_fire_at=after(minutes=1))
    fires = due(value, after(seconds=59))
    assert fires.ticks == ()
    assert fires.next_fire_at == after(minutes=1)


def test_a_due_tick_fires_with_its_own_key_and_moves_the_next_one():
    fires = due(job(next_fire_at=after(minutes=1)), after(minutes=1))
    assert [tick.key for tick in fires.ticks] == ["time:2026-01-01T00:01:00Z"]
    assert fires.next_fire_at == after(minutes=2)
    assert not fires.completed


def test_every_tick_within_the_grace_fires_whatever_the_policy():
    for policy in MissedPolicy:
        fires = due(job(policy=policy), after(minutes=3), Patience(grace_seconds=240))
        assert minutes(fires) == [0, 1, 2, 3]
        assert fires.skipped is None


@pytest.mark.parametrize(
    ("policy", "limit", "expected"),
    [
        (MissedPolicy.SKIP, 1, [60]),
        (MissedPolicy.ONE, 1, [59, 60]),
        (MissedPolicy.ALL, 3, [57, 58, 59, 60]),
        (MissedPolicy.ALL, 1000, list(range(61))),
    ],
)
def test_missed_ticks_follow_the_policy(policy, limit, expected):
    fires = due(job(policy=policy, missed_limit=limit), after(minutes=60), Patience(grace_seconds=30))
    assert minutes(fires) == expected
    assert fires.next_fire_at == after(minutes=61)


def test_dropped_ticks_are_reported_as_a_span():
    fires = due(job(policy=MissedPolicy.ONE), after(minutes=60), Patience(grace_seconds=30))
    assert fires.skipped == Skipped(first=START, until=after(minutes=59))


def test_all_ticks_missed_and_skipped_still_move_the_job_on():
    yearly = CronSchedule(expression="0 0 1 1 *")
    fires = due(job(yearly, MissedPolicy.SKIP), after(days=200))
    assert fires.ticks == ()
    assert fires.skipped == Skipped(first=START, until=after(days=200) - timedelta(seconds=60))
    assert fires.next_fire_at == datetime(2027, 1, 1, tzinfo=UTC)


def test_a_year_of_missed_seconds_is_not_walked():
    schedule = IntervalSchedule(seconds=1, start_at=START)
    fires = due(job(schedule, MissedPolicy.ALL, missed_limit=5), after(days=365), Patience(grace_seconds=0))
    assert len(fires.ticks) == 6


def test_a_burst_is_taken_in_passes_without_losing_a_tick():
    schedule = IntervalSchedule(seconds=1, start_at=START)
    value, fired = job(schedule), []
    while value.next_fire_at <= after(seconds=50):
        fires = due(value, after(seconds=50), Patience(grace_seconds=60, burst=7))
        assert 0 < len(fires.ticks) <= 7
        fired += [tick.due_at for tick in fires.ticks]
        value = replace(value, next_fire_at=fires.next_fire_at)
    assert fired == list(fires_between(schedule, START, after(seconds=51)))


def test_the_last_fire_completes_the_job():
    fires = due(job(fires_left=2), after(minutes=5), Patience(grace_seconds=600))
    assert minutes(fires) == [0, 1]
    assert fires.completed
    assert fires.next_fire_at is None


def test_the_last_instant_completes_the_job():
    fires = due(job(SpecificSchedule(instants=(START, after(hours=1)))), after(hours=1))
    assert fires.completed
    assert fires.next_fire_at is None


def test_nothing_fires_at_or_after_the_expiry_and_what_was_due_before_still_does():
    fires = due(job(expires_at=after(minutes=2)), after(minutes=5), Patience(grace_seconds=600))
    assert minutes(fires) == [0, 1]
    assert fires.next_fire_at is None
    assert not fires.completed


def test_ticks_to_come_are_laid_out_up_to_the_horizon_and_none_beyond():
    fires = due(job(next_fire_at=after(minutes=2)), after(minutes=1), until=after(minutes=4))
    assert minutes(fires) == [2, 3, 4]
    assert fires.next_fire_at == after(minutes=5)
    assert not fires.completed


def test_a_horizon_does_not_make_missed_what_is_late_by_less_than_the_grace():
    value = job(policy=MissedPolicy.SKIP, next_fire_at=after(minutes=9))
    fires = due(value, after(minutes=10), Patience(grace_seconds=90), until=after(minutes=11))
    assert minutes(fires) == [9, 10, 11]
    assert fires.skipped is None


def test_a_job_is_over_when_its_number_is_used_up_or_its_schedule_ends():
    past = SpecificSchedule(instants=(START,))
    assert is_over(job(fires_left=0), START)
    assert not is_over(job(fires_left=1), START)
    assert is_over(replace(job(past), next_fire_at=None), after(seconds=1))
    assert not is_over(replace(job(), next_fire_at=None), after(seconds=1))
    assert due(replace(job(), schedule=None), after(days=1)).ticks == ()


def test_a_job_that_could_not_pay_its_last_tick_waits_for_the_next():
    once = replace(job(fires_left=1), next_fire_at=None)
    assert next_after_refusal(once, after(seconds=90)) == after(minutes=2)
    ending = replace(once, expires_at=after(seconds=100))
    assert next_after_refusal(ending, after(seconds=90)) is None
    assert next_after_refusal(job(next_fire_at=after(minutes=7)), START) == after(minutes=7)


@pytest.mark.parametrize(
    ("policy", "expected"), [(MissedPolicy.SKIP, 61), (MissedPolicy.ONE, 0), (MissedPolicy.ALL, 0)]
)
def test_what_a_pause_made_a_job_miss_follows_its_policy(policy, expected):
    resumed = fire_after_pause(job(policy=policy), after(minutes=60, seconds=30))
    assert resumed == after(minutes=expected)


def test_a_job_resumed_past_its_expiry_has_no_next_fire():
    assert (
        fire_after_pause(job(MINUTELY, MissedPolicy.SKIP, expires_at=after(minutes=3)), after(hours=1))
        is None
    )


@pytest.mark.parametrize(
    ("recurring", "max_fires", "count", "left"),
    [(True, None, 9, None), (True, 5, 3, 2), (True, 5, 9, 0), (False, None, 0, 1), (False, None, 1, 0)],
)
def test_fires_left(recurring, max_fires, count, left):
    assert fires_left(recurring=recurring, max_fires=max_fires, fire_count=count) == left


SCHEDULES = st.sampled_from(
    [
        MINUTELY,
        CronSchedule(expression="*/5 * * * *", zone="America/New_York"),
        CronSchedule(expression="30 2 * * *", zone="Europe/Berlin"),
        CronSchedule(expression="0 1-3 * * *", zone="America/New_York"),
        IntervalSchedule(seconds=7, start_at=START),
        IntervalSchedule(seconds=3601, start_at=START),
        SpecificSchedule(instants=tuple(START + timedelta(hours=n * n) for n in range(1, 12))),
    ]
)


@given(
    SCHEDULES,
    st.sampled_from(MissedPolicy),
    st.integers(1, 20),
    st.lists(st.integers(1, 7_200), min_size=1, max_size=40),
    st.integers(1, 50),
    st.integers(0, 300),
)
@settings(max_examples=200)
def test_any_sweeps_fire_each_tick_at_most_once_and_never_early(schedule, policy, limit, gaps, burst, grace):
    value, now, fired = job(schedule, policy, missed_limit=limit), START, []
    patience = Patience(grace_seconds=grace, burst=burst)
    for gap in gaps:
        now += timedelta(seconds=gap)
        fires = due(value, now, patience)
        assert fires.taken == value.next_fire_at
        assert all(tick.due_at <= now for tick in fires.ticks)
        fired += [tick.due_at for tick in fires.ticks]
        value = replace(value, next_fire_at=fires.next_fire_at)

    assert fired == sorted(set(fired))
    assert set(fired) <= set(fires_between(schedule, START, now + timedelta(microseconds=1)))


@given(SCHEDULES, st.lists(st.integers(1, 60), min_size=1, max_size=60), st.sampled_from(MissedPolicy))
def test_while_sweeps_come_within_the_grace_every_tick_fires_exactly_once(schedule, gaps, policy):
    value, now, fired = job(schedule, policy), START, []
    for gap in gaps:
        now += timedelta(seconds=gap)
        fires = due(value, now, Patience(grace_seconds=60, burst=1000))
        fired += [tick.due_at for tick in fires.ticks]
        value = replace(value, next_fire_at=fires.next_fire_at)
    assert fired == list(fires_between(schedule, START, now + timedelta(microseconds=1)))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("expression", ["30 2 * * *", "30 1 * * *", "0 * * * *", "*/20 1-3 * * *"])
def test_a_year_of_jittered_sweeps_fires_exactly_what_the_preview_promised(zone, expression):
    schedule = CronSchedule(expression=expression, zone=zone)
    value, now, fired = job(schedule), START, []
    end = START + timedelta(days=365)
    steps = random.Random(f"{zone} {expression}")
    while now < end:
        # Sweeps that find nothing to do change nothing, so the clock may jump close to the next tick.
        now = max(now + timedelta(seconds=steps.uniform(1, 30)), value.next_fire_at - timedelta(seconds=2))
        fires = due(value, now)
        assert all(tick.due_at <= now for tick in fires.ticks)
        fired += [tick.due_at for tick in fires.ticks]
        value = replace(value, next_fire_at=fires.next_fire_at)
    promised = fires_between(schedule, START, now + timedelta(microseconds=1))
    assert fired == list(promised)
    assert len({tick.astimezone(UTC) for tick in fired}) == len(fired)

"""When schedules fire: daylight saving, starting points, bad expressions."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.jobs.data import CronSchedule, IntervalSchedule, SpecificSchedule, next_fires
from apps.jobs.domain.schedule import (
    fires_between,
    get_zone,
    last_fires_between,
    next_fire,
    parse_cron,
    require_zone,
)
from apps.jobs.errors import CronInvalid, CronSixFields, ZoneUnknown

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Kolkata")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def utc(schedule: CronSchedule, after: str, count: int) -> list[str]:
    return [each.strftime("%m-%dT%H:%M") for each in next_fires(schedule, at(after), count)]


@pytest.mark.parametrize(
    ("zone", "after", "expected"),
    [
        ("Europe/Berlin", "2026-03-28T12:00Z", ["03-29T01:00", "03-30T00:30"]),
        ("America/New_York", "2026-03-07T12:00Z", ["03-08T07:00", "03-09T06:30"]),
    ],
)
def test_a_local_time_skipped_in_spring_fires_once_at_the_next_valid_instant(zone, after, expected):
    assert utc(CronSchedule(expression="30 2 * * *", zone=zone), after, 2) == expected


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00Z", ["10-25T00:30", "10-26T01:30"]),
        ("30 1 * * *", "America/New_York", "2026-10-31T12:00Z", ["11-01T05:30", "11-02T06:30"]),
    ],
)
def test_a_local_time_repeated_in_autumn_fires_once(expression, zone, after, expected):
    assert utc(CronSchedule(expression=expression, zone=zone), after, 2) == expected


@pytest.mark.parametrize(
    ("expression", "zone", "inside", "expected"),
    [
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10Z", ["10-26T01:30"]),
        ("30 1 * * *", "America/New_York", "2026-11-01T06:10Z", ["11-02T06:30"]),
    ],
)
def test_asking_inside_the_repeated_hour_does_not_name_its_first_pass_again(
    expression, zone, inside, expected
):
    assert utc(CronSchedule(expression=expression, zone=zone), inside, 1) == expected


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01"])
def test_an_hourly_schedule_fires_every_elapsed_hour(zone, day):
    start = at(f"{day}T00:00Z") - timedelta(hours=12)
    fires = next_fires(CronSchedule(expression="15 * * * *", zone=zone), start, 48)
    assert {after - before for before, after in pairwise(fires)} == {timedelta(hours=1)}


def test_two_skipped_times_fire_once_together():
    schedule = CronSchedule(expression="0,30 2 * * *", zone="Europe/Berlin")
    assert utc(schedule, "2026-03-28T12:00Z", 3) == ["03-29T01:00", "03-30T00:00", "03-30T00:30"]


def test_day_of_month_and_day_of_week_together_mean_either():
    fires = next_fires(CronSchedule(expression="0 0 13 * FRI"), at("2026-11-01T00:00Z"), 4)
    assert [each.day for each in fires] == [6, 13, 20, 27]


def test_an_interval_keeps_its_anchor_wherever_it_is_asked():
    schedule = IntervalSchedule(seconds=300, start_at=at("2026-01-01T00:00:07Z"))
    assert next_fire(schedule, at("2025-06-01T00:00Z")) == at("2026-01-01T00:00:07Z")
    assert next_fire(schedule, at("2026-01-01T00:00:07Z")) == at("2026-01-01T00:05:07Z")
    assert next_fire(schedule, at("2026-11-20T10:01Z")) == at("2026-11-20T10:05:07Z")


def test_an_interval_without_its_start_fires_at_no_known_instant():
    with pytest.raises(ValueError, match="without its start"):
        next_fires(IntervalSchedule(seconds=5), at("2026-01-01T00:00Z"), 1)


def test_specific_instants_end():
    instants = (at("2026-01-01T00:00Z"), at("2026-01-02T00:00Z"))
    assert next_fires(SpecificSchedule(instants=instants), at("2026-01-01T00:00Z"), 9) == instants[1:]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "* * * * * * *",
        "61 * * * *",
        "* 24 * * *",
        "0 0 31 4 *",
        "0 0 30 2 *",
        "0 0 * * MON#6",
        "@fortnightly",
        "a b c d e",
        "*/0 * * * *",
        "5-1 * * * *",
        "1L/2 * * * *",
        "* * * * 1L/2",
        "٣ * * * *",
        "0 0 29 2 MON#9",
        "1," * 200 + "1 * * * *",
        "* * * * ²L",
        "0 0 LW/L * *",
        "@daily @daily",
        "9" * 120 + " * * * *",
    ],
)
def test_an_expression_that_is_not_cron_is_refused(text):
    with pytest.raises(CronInvalid):
        parse_cron(text)


def test_six_fields_have_their_own_answer():
    with pytest.raises(CronSixFields):
        parse_cron("0 0 12 * * *")


@pytest.mark.parametrize(
    ("name", "expression"),
    [("@daily", "0 0 * * *"), ("@HOURLY", "0 * * * *"), (" 0   0 * * mon ", "0 0 * * MON")],
)
def test_an_expression_is_kept_in_five_fields(name, expression):
    assert parse_cron(name) == expression


@given(st.text(max_size=40) | st.from_regex(r"[0-9LW#*/,\-]{1,6}( [0-9LW#*/,\-A-Z]{1,6}){4}", fullmatch=True))
def test_no_text_breaks_the_cron_reader(text):
    try:
        expression = parse_cron(text)
    except (CronInvalid, CronSixFields):
        return
    assert next_fires(CronSchedule(expression=expression), at("2026-01-01T00:00Z"), 1)


@pytest.mark.parametrize(
    "zone",
    ["", "Mars/Olympus", "../../etc/passwd", "America", "europe/berlin", "/etc/localtime", "EST5EDT\0"],
)
def test_a_zone_that_is_not_iana_is_refused(zone):
    with pytest.raises(ZoneUnknown):
        require_zone(zone)


FIELDS = st.tuples(
    st.sampled_from(["0", "30", "*/15", "*", "5,35", "59"]),
    st.sampled_from(["*", "2", "1-3", "*/2", "0", "23", "2,3", "1"]),
    st.sampled_from(["*", "1", "15", "L", "*/7"]),
    st.sampled_from(["*", "3", "10,11", "3-11"]),
    st.sampled_from(["*", "SUN", "1-5"]),
)
MOMENTS = st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


@given(FIELDS, st.sampled_from(ZONES), MOMENTS, st.integers(1, 12))
def test_preview_and_firing_agree_whatever_the_starting_point(fields, zone, after, count):
    schedule = CronSchedule(expression=" ".join(fields), zone=zone)
    preview = next_fires(schedule, after, count)

    fired, position = [], after
    for _ in range(count):
        position = next_fire(schedule, position)
        fired.append(position)

    assert list(preview) == fired
    assert list(preview) == sorted(set(preview))
    assert all(each > after for each in preview)


@given(FIELDS, st.sampled_from(ZONES), MOMENTS, st.integers(0, 200), st.integers(1, 5))
def test_the_last_fires_of_a_span_are_the_end_of_its_preview(fields, zone, first, hours, count):
    schedule = CronSchedule(expression=" ".join(fields), zone=zone)
    end = first + timedelta(hours=hours)
    assert last_fires_between(schedule, first, end, count) == fires_between(schedule, first, end)[-count:]


@given(FIELDS, st.sampled_from(ZONES), MOMENTS)
def test_a_fire_is_at_a_local_time_the_expression_names_or_just_after_a_skipped_one(fields, zone, after):
    schedule = CronSchedule(expression=" ".join(fields), zone=zone)
    (instant,) = next_fires(schedule, after, 1)
    local = instant.astimezone(get_zone(zone))
    hours = {"*": range(24), "*/2": range(0, 24, 2), "1-3": range(1, 4), "2,3": (2, 3)}.get(fields[1])
    named = local.hour in (hours if hours is not None else (int(fields[1]),))
    # Right after a skipped hour the clock shows a time the expression does not name.
    skipped = (
        instant.astimezone(get_zone(zone)).utcoffset()
        != (instant - timedelta(minutes=61)).astimezone(get_zone(zone)).utcoffset()
    )
    assert named or skipped


@given(st.integers(1, 10**7), MOMENTS, MOMENTS, st.integers(1, 20))
def test_an_interval_fires_at_whole_steps_from_its_start(seconds, start, after, count):
    fires = next_fires(IntervalSchedule(seconds=seconds, start_at=start), after, count)
    assert len(fires) == count
    assert fires[0] > after
    assert fires[0] == start or fires[0] - timedelta(seconds=seconds) <= after
    assert all((each - start) % timedelta(seconds=seconds) == timedelta(0) for each in fires)

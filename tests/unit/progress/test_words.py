"""Every state and every failure a person can meet has words."""

import pytest

from apps.keepers.data import KeeperStatus
from apps.progress.domain.words import (
    RUN_WORDS,
    TASK_WORDS,
    describe_schedule,
    describe_seconds,
    dictionary,
    explain,
)
from apps.progress.templatetags.forekeep import (
    _OTHER_WORDS,
    ago,
    badge,
    clock,
    duration,
    grouped,
    short,
    trigger,
)
from apps.tasks.data import RunStatus, TaskStatus
from workers.keeper.sandbox.data import FailureCode


def test_every_status_has_a_symbol_of_its_own_and_a_meaning():
    assert set(TASK_WORDS) == {str(status) for status in TaskStatus}
    assert set(RUN_WORDS) == {str(status) for status in RunStatus}
    assert len({symbol for symbol, _ in TASK_WORDS.values()}) == len(TASK_WORDS)
    assert {str(status) for status in KeeperStatus} - {"registered"} <= set(_OTHER_WORDS)


@pytest.mark.parametrize(
    "code", [*map(str, FailureCode), "no_quorum", "ancestor_failed", "cancelled", "lease_expired"]
)
def test_every_known_failure_is_explained(code: str):
    assert code in dictionary()["errors"]
    found = explain(code)
    assert found is not None
    assert found.happened.endswith(".")
    assert found.advice.endswith(".")


def test_an_unknown_failure_is_named_and_no_failure_is_none():
    unknown = explain("moon_phase")
    assert unknown is not None
    assert "moon phase" in unknown.happened
    assert explain("") is None


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (None, "by hand"),
        ({"kind": "interval", "seconds": 90}, "every 90 s"),
        ({"kind": "interval", "seconds": 300}, "every 5 min"),
        (
            {"kind": "cron", "expression": "0 9 * * 1-5", "zone": "Europe/Berlin"},
            "cron 0 9 * * 1-5 (Europe/Berlin)",
        ),
        ({"kind": "specific", "instants": ["x"]}, "at 1 given time"),
        ({"kind": "specific", "instants": ["x", "y"]}, "at 2 given times"),
    ],
)
def test_a_schedule_is_said_in_a_few_words(schedule, text):
    assert describe_schedule(schedule) == text


def test_lengths_of_time_have_the_precision_that_matters():
    shown = [duration(seconds) for seconds in (-1, 0.0124, 2.414, 59.96, 61, 3_700, 180_000, 400_000)]

    assert shown == ["0 ms", "12 ms", "2.41 s", "60.0 s", "1 min 1 s", "1 h 1 min", "2 days", "4 days"]
    assert [describe_seconds(seconds) for seconds in (45, 60, 7_200, 86_400, 172_800)] == [
        "45 s",
        "1 min",
        "2 h",
        "1 day",
        "2 days",
    ]
    assert ago(None) == "never"


def test_ids_numbers_times_and_triggers_are_shown_short():
    assert short("0x" + "ab" * 20) == "0xabababab…babab"
    assert short("short") == "short"
    assert short(None) == ""
    assert grouped(1_234_567) == "1\u202f234\u202f567"
    assert grouped("12") == "12"
    assert clock("2026-11-20T07:03:04.056789Z", 3) == "07:03:04.056"
    assert clock("") == ""
    assert trigger("time:2026-11-20T07:00:00Z") == "tick of 07:00:00"
    assert trigger("manual:ab") == "by hand"


def test_a_badge_escapes_what_it_is_given():
    html = badge("<b>", "task", field='"x"')

    assert "<b>" not in html
    assert "&lt;b&gt;" in html
    assert "&quot;x&quot;" in html

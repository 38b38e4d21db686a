"""A trigger is checked again by the rules that fired it, on what was recorded."""

from datetime import UTC, datetime, timedelta

import pytest

from apps.jobs.domain.evidence import find_fault
from apps.jobs.domain.instants import format_instant

DUE = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOURLY = {"kind": "cron", "expression": "0 * * * *", "zone": "UTC"}
CONDITION = {
    "sources": {"price": {"kind": "http", "url": "https://prices.example/eth"}},
    "when": {"route": "usd", "is": "greater_than", "value": "3000", "hysteresis": "10"},
}
TRANSFER = {
    "chain_id": 31337,
    "address": "0x" + "11" * 20,
    "event": "Transfer(address indexed from, address indexed to, uint256 value)",
    "filters": {"value": {"greater_equal": "1000"}},
}
TOPIC = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


def trigger(kind="time", rule=HOURLY, evidence=None, due_at=DUE, **fields):
    return {
        "kind": kind,
        "rule": rule,
        "evidence": evidence or {"kind": kind},
        "due_at": format_instant(due_at),
        "fired_at": format_instant(fields.pop("fired_at", due_at)),
        "expires_at": fields.pop("expires_at", None),
    }


def fault(*args, now=DUE, **fields):
    return find_fault(trigger(*args, **fields), now)


def seen(value, at=DUE, latched=0):
    observed = {"at": format_instant(at), "kind": "http", "url": "", "values": {"usd": value}}
    return {"kind": "condition", "latched": latched, "observations": {"price": observed}}


def log(value):
    word = "0x" + "00" * 12 + "22" * 20
    return {
        "kind": "event",
        "chain_id": 31337,
        "address": "0x" + "11" * 20,
        "topics": [TOPIC, word, word],
        "data": "0x" + value.to_bytes(32, "big").hex(),
    }


def test_a_tick_of_the_schedule_is_right_and_another_instant_is_not():
    assert fault() == ""
    assert fault(due_at=DUE + timedelta(minutes=1), now=DUE + timedelta(hours=1)) == "tick_not_scheduled"


@pytest.mark.parametrize(("seconds", "found"), [(0, ""), (-5, ""), (-6, "fired_early"), (86_400, "")])
def test_a_clock_may_be_five_seconds_off_and_no_more(seconds, found):
    assert fault(now=DUE + timedelta(seconds=seconds)) == found
    if seconds < 0:
        assert fault(fired_at=DUE + timedelta(seconds=seconds)) == found


@pytest.mark.parametrize(("seconds", "found"), [(60, ""), (-8, ""), (-9, "job_expired")])
def test_an_expiry_may_be_eight_seconds_ago_and_no_more(seconds, found):
    assert fault(expires_at=format_instant(DUE + timedelta(seconds=seconds))) == found


def test_a_log_that_matches_is_right_and_one_that_is_filtered_out_is_not():
    assert fault("event", TRANSFER, log(1_000)) == ""
    assert fault("event", TRANSFER, log(999)) == "log_does_not_match"


def test_a_condition_is_evaluated_again_with_what_was_latched():
    assert fault("condition", CONDITION, seen("3000.01")) == ""
    assert fault("condition", CONDITION, seen("3000")) == "condition_not_met"
    assert fault("condition", CONDITION, seen("2995")) == "condition_not_met"
    assert fault("condition", CONDITION, seen("2995", latched=1)) == ""


def test_what_was_seen_after_the_firing_proves_nothing():
    late = DUE + timedelta(seconds=6)
    assert fault("condition", CONDITION, seen("3001", at=late)) == "seen_after_firing"


def test_a_firing_by_hand_or_by_another_job_has_only_its_time():
    assert fault("manual", None) == ""
    assert fault("link", None) == ""
    assert fault("manual", None, now=DUE - timedelta(minutes=1)) == "fired_early"


@pytest.mark.parametrize(
    ("kind", "rule", "evidence"),
    [
        ("time", None, None),
        ("time", {"kind": "cron", "expression": "x"}, None),
        ("weather", HOURLY, None),
        ("event", {"event": 5}, log(1)),
        ("condition", CONDITION, {"kind": "condition"}),
        ("condition", CONDITION, seen("NaN")),
        ("condition", CONDITION, {"latched": "x", "observations": {}}),
    ],
)
def test_what_cannot_be_read_is_wrong_and_raises_nothing(kind, rule, evidence):
    assert fault(kind, rule, evidence) == "trigger_malformed"


def test_times_that_are_none_are_wrong():
    assert find_fault({"kind": "manual", "due_at": "yesterday"}, DUE) == "trigger_malformed"

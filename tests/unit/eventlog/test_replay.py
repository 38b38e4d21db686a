"""Replay, pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from apps.eventlog.domain.replay import replay, replay_differences


@dataclass(frozen=True)
class Recorded:
    payload: Any


_AT = datetime(2026, 11, 20, tzinfo=UTC)


def test_the_last_set_of_each_field_wins():
    events = [
        Recorded({"set": {"status": "discovered", "epoch": 0}}),
        Recorded({"reason": "no field changed"}),
        Recorded({"set": {"status": "scheduled"}, "keeper": "0xab"}),
    ]
    assert replay(events) == {"status": "scheduled", "epoch": 0}


def test_no_events_give_an_empty_state():
    assert replay([]) == {}


def test_fields_that_agree_in_their_json_form_do_not_differ():
    state = {"status": "a", "at": "2026-11-20T00:00:00.000000Z", "none": None}
    assert replay_differences(state, {"status": "a", "at": _AT, "none": None}) == {}


def test_a_differing_and_a_never_recorded_field_are_named_with_both_values():
    assert replay_differences({"status": "a"}, {"status": "b", "epoch": None}) == {
        "status": ("a", "b"),
        "epoch": (None, None),
    }

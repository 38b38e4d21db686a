"""When an evaluated condition fires: at edges, at levels, and through outages."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.triggers.data import FireOn, Why, decide

START = datetime(2026, 11, 20, tzinfo=UTC)
_TRUTHS: dict[str, bool | None] = {"t": True, "f": False, "u": None}


def _fired(fires: FireOn, truths: str, repeat_seconds: int = 0) -> str:
    """One character a second: whether it fired."""
    was_met: bool | None = None
    last: datetime | None = None
    found = ""
    for second, truth in enumerate(truths):
        now = START + timedelta(seconds=second)
        decision = decide(
            fires=fires,
            was_met=was_met,
            is_met=_TRUTHS[truth],
            last_fired_at=last,
            repeat_seconds=repeat_seconds,
            now=now,
        )
        was_met = decision.is_met
        last = now if decision.fires else last
        found += "x" if decision.fires else "."
    return found


@pytest.mark.parametrize(
    ("truths", "fired"),
    [
        ("tttt", "x..."),
        ("fftt", "..x."),
        ("tftf", "x.x."),
        ("tut", "x.."),
        ("tuuft", "x...x"),
        ("fut", "..x"),
        ("uut", "..x"),
        ("uuf", "..."),
    ],
)
def test_an_edge_fires_when_it_becomes_met_and_not_because_a_source_came_back(
    truths: str, fired: str
) -> None:
    assert _fired(FireOn.EDGE, truths) == fired


@pytest.mark.parametrize(
    ("truths", "fired"),
    [("ttttttt", "x..x..x"), ("tfttutt", "x..x..x"), ("fffftt", "....x."), ("uuu", "...")],
)
def test_a_level_fires_at_most_once_in_its_time(truths: str, fired: str) -> None:
    assert _fired(FireOn.LEVEL, truths, 3) == fired


@given(st.text(alphabet="tfu", max_size=30))
def test_edges_fire_as_often_as_the_known_truth_rises(truths: str) -> None:
    known = "f" + truths.replace("u", "")
    assert _fired(FireOn.EDGE, truths).count("x") == known.count("ft")


def test_a_decision_says_why_and_when_it_may_fire_again() -> None:
    decision = decide(
        fires=FireOn.LEVEL, was_met=True, is_met=True, last_fired_at=START, repeat_seconds=60, now=START
    )
    assert (decision.why, decision.again_at) == (Why.FIRED_RECENTLY, START + timedelta(seconds=60))

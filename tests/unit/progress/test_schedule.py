"""What running ahead saved: measured stages put one after another, as if every step had waited."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.progress.domain.schedule import (
    Comparison,
    Passage,
    compare,
    compute_finishes,
    compute_stages,
    read_passage,
)

OPENED = datetime(2026, 11, 20, 7, 0, tzinfo=UTC)
Durations = tuple[int, int, int, int, int, int]


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


def at(value: float) -> datetime:
    return OPENED + seconds(value)


def text(value: float) -> str:
    return at(value).isoformat().replace("+00:00", "Z")


def passage(
    scheduled: float,
    executed: float,
    attested: float,
    submitted: float,
    confirmed: float,
    *,
    proved: float | None = None,
    is_ahead: bool = False,
) -> Passage:
    return Passage(
        is_ahead=is_ahead,
        scheduled_at=at(scheduled),
        executed_at=at(executed),
        attested_at=at(attested),
        proved_at=None if proved is None else at(proved),
        submitted_at=at(submitted),
        confirmed_at=at(confirmed),
    )


def test_a_step_that_waited_for_its_parents_has_all_its_time_to_itself():
    parent = passage(1, 3, 4, 5, 10)
    own = passage(11, 13, 14, 17, 20, proved=16)

    stages = compute_stages(own, [parent], opened_at=OPENED)

    assert stages.admission == seconds(1)
    assert stages.execution == seconds(2)
    assert stages.attestation == seconds(1)
    assert stages.proof == seconds(2)
    assert stages.submission == seconds(1)
    assert stages.settlement == seconds(3)
    assert stages.total == seconds(10)


def test_what_a_step_that_ran_ahead_waited_for_is_not_its_own_time():
    """Its lease waited for the parent's output until 5, its proof for the parent's confirmation until 30."""
    parent = passage(1, 5, 7, 9, 30)
    own = passage(1, 8, 10, 31, 34, proved=14, is_ahead=True)

    stages = compute_stages(own, [parent], opened_at=OPENED)

    assert (stages.admission, stages.execution) == (seconds(0), seconds(3))
    assert (stages.proof, stages.submission, stages.settlement) == (seconds(4), seconds(1), seconds(3))
    assert stages.total == seconds(13)


def test_a_chain_that_ran_ahead_saved_what_its_steps_did_while_others_settled():
    first = passage(0, 2, 3, 4, 10)
    second = passage(0, 4, 5, 11, 17, is_ahead=True)

    found = compare({"a": first, "b": second}, {"a": (), "b": ("a",)}, opened_at=OPENED)

    assert found == Comparison(took=seconds(17), without=seconds(10 + 2 + 1 + 1 + 6))
    assert found.saved == seconds(3)


def test_running_ahead_may_cost_more_than_it_saves():
    """Its first attempt was undone with its parent's; what is counted is the last one."""
    first = passage(0, 2, 3, 4, 10)
    second = passage(12, 20, 21, 40, 50, is_ahead=True)

    found = compare({"a": first, "b": second}, {"a": (), "b": ("a",)}, opened_at=OPENED)

    assert found is not None
    assert found.without == seconds(10 + 8 + 1 + 19 + 10)
    assert found.saved == seconds(-2)


def test_a_run_without_a_confirmed_step_compares_nothing():
    assert compare({}, {"a": ()}, opened_at=OPENED) is None


def test_a_passage_is_read_from_a_timeline_once_the_step_is_confirmed():
    timeline = {
        "discovered": text(0),
        "scheduled": text(1),
        "executed": text(2),
        "attested": text(3),
        "proved": text(4),
        "submitted": text(5),
    }

    assert read_passage(timeline, is_ahead=True) is None
    found = read_passage({**timeline, "confirmed": text(6)}, is_ahead=True)
    assert found == passage(1, 2, 3, 5, 6, proved=4, is_ahead=True)


@pytest.mark.parametrize("proved", [2.5, 5.5])
def test_a_mark_of_an_earlier_attempt_is_not_the_last_ones(proved: float):
    marks = {"scheduled": 1, "executed": 2, "attested": 3, "proved": proved, "submitted": 5, "confirmed": 6}

    found = read_passage({stage: text(value) for stage, value in marks.items()}, is_ahead=False)

    assert found is not None
    assert found.proved_at is None


_times = st.dictionaries(st.integers(0, 30), st.integers(0, 1_000).map(seconds), min_size=1, max_size=12)


@given(_times)
def test_steps_without_edges_end_with_the_slowest(own: dict[int, timedelta]):
    finishes = compute_finishes(own, dict.fromkeys(own, ()))

    assert finishes == own
    assert max(finishes.values()) == max(own.values())


@given(_times)
def test_a_chain_ends_after_the_sum(own: dict[int, timedelta]):
    keys = sorted(own)
    chain = {key: (keys[place - 1],) if place else () for place, key in enumerate(keys)}

    assert compute_finishes(own, chain)[keys[-1]] == sum(own.values(), timedelta(0))


@st.composite
def _runs(draw: st.DrawFn) -> tuple[dict[int, tuple[int, ...]], dict[int, Durations]]:
    """Parents by step, and how long each step takes by itself, stage by stage."""
    size = draw(st.integers(1, 7))
    parents = {step: tuple(above for above in range(step) if draw(st.booleans())) for step in range(size)}
    each = st.tuples(*[st.integers(0, 50)] * 6)
    return parents, {step: draw(each) for step in range(size)}


def run_through(
    parents: Mapping[int, tuple[int, ...]], times: Mapping[int, Durations], *, ahead: bool
) -> dict[int, Passage]:
    """What the pipeline would note of such steps; running ahead they are all admitted at once."""
    noted: dict[int, Passage] = {}
    for step, (admission, execution, attestation, proof, submission, settlement) in times.items():
        above = [noted[parent] for parent in parents[step]]
        ground = max((one.confirmed_at for one in above), default=OPENED)
        is_ahead = ahead and bool(above)
        scheduled = OPENED if is_ahead else ground + seconds(admission)
        executed = max((scheduled, *(one.executed_at for one in above))) + seconds(execution)
        attested = executed + seconds(attestation)
        proved = attested + seconds(proof)
        submitted = max(proved, ground) + seconds(submission)
        noted[step] = Passage(
            is_ahead=is_ahead,
            scheduled_at=scheduled,
            executed_at=executed,
            attested_at=attested,
            proved_at=proved,
            submitted_at=submitted,
            confirmed_at=submitted + seconds(settlement),
        )
    return noted


@given(_runs())
def test_where_nobody_ran_ahead_nothing_is_saved(
    run: tuple[dict[int, tuple[int, ...]], dict[int, Durations]],
):
    parents, times = run

    found = compare(run_through(parents, times, ahead=False), parents, opened_at=OPENED)

    assert found is not None
    assert found.without == found.took
    assert found.saved == timedelta(0)


@given(_runs())
def test_the_schedule_is_the_run_that_the_same_steps_would_have_had(
    run: tuple[dict[int, tuple[int, ...]], dict[int, Durations]],
):
    parents, times = run
    at_once = {step: (0 if parents[step] else own[0], *own[1:]) for step, own in times.items()}

    found = compare(run_through(parents, times, ahead=True), parents, opened_at=OPENED)
    waiting = run_through(parents, at_once, ahead=False)

    assert found is not None
    assert OPENED + found.without == max(one.confirmed_at for one in waiting.values())
    assert found.saved >= timedelta(0)

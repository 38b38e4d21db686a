"""What follows a cascade's commit: stopped once or again, noted, counted once, whatever died in between."""

from datetime import timedelta

import pytest

from apps.eventlog.models import Event
from apps.eventlog.selectors import get_database_now
from apps.rollback.data import RollbackPhase, RollbackTold
from apps.rollback.models import Rollback
from apps.rollback.selectors import get_due_failures, get_rollback_figures
from apps.rollback.services import (
    rollbacks_apply,
    rollbacks_clean,
    rollbacks_cleaned,
    rollbacks_log,
    run_cancel,
)
from apps.tasks.data import FailureReason
from tests.factories.ahead import Ahead, make_ahead
from tests.factories.running_ahead import make_story

pytestmark = pytest.mark.django_db

R = FailureReason
CHAIN = {"a": "executed", "b": "executing", "c": "scheduled"}


def fail(run: Ahead, reason: FailureReason = R.RESULT_REJECTED) -> Rollback:
    run.signal("a", reason)
    rollbacks_apply(now=get_database_now(), limit=100)
    run.reload()
    return Rollback.objects.latest("pk")


def finish(row: Rollback, *milliseconds: float) -> list[RollbackTold]:
    now = get_database_now()
    rollbacks_cleaned(latencies={str(row): milliseconds}, now=now)
    return rollbacks_log(now=now, limit=100)


def test_what_nobody_cleaned_up_is_given_out_again_until_it_is():
    run = make_ahead(CHAIN)
    run.signal("a", R.RESULT_REJECTED)
    (first,) = rollbacks_apply(now=get_database_now(), limit=100).revocations
    assert rollbacks_clean(now=get_database_now(), limit=100).revocations == ()
    for seconds in (11, 22):
        later = get_database_now() + timedelta(seconds=seconds)
        assert get_due_failures(later, 1) == [None]
        assert rollbacks_apply(now=later, limit=100).revocations == (first,)
        assert rollbacks_apply(now=later, limit=100).revocations == ()
    finish(Rollback.objects.get())
    assert rollbacks_clean(now=later + timedelta(days=1), limit=100).revocations == ()
    assert get_due_failures(later + timedelta(days=1), 1) == []


def test_a_rollback_goes_through_its_phases_and_is_counted_once():
    run = make_ahead(CHAIN, bonds={"a": 1_000_000})
    row = fail(run)
    assert (row.phase, row.completed_at) == (RollbackPhase.CLEANING, None)
    now = get_database_now()

    assert rollbacks_cleaned(latencies={str(row): [120.5, 3.25]}, now=now) == 1
    row.refresh_from_db()
    assert (row.phase, row.abort_latencies_ms) == (RollbackPhase.LOGGING, [3.25, 120.5])

    (told,) = rollbacks_log(now=now, limit=100)
    row.refresh_from_db()
    assert (row.phase, row.completed_at, row.wake_at) == (RollbackPhase.COMPLETE, now, None)
    assert told == RollbackTold(
        reason="result_rejected",
        size=3,
        slashed_units=100_000,
        released_units=900_000,
        wasted_units=12,
        abort_latencies_ms=(3.25, 120.5),
        is_lettered=True,
    )
    before = Event.objects.count()
    assert finish(row, 999.0) == []
    assert rollbacks_cleaned(latencies={}, now=now) == 0
    assert Event.objects.count() == before


def test_what_was_cleaned_up_and_not_counted_is_taken_up_by_the_next_pass():
    row = fail(make_ahead(CHAIN))
    now = get_database_now()
    rollbacks_cleaned(latencies={str(row): []}, now=now)
    assert get_due_failures(now, 1) == [None]
    assert len(rollbacks_log(now=now, limit=100)) == 1


def test_a_dismissed_signal_is_neither_cleaned_up_nor_counted():
    run = make_ahead({"a": "executed", "b": "executed"})
    run.signal("b", R.RESULT_REJECTED)
    fail(run)
    dismissed = Rollback.objects.get(phase=RollbackPhase.DISMISSED)
    assert finish(dismissed) == []
    assert get_rollback_figures().count == 1


def test_the_figures_of_a_time():
    start = get_database_now()
    story = make_story(("a", "b", "c"))
    story.put("a", "attested")
    story.put("b", "executing")
    first = story.fail("a", R.RESULT_REJECTED)
    finish(first, *range(1, 101))
    other = make_ahead({"x": "executed", "y": "waiting"})
    other.signal("x", R.NO_QUORUM)
    rollbacks_apply(now=get_database_now(), limit=100)
    stopped = make_ahead({"s": "executing"})
    run_cancel(run_id=stopped.run.id, project_ids=None)

    figures = get_rollback_figures()
    assert (figures.count, figures.by_reason) == (3, {"manual": 1, "no_quorum": 1, "result_rejected": 1})
    assert (figures.cascade_depth_max, figures.cascade_size_mean) == (2, 2.0)
    assert (figures.abort_latency_p99_ms, figures.dead_letters) == (99, 2)
    assert (figures.retried, figures.recovered, figures.recovery_rate) == (0, 0, None)
    assert (figures.slashed_units, figures.wasted_units) == (first.slashed_units, 24)

    story.put("a", "confirmed")
    figures = get_rollback_figures([story.run.project_id])
    assert (figures.count, figures.retried, figures.recovered, figures.recovery_rate) == (1, 1, 1, 1.0)
    assert get_rollback_figures(until=start - timedelta(days=1)).count == 0
    assert get_rollback_figures(since=start - timedelta(days=1)).count == 3


def test_a_retry_that_fails_for_good_is_no_recovery():
    story = make_story(("a", "b"))
    for is_last in (False, True):
        story.put("a", "attested")
        story.fail("a", R.RESULT_REJECTED, is_last=is_last)
    figures = get_rollback_figures()
    assert (figures.count, figures.retried, figures.recovery_rate) == (2, 1, 0.0)

"""What follows a failure: another attempt, giving up, and failures that meet."""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from apps.eventlog.models import Event
from apps.eventlog.selectors import get_database_now
from apps.keepers.models import Keeper
from apps.rollback.data import RecoveryAction, RollbackPhase, Scope
from apps.rollback.models import DeadLetter, Rollback
from apps.rollback.services import rollbacks_apply
from apps.speculation.data import CommitmentStatus
from apps.speculation.models import Commitment
from apps.tasks.data import FailureReason, RunStatus, TaskStatus
from apps.tasks.models import Failure, Task
from tests.factories.ahead import STAKE_UNITS, make_ahead
from tests.factories.running_ahead import make_story
from tests.integration.rollback.applying import apply, exhaust

pytestmark = pytest.mark.django_db

R = FailureReason
CHAIN = {"a": "submitted", "b": "waiting_ancestors", "c": "executing"}
BONDS = {"a": 1_000_000, "b": 2_000_000, "c": 4_000_000}
#: what depends on what: a diamond under `a`, and a step that stands alone
DIAMOND = [
    {"key": "a", "script_source": "print({})"},
    {"key": "b", "script_source": "print({})", "parents": ["a"]},
    {"key": "c", "script_source": "print({})", "parents": ["a"]},
    {"key": "d", "script_source": "print({})", "parents": ["b", "c"]},
    {"key": "alone", "script_source": "print({})"},
]


def test_a_retry_opens_the_root_and_what_it_took_along_as_another_attempt():
    run = make_ahead({"a": "executed", "b": "executing", "c": "waiting"}, bonds={"a": 1_000_000})
    run.signal("a", R.RESULT_REJECTED)

    outcome = apply(run)

    assert outcome.pokes == {"admit"}
    assert run.statuses() == dict.fromkeys("abc", "waiting")
    assert [task.epoch for task in run.tasks.values()] == [2, 2, 1]
    root = run.tasks["a"]
    assert (root.failures, root.performer, root.result, root.output_cid) == (1, "", None, "")
    assert all(not task.error_code and task.wake_at for task in run.tasks.values())
    row = Rollback.objects.get()
    assert (row.is_retried, row.recovery) == (True, RecoveryAction.RE_EXECUTE)
    letter = DeadLetter.objects.get()
    assert (letter.is_final, letter.attempts) == (False, 1)
    assert run.run.status == RunStatus.OPEN


def test_after_the_last_attempt_it_is_given_up():
    run = make_ahead({"a": "executed", "b": "executed"})
    exhaust(run, "a")
    run.signal("a", R.RESULT_REJECTED)
    apply(run)
    assert run.statuses() == {"a": "failed", "b": "rolled_back"}
    assert run.tasks["a"].failures == 3
    letter = DeadLetter.objects.get()
    assert (letter.is_final, letter.attempts, letter.wasted_units) == (True, 3, 24)
    assert Rollback.objects.get().recovery == RecoveryAction.GIVE_UP


def test_a_timeout_is_tried_again_with_more_time():
    run = make_story(("a", "b"))
    run.put("a", "executing")
    before = dict(run.tasks["a"].spec["limits"])
    run.fail("a", R.TIMEOUT)
    limits = run.tasks["a"].spec["limits"]
    assert (before["deadline_seconds"], before["cpu_seconds"]) == (30, 30)
    assert (limits["deadline_seconds"], limits["cpu_seconds"]) == (60, 60)
    assert limits["memory_mb"] == before["memory_mb"]
    assert run.tasks["b"].spec["limits"] == before
    run.put("a", "executing")
    run.fail("a", R.TIMEOUT)
    assert run.tasks["a"].spec["limits"]["deadline_seconds"] == 60


@pytest.mark.parametrize("status", ["scheduled", "executing"])
def test_an_offer_nobody_took_up_goes_back_and_nobody_failed(status):
    run = make_ahead({"a": status, "b": "scheduled", "c": "waiting"}, bonds={"a": 1_000_000, "b": 2_000_000})
    before = dict(Keeper.objects.values_list("address", "reputation"))
    keeper, now = run.keeper("a"), get_database_now()
    run.signal("a", R.NOT_ACKNOWLEDGED)

    (revocation,) = apply(run).revocations

    assert run.statuses() == dict.fromkeys("abc", "waiting")
    root, child = run.tasks["a"], run.tasks["b"]
    assert (root.epoch, root.failures, root.performer, root.is_failing) == (1, 0, "", False)
    assert (child.epoch, child.performer, child.error_code) == (1, "", "")
    assert root.wake_at >= now + timedelta(seconds=1)
    assert dict(Keeper.objects.values_list("address", "reputation")) == before
    assert keeper in revocation.aborts
    row = Rollback.objects.get()
    assert (row.scope, row.size, row.slashed_units) == (Scope.TASK_ONLY, 2, 0)
    assert (row.released_units, row.is_retried) == (3_000_000, True)
    assert not DeadLetter.objects.exists()
    assert set(Commitment.objects.values_list("status", flat=True)) == {CommitmentStatus.ROLLED_BACK}


def test_a_keeper_without_resources_counts_and_is_waited_for_longer_each_time():
    run = make_story(("a", "b"))
    waits = []
    for _ in range(3):
        run.put("a", "executing")
        row, now = run.fail("a", R.RESOURCES_EXHAUSTED), run.now
        if row.is_retried:
            waits.append((run.tasks["a"].wake_at - now).total_seconds())
    assert waits == [1, 2]
    assert (run.tasks["a"].status, run.tasks["a"].failures) == ("failed", 3)


def test_work_below_that_has_started_is_undone_though_only_the_root_went_back():
    run = make_ahead({"a": "executing", "b": "executing"})
    run.signal("a", R.RESOURCES_EXHAUSTED)
    apply(run)
    assert Rollback.objects.get().scope == Scope.DOWNSTREAM
    assert run.statuses() == {"a": "waiting", "b": "waiting"}
    assert [task.epoch for task in run.tasks.values()] == [2, 2]


def test_of_overlapping_failures_the_upper_one_is_the_root():
    run = make_ahead(
        {"a": "executed", "b": "executed", "c": "executing"}, bonds={"a": 1_000_000, "b": 2_000_000}
    )
    run.signal("c", R.CLAIM_EXPIRED)
    run.signal("b", R.RESULT_REJECTED)
    run.signal("a", R.PROOF_REJECTED)

    assert apply(run).taken == 3

    applied = Rollback.objects.get(phase=RollbackPhase.CLEANING)
    assert (applied.root_id, applied.size, applied.slashed_units) == (run.tasks["a"].id, 3, 100_000)
    dismissed = Rollback.objects.filter(phase=RollbackPhase.DISMISSED)
    assert {row.root.step_key for row in dismissed} == {"b", "c"}
    assert [task.failures for task in run.tasks.values()] == [1, 0, 0]
    assert run.balances(run.keeper("b")) == (STAKE_UNITS + 50_000, 0)


def test_of_overlapping_offers_that_nobody_took_up_the_lower_one_goes_back_with_the_upper():
    run = make_ahead({"a": "scheduled", "b": "scheduled"})
    run.signal("b", R.NOT_ACKNOWLEDGED)
    run.signal("a", R.NOT_ACKNOWLEDGED)
    apply(run)
    assert run.statuses() == {"a": "waiting", "b": "waiting"}
    assert {row.phase for row in Rollback.objects.all()} == {"cleaning", "dismissed"}
    assert not DeadLetter.objects.exists()


def test_two_failures_above_one_task_bring_it_back_once_both_are_open_again():
    run = make_ahead(
        {"a": "confirmed", "b": "executed", "c": "executed", "d": "executing", "alone": "waiting"},
        steps=DIAMOND,
    )
    run.signal("b", R.RESULT_REJECTED)
    run.signal("c", R.RESULT_REJECTED)
    apply(run)
    assert [run.tasks[step].status for step in "bcd"] == ["waiting"] * 3
    assert (run.tasks["d"].epoch, run.tasks["d"].failures) == (2, 0)


def test_what_stands_on_another_failure_stays_when_one_is_tried_again():
    run = make_ahead(
        {"a": "confirmed", "b": "executed", "c": "executed", "d": "executing", "alone": "waiting"},
        steps=DIAMOND,
    )
    run.signal("b", R.RESULT_REJECTED)
    run.signal("c", R.NO_QUORUM)
    apply(run)
    assert [run.tasks[step].status for step in "bcd"] == ["waiting", "failed", "aborted"]


def test_the_second_word_about_an_attempt_changes_nothing_at_all():
    run = make_ahead(CHAIN, bonds=BONDS)
    run.signal("a", R.PROOF_REJECTED, code="proof_rejected", detail="first")
    run.signal("a", R.TIMEOUT, code="late", detail="second")
    assert Failure.objects.get().reason == R.PROOF_REJECTED
    exhaust(run, "a")
    apply(run)
    before = list(Task.objects.values()), list(Rollback.objects.values()), Event.objects.count()

    run.signal("a", R.TIMEOUT)
    again = apply(run)

    assert (again.taken, again.revocations) == (0, ())
    assert (list(Task.objects.values()), list(Rollback.objects.values()), Event.objects.count()) == before
    assert (Rollback.objects.get().reason, Rollback.objects.get().error_detail) == ("proof_rejected", "first")


@pytest.mark.parametrize("ending", ["confirmed", "epoch"])
def test_a_failure_of_something_that_is_over_is_dismissed(ending):
    run = make_ahead({"a": "submitted"})
    run.signal("a", R.SUBMISSION_REFUSED)
    if ending == "confirmed":
        run.put("a", "confirmed")
    else:
        Task.objects.filter(pk=run.tasks["a"].pk).update(epoch=F("epoch") + 1)
    now = get_database_now()

    assert apply(run).revocations == ()

    task = run.tasks["a"]
    assert task.status == ("confirmed" if ending == "confirmed" else "submitted")
    assert not task.is_failing
    assert task.wake_at is None or task.wake_at >= now
    row = Rollback.objects.get()
    assert (row.phase, row.size, row.wake_at) == (RollbackPhase.DISMISSED, 0, None)
    assert Failure.objects.get().wake_at is None
    assert Event.objects.filter(event_type="task.failure_dismissed").count() == 1
    Task.objects.update(epoch=1)


def test_a_cancelled_run_tries_nothing_again():
    run = make_ahead({"a": "submitted", "b": "waiting"})
    type(run.run).objects.filter(pk=run.run.pk).update(cancel_requested_at=get_database_now())
    run.signal("a", R.PROOF_REJECTED)
    apply(run)
    assert run.statuses() == {"a": "failed", "b": "cancelled"}
    assert run.run.status == RunStatus.CANCELLED


def test_runs_are_taken_whole_and_those_that_wait_longest_first():
    runs = [make_ahead({"a": "executed", "b": "waiting"}) for _ in range(3)]
    for run in reversed(runs):
        run.signal("a", R.NO_QUORUM)
    Failure.objects.filter(run=runs[1].run).update(wake_at=runs[1].now - timedelta(minutes=1))

    first = rollbacks_apply(now=get_database_now(), limit=1)
    assert (first.taken, set(first.pokes)) == (1, {"follow", "rollback"})
    assert runs[1].statuses() == {"a": "failed", "b": "cancelled"}
    rest = rollbacks_apply(now=get_database_now(), limit=4)
    assert (rest.taken, rest.pokes) == (2, frozenset({"follow"}))
    assert len(rest.revocations) == 2


def test_only_the_named_failures_runs_are_taken_and_nothing_is_cleaned_up():
    runs = [make_ahead({"a": "executed"}) for _ in range(2)]
    for run in runs:
        run.signal("a", R.NO_QUORUM)
    failure = Failure.objects.get(run=runs[1].run)
    assert rollbacks_apply(now=get_database_now(), limit=100, ids=[failure.pk]).taken == 1
    assert [run.statuses()["a"] for run in runs] == ["executed", "failed"]


def test_a_cascade_takes_as_many_statements_whatever_its_size():
    counts = []
    for size in (3, 3, 24):
        statuses = {f"s{n}": ("executing", "executed", "attested")[n % 3] for n in range(size)}
        run = make_ahead({"a": "executed", **statuses}, bonds={"a": 1_000_000, "s1": 2_000_000})
        run.signal("a", R.RESULT_REJECTED)
        with CaptureQueriesContext(connection) as queries:
            rollbacks_apply(now=get_database_now(), limit=100)
        counts.append(len(queries))
    assert counts[1] == counts[2] <= 50


def test_the_events_tell_the_phases_in_order_around_the_tasks():
    run = make_ahead({"a": "executed", "b": "executing"})
    exhaust(run, "a")
    run.signal("a", R.RESULT_REJECTED)
    apply(run)
    told = Event.objects.filter(trace_id=run.run.trace_id).order_by("sequence_number")
    kinds = [event.event_type for event in told]
    kinds = kinds[kinds.index("rollback.detected") :]
    assert kinds == [
        "rollback.detected",
        "rollback.initiated",
        "rollback.planned",
        "dead_letter.recorded",
        "task.aborted",
        "task.failed",
        "run.failed",
        "rollback.propagated",
    ]
    aborted = told.get(event_type="task.aborted").payload
    assert aborted["rollback"] == str(Rollback.objects.get())
    assert (aborted["previous"], aborted["set"]["error_code"]) == ("executing", "ancestor_failed")


def test_a_status_that_ends_leaves_no_wake_up_and_no_failing_mark():
    run = make_ahead({"a": "executed", "b": "executing"})
    run.signal("b", R.CLAIM_EXPIRED)
    run.signal("a", R.NO_QUORUM)
    apply(run)
    ended = Task.objects.exclude(status=TaskStatus.WAITING)
    assert set(ended.values_list("is_failing", "wake_at")) == {(False, None)}

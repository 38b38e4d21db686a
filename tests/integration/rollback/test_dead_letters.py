"""Dead letters: replayed once, with the money held again, one by one or by filter."""

import pytest

from apps.accounts.models import Project
from apps.eventlog.models import Event
from apps.eventlog.selectors import get_database_now
from apps.kernel.ids import new_id
from apps.ledger.errors import InsufficientFunds
from apps.ledger.models import Transaction
from apps.ledger.selectors import get_project_balances
from apps.rollback.data import LetterFilter
from apps.rollback.errors import DeadLetterNotFound, RetryNotAllowed
from apps.rollback.models import DeadLetter
from apps.rollback.selectors import get_dead_letters
from apps.rollback.services import (
    dead_letter_replay,
    dead_letters_replay,
    rollbacks_apply,
    run_cancel,
    task_cancel,
)
from apps.tasks.data import FailureReason, RunStatus
from apps.tasks.models import Run
from tests.factories.ahead import Ahead, make_ahead
from tests.factories.ledger import fund_project
from tests.factories.running_ahead import make_story

pytestmark = pytest.mark.django_db

R = FailureReason
COST_UNITS = 500


def fail(run: Ahead, step: str, reason: FailureReason = R.NO_QUORUM) -> DeadLetter:
    run.signal(step, reason)
    rollbacks_apply(now=get_database_now(), limit=100)
    run.reload()
    return DeadLetter.objects.filter(task=run.tasks[step]).latest("pk")


def replay(letter: DeadLetter, **options) -> DeadLetter:
    return dead_letter_replay(letter_id=letter.id, project_ids=options.pop("project_ids", None), **options)


@pytest.fixture
def paid(project: Project) -> Project:
    """A project that can pay for one run."""
    fund_project(project.id, COST_UNITS)
    return project


def test_a_replay_opens_the_task_and_what_it_took_along_with_its_attempts_counted_afresh():
    run = make_ahead({"a": "confirmed", "b": "executed", "c": "executing"})
    letter = fail(run, "b")
    assert run.run.status == RunStatus.FAILED

    replayed = replay(letter, actor="someone")

    assert replayed.replayed_at is not None
    assert run.statuses() == {"a": "confirmed", "b": "waiting", "c": "waiting"}
    assert (run.tasks["b"].epoch, run.tasks["b"].failures) == (2, 0)
    assert (run.run.status, run.run.finished_at, run.run.reopenings) == (RunStatus.OPEN, None, 1)
    told = Event.objects.get(event_type="dead_letter.replayed")
    assert told.payload["by"] == "someone"
    assert Event.objects.filter(event_type="run.reopened", run_id=run.run.id).count() == 1


def test_a_letter_is_replayed_once():
    run = make_ahead({"a": "executed"})
    letter = fail(run, "a")
    first = replay(letter)
    before = Event.objects.count()
    assert replay(letter).replayed_at == first.replayed_at
    assert (Event.objects.count(), run.reload().tasks["a"].epoch) == (before, 2)


def test_a_run_that_gave_its_escrow_back_holds_it_again_each_time(paid):
    run = make_ahead({"a": "executed"}, project=paid, escrow_units=COST_UNITS)
    assert get_project_balances(paid.id) == (0, COST_UNITS)
    for turn in (1, 2):
        letter = fail(run, "a")
        assert get_project_balances(paid.id) == (COST_UNITS, 0)
        replay(letter)
        assert get_project_balances(paid.id) == (0, COST_UNITS)
        run.reload()
        assert run.run.reopenings == turn
    references = Transaction.objects.filter(memo__run_id=run.run.id.hex).values_list("reference", flat=True)
    named = run.run.id.hex
    assert sorted(references) == [
        f"hold:{named}",
        f"hold:{named}:1",
        f"hold:{named}:2",
        f"release:{named}",
        f"release:{named}:1",
    ]


def test_what_the_project_cannot_pay_for_any_more_is_refused_and_nothing_changes(paid):
    run = make_ahead({"a": "executed"}, project=paid, escrow_units=COST_UNITS)
    letter = fail(run, "a")
    make_ahead({"a": "executing"}, project=paid, escrow_units=COST_UNITS)
    before = Event.objects.count()
    with pytest.raises(InsufficientFunds) as refused:
        replay(letter)
    assert refused.value.fields["needed"] == COST_UNITS
    assert (run.statuses(), run.run.status) == ({"a": "failed"}, RunStatus.FAILED)
    assert Event.objects.count() == before
    letter.refresh_from_db()
    assert letter.replayed_at is None


def test_a_run_that_is_still_open_holds_nothing_twice(paid):
    steps = [{"key": key, "script_source": "print({})"} for key in "ab"]
    run = make_ahead({"a": "executed", "b": "executing"}, steps=steps, project=paid, escrow_units=COST_UNITS)
    letter = fail(run, "a")
    assert run.run.status == RunStatus.OPEN
    replay(letter)
    assert (run.statuses()["a"], run.run.reopenings) == ("waiting", 0)
    assert get_project_balances(paid.id) == (0, COST_UNITS)


def test_a_failure_that_was_tried_again_by_itself_cannot_be_replayed():
    run = make_ahead({"a": "executed", "b": "waiting"})
    letter = fail(run, "a", R.RESULT_REJECTED)
    assert not letter.is_final
    with pytest.raises(RetryNotAllowed) as refused:
        replay(letter)
    assert refused.value.fields["reason"] == "it was tried again since"


def test_the_letter_of_an_earlier_attempt_cannot_be_replayed():
    story = make_story(("a", "b"))
    story.put("a", "attested")
    first = fail(story, "a")
    replay(first)
    story.put("a", "attested")
    second = fail(story, "a")
    assert (first.epoch, second.epoch) == (1, 3)
    assert replay(first).replayed_at is not None
    assert story.statuses()["a"] == "failed"
    replay(second)
    assert story.statuses()["a"] == "waiting"


def test_nothing_is_replayed_below_a_failure_or_in_a_run_that_was_stopped():
    steps = [
        {"key": "a", "script_source": "print({})"},
        {"key": "b", "script_source": "print({})", "parents": ["a"]},
        {"key": "c", "script_source": "print({})"},
    ]
    run = make_ahead({"a": "executed", "b": "executed", "c": "executing"}, steps=steps)
    lower = fail(run, "b")
    upper = fail(run, "a")
    with pytest.raises(RetryNotAllowed) as refused:
        replay(lower)
    assert refused.value.fields["reason"] == "it stands on a task that has failed"
    run_cancel(run_id=run.run.id, project_ids=None)
    with pytest.raises(RetryNotAllowed) as refused:
        replay(upper)
    assert refused.value.fields["reason"] == "its run was stopped by hand"


def test_a_task_that_was_stopped_by_hand_does_not_come_back_with_a_replay():
    run = make_ahead({"a": "executed", "b": "executing", "c": "waiting"})
    task_cancel(task_id=run.tasks["b"].id, project_ids=None)
    replay(fail(run, "a"))
    assert run.statuses() == {"a": "waiting", "b": "aborted", "c": "cancelled"}


def test_another_projects_letter_is_not_found():
    letter = fail(make_ahead({"a": "executed"}), "a")
    for unknown in (lambda: replay(letter, project_ids=[new_id()]), lambda: replay(DeadLetter(id=new_id()))):
        with pytest.raises(DeadLetterNotFound):
            unknown()


def test_letters_are_replayed_by_filter_ancestors_first():
    run = make_ahead({"a": "executed", "b": "executed", "c": "executing"})
    fail(run, "b")
    fail(run, "a")
    other = make_ahead({"a": "submitted"})
    fail(other, "a", R.SUBMISSION_REFUSED)

    replayed = dead_letters_replay(project_ids=None, chosen=LetterFilter(reason=R.NO_QUORUM))

    assert (replayed.count, dict(replayed.refusals)) == (2, {})
    assert run.statuses() == dict.fromkeys("abc", "waiting")
    assert other.statuses() == {"a": "failed"}
    assert run.run.reopenings == 1


def test_of_letters_replayed_together_those_that_cannot_be_paid_stay_and_say_why(paid):
    runs = []
    for _ in range(3):
        runs.append(make_ahead({"a": "executed"}, project=paid, escrow_units=COST_UNITS))
        fail(runs[-1], "a")
    fund_project(paid.id, COST_UNITS)

    replayed = dead_letters_replay(project_ids=[paid.id], chosen=LetterFilter())

    assert replayed.count == 2
    (refusal,) = replayed.refusals.values()
    assert isinstance(refusal, InsufficientFunds)
    assert get_project_balances(paid.id) == (0, 2 * COST_UNITS)
    assert sorted(Run.objects.values_list("status", flat=True)) == ["failed", "open", "open"]
    again = dead_letters_replay(project_ids=[paid.id], chosen=LetterFilter())
    assert (again.count, len(again.refusals)) == (0, 1)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (LetterFilter(), {"a", "b", "x"}),
        (LetterFilter(is_waiting=True), {"a", "x"}),
        (LetterFilter(is_waiting=False), {"b"}),
        (LetterFilter(stage="executed"), {"a", "b"}),
        (LetterFilter(reason=R.SUBMISSION_REFUSED), {"x"}),
        (LetterFilter(error_code="no_quorum"), {"a"}),
    ],
)
def test_letters_are_found_by_what_they_say(chosen, expected):
    steps = [{"key": key, "script_source": "print({})"} for key in "ab"]
    run = make_ahead({"a": "executed", "b": "executed"}, steps=steps)
    fail(run, "a")
    fail(run, "b", R.RESULT_REJECTED)
    other = make_ahead({"x": "submitted"})
    fail(other, "x", R.SUBMISSION_REFUSED)
    assert {letter.task.step_key for letter in get_dead_letters(None, chosen)} == expected
    assert not get_dead_letters([new_id()], chosen).exists()
    of_run = LetterFilter(run_id=other.run.id)
    assert [letter.task.step_key for letter in get_dead_letters(None, of_run)] == ["x"]

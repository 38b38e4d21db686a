"""A crash at any statement leaves nothing behind, and doing it again completes it."""

from datetime import timedelta

import pytest

from apps.eventlog.selectors import get_database_now
from apps.ledger.selectors import get_project_balances
from apps.rollback.models import DeadLetter, Rollback
from apps.rollback.services import (
    dead_letter_replay,
    rollbacks_apply,
    rollbacks_clean,
    rollbacks_cleaned,
    rollbacks_log,
    run_cancel,
    task_cancel,
)
from apps.tasks.data import FailureReason, RunStatus
from tests.factories.accounts import make_project
from tests.factories.ahead import Ahead, make_ahead
from tests.factories.ledger import fund_project
from tests.factories.running_ahead import make_story
from tests.support.crashing import crash_everywhere

pytestmark = pytest.mark.django_db(transaction=True)

R = FailureReason
CHAIN = {"a": "submitted", "b": "waiting_ancestors", "c": "executing", "d": "scheduled", "e": "waiting"}
BONDS = {"a": 1_000_000, "b": 2_000_000, "c": 4_000_000, "d": 8_000_000}


def crash_apply() -> tuple[int, object]:
    return crash_everywhere(lambda: rollbacks_apply(now=get_database_now(), limit=100))


def failed(**options) -> Ahead:
    run = make_ahead({"a": "executed", "b": "executing"}, **options)
    run.signal("a", R.NO_QUORUM)
    rollbacks_apply(now=get_database_now(), limit=100)
    return run.reload()


@pytest.mark.parametrize("reason", [R.PROOF_REJECTED, R.NO_QUORUM, R.TIMEOUT])
def test_a_cascade_is_all_or_nothing(reason):
    run = make_ahead(CHAIN, bonds=BONDS)
    run.signal("a", reason)
    statements, outcome = crash_apply()
    assert statements > 20
    assert len(outcome.revocations) == 1
    assert Rollback.objects.get().size == 5


def test_a_cascade_over_proofs_that_are_being_made_is_all_or_nothing():
    story = make_story(("a", "b"))
    story.put("a", "attested")
    story.put("b", "proving")
    story.signal("a", R.RESULT_REJECTED)
    _, outcome = crash_apply()
    assert len(outcome.revocations[0].proofs) == 1


def test_an_offer_that_goes_back_is_all_or_nothing():
    run = make_ahead({"a": "scheduled", "b": "scheduled"}, bonds={"a": 1_000_000, "b": 2_000_000})
    run.signal("a", R.NOT_ACKNOWLEDGED)
    crash_apply()
    assert run.statuses() == {"a": "waiting", "b": "waiting"}


def test_dismissing_a_failure_is_all_or_nothing():
    run = make_ahead({"a": "submitted"})
    run.signal("a", R.SUBMISSION_REFUSED)
    run.put("a", "confirmed")
    crash_apply()
    assert not run.reload().tasks["a"].is_failing


def test_stopping_a_run_is_all_or_nothing():
    run = make_ahead(CHAIN, bonds=BONDS)
    crash_everywhere(lambda: run_cancel(run_id=run.run.id, project_ids=None))
    assert run.statuses()["e"] == "cancelled"


def test_stopping_a_task_is_all_or_nothing_also_where_a_failure_waits():
    run = make_ahead({"a": "executed", "b": "executed", "c": "executing"}, bonds={"b": 1_000_000})
    run.signal("b", R.RESULT_REJECTED)
    crash_everywhere(lambda: task_cancel(task_id=run.tasks["c"].id, project_ids=None))
    assert run.statuses() == {"a": "executed", "b": "waiting", "c": "cancelled"}


def test_replaying_a_letter_is_all_or_nothing():
    project = make_project()
    fund_project(project.id, 500)
    run = failed(project=project, escrow_units=500)
    letter = DeadLetter.objects.get()
    crash_everywhere(lambda: dead_letter_replay(letter_id=letter.id, project_ids=None))
    assert run.reload().run.status == RunStatus.OPEN
    assert get_project_balances(project.id) == (0, 500)


def test_what_follows_the_commit_is_taken_up_wherever_it_stopped():
    failed()
    later = get_database_now() + timedelta(seconds=11)
    _, outcome = crash_everywhere(lambda: rollbacks_clean(now=later, limit=10))
    (revocation,) = outcome.revocations
    crash_everywhere(lambda: rollbacks_cleaned(latencies={revocation.rollback: [1.0]}, now=later))
    _, told = crash_everywhere(lambda: rollbacks_log(now=later, limit=10))
    assert len(told) == 1

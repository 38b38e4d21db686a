"""Invariant 25: their events alone give every rollback, dead letter, task and run, whatever happened."""

import pytest

from apps.eventlog.selectors import get_database_now
from apps.rollback.models import LETTER_FIELDS, ROLLBACK_FIELDS, DeadLetter, Rollback
from apps.rollback.services import (
    dead_letter_replay,
    rollbacks_apply,
    rollbacks_cleaned,
    rollbacks_log,
    run_cancel,
    task_cancel,
)
from apps.tasks.data import FailureReason
from apps.tasks.models import RUN_FIELDS, TASK_FIELDS, Run, Task
from tests.factories.ahead import Ahead, make_ahead
from tests.support.replay import assert_replay_equals_row

pytestmark = pytest.mark.django_db

R = FailureReason


def assert_all_replay() -> None:
    for model, fields in (
        (Rollback, ROLLBACK_FIELDS),
        (DeadLetter, LETTER_FIELDS),
        (Task, TASK_FIELDS),
        (Run, RUN_FIELDS),
    ):
        for row in model.objects.all():
            assert_replay_equals_row(row, fields)


def apply(run: Ahead) -> None:
    rollbacks_apply(now=get_database_now(), limit=100)
    run.reload()


@pytest.mark.parametrize(
    ("statuses", "reason"),
    [
        ({"a": "submitted", "b": "waiting_ancestors", "c": "executing", "d": "waiting"}, R.PROOF_REJECTED),
        ({"a": "executing", "b": "scheduled"}, R.TIMEOUT),
        ({"a": "executing", "b": "scheduled"}, R.RESOURCES_EXHAUSTED),
        ({"a": "scheduled", "b": "discovered"}, R.NOT_ACKNOWLEDGED),
        ({"a": "executed", "b": "proved"}, R.NO_QUORUM),
        ({"a": "executed", "b": "proved"}, R.ANCESTOR_FAILED),
        ({"a": "attested", "b": "executing"}, R.INVALID_STATE),
    ],
)
def test_every_kind_of_failure(statuses, reason):
    bonded = ("scheduled", "executing", "executed", "waiting_ancestors")
    bonds = {step: 1_000_000 for step, status in statuses.items() if status in bonded}
    run = make_ahead(statuses, bonds=bonds)
    run.signal("a", reason)
    apply(run)
    assert_all_replay()
    now = get_database_now()
    rollbacks_cleaned(latencies={str(Rollback.objects.get()): [12.5]}, now=now)
    assert_all_replay()
    rollbacks_log(now=now, limit=10)
    assert_all_replay()


def test_failures_that_overlap_and_one_that_is_over():
    run = make_ahead(
        {"a": "executed", "b": "executed", "c": "confirmed"},
        steps=[
            {"key": "a", "script_source": "print({})"},
            {"key": "b", "script_source": "print({})", "parents": ["a"]},
            {"key": "c", "script_source": "print({})"},
        ],
    )
    for step in "ab":
        run.signal(step, R.RESULT_REJECTED)
    apply(run)
    assert_all_replay()


def test_a_letter_that_is_replayed_and_a_run_that_is_open_again():
    run = make_ahead({"a": "executed", "b": "executing"})
    run.signal("a", R.NO_QUORUM)
    apply(run)
    dead_letter_replay(letter_id=DeadLetter.objects.get().id, project_ids=None)
    assert_all_replay()


def test_stops_by_hand():
    run = make_ahead({"a": "attested", "b": "executing", "c": "waiting"}, bonds={"a": 1_000_000})
    task_cancel(task_id=run.tasks["b"].id, project_ids=None, actor="someone")
    assert_all_replay()
    run_cancel(run_id=run.run.id, project_ids=None, actor="someone")
    assert_all_replay()

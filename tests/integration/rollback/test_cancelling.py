"""Stopping a run or a task by hand: what ends and how, bonds in full, for good, and its preview."""

import pytest

from apps.eventlog.models import Event
from apps.eventlog.selectors import get_database_now
from apps.execution.data import AssignmentStatus
from apps.execution.models import Assignment
from apps.keepers.models import Keeper
from apps.kernel.ids import new_id
from apps.rollback.data import RollbackPhase, Scope
from apps.rollback.errors import RollbackOfConfirmed, RollbackTooLate, TaskAlreadyEnded
from apps.rollback.models import DeadLetter, Rollback
from apps.rollback.selectors import run_cancel_preview, task_cancel_preview
from apps.rollback.services import rollbacks_apply, run_cancel, task_cancel
from apps.tasks.data import FailureReason, RunStatus
from apps.tasks.errors import RunAlreadyEnded, RunNotFound, RunSettling, TaskNotFound
from apps.tasks.models import Failure
from tests.factories.ahead import STAKE_UNITS, make_ahead

pytestmark = pytest.mark.django_db

R = FailureReason
CHAIN = {"a": "attested", "b": "executing", "c": "scheduled", "d": "waiting"}
BONDS = {"a": 1_000_000, "b": 2_000_000, "c": 4_000_000}


def stop(run, **options):
    stopped = run_cancel(run_id=run.run.id, project_ids=options.pop("project_ids", None), **options)
    run.reload()
    return stopped


def failed():
    """A run whose only task failed for good."""
    run = make_ahead({"a": "executed"})
    run.signal("a", R.NO_QUORUM)
    rollbacks_apply(now=get_database_now(), limit=100)
    return run.reload()


def test_a_stopped_run_ends_with_every_bond_back_and_nobody_blamed():
    run = make_ahead(CHAIN, bonds=BONDS)
    before = dict(Keeper.objects.values_list("address", "reputation"))

    assert stop(run, actor="someone").status == RunStatus.CANCELLED

    assert run.statuses() == {"a": "rolled_back", "b": "aborted", "c": "cancelled", "d": "cancelled"}
    assert {task.error_code for task in run.tasks.values()} == {"cancelled"}
    assert {sum(run.balances(keeper.address)) for keeper in run.keepers} == {STAKE_UNITS}
    assert {run.balances(keeper.address)[1] for keeper in run.keepers} == {0}
    assert dict(Keeper.objects.values_list("address", "reputation")) == before
    assert not DeadLetter.objects.exists()
    leases = Assignment.objects.filter(task__step_key__in=["b", "c"])
    assert set(leases.values_list("status", "end_reason")) == {(AssignmentStatus.REVOKED, "cancelled")}
    row = Rollback.objects.get()
    assert (row.reason, row.error_detail, row.size, row.slashed_units) == ("manual", "someone", 4, 0)


def test_the_stage_stops_at_once_what_a_person_stopped():
    """Whoever asked has no way to the keepers: the stage does it on its next pass."""
    run = make_ahead(CHAIN)
    stop(run)
    (revocation,) = rollbacks_apply(now=get_database_now(), limit=100).revocations
    assert set(revocation.aborts) == {run.keeper("b"), run.keeper("c")}
    assert rollbacks_apply(now=get_database_now(), limit=100).revocations == ()


def test_what_is_being_settled_goes_on_and_what_is_confirmed_stays():
    run = make_ahead({"a": "confirmed", "b": "submitted", "c": "executed", "d": "discovered"})
    assert stop(run).status == RunStatus.OPEN
    assert run.statuses() == {"a": "confirmed", "b": "submitted", "c": "rolled_back", "d": "cancelled"}
    assert run.run.cancel_requested_at is not None


def test_asking_again_is_a_no_op():
    run = make_ahead(CHAIN)
    stop(run)
    before = Event.objects.count()
    assert stop(run).cancel_requested_at == run.run.cancel_requested_at
    assert Event.objects.count() == before


def test_what_has_ended_or_is_all_being_settled_is_refused():
    with pytest.raises(RunAlreadyEnded):
        stop(failed())
    settling = make_ahead({"a": "submitted"})
    with pytest.raises(RunSettling):
        stop(settling)
    assert settling.reload().run.cancel_requested_at is None


def test_a_run_or_task_of_another_project_is_not_found():
    run = make_ahead({"a": "executing"})
    with pytest.raises(RunNotFound):
        stop(run, project_ids=[new_id()])
    with pytest.raises(TaskNotFound):
        task_cancel(task_id=run.tasks["a"].id, project_ids=[new_id()])
    with pytest.raises(RunNotFound):
        run_cancel_preview(run_id=run.run.id, project_ids=[new_id()])
    with pytest.raises(TaskNotFound):
        task_cancel_preview(task_id=run.tasks["a"].id, project_ids=[new_id()])
    assert run.statuses() == {"a": "executing"}


def test_a_failure_that_was_signalled_before_is_settled_as_one():
    """Stopping the run does not save its keeper from the slash; nothing is tried again."""
    run = make_ahead({"a": "executed", "b": "executing"}, bonds={"a": 1_000_000, "b": 2_000_000})
    run.signal("a", R.RESULT_REJECTED)
    assert stop(run).status == RunStatus.CANCELLED
    assert run.statuses() == {"a": "failed", "b": "aborted"}
    row = Rollback.objects.get()
    assert (row.reason, row.slashed_units, row.is_retried) == ("result_rejected", 100_000, False)
    assert not Failure.objects.filter(wake_at__isnull=False).exists()


def test_a_stopped_task_takes_along_what_stands_on_it_and_the_others_go_on():
    run = make_ahead(CHAIN, bonds=BONDS)
    stopped = task_cancel(task_id=run.tasks["b"].id, project_ids=None, actor="someone")
    assert (stopped.status, stopped.error_code, stopped.error_detail) == ("aborted", "cancelled", "someone")
    assert run.statuses() == {"a": "attested", "b": "aborted", "c": "cancelled", "d": "cancelled"}
    assert run.run.status == RunStatus.OPEN
    assert run.balances(run.keeper("a"))[1] == 1_000_000


def test_no_retry_of_an_ancestor_brings_a_stopped_task_back():
    run = make_ahead(CHAIN)
    task_cancel(task_id=run.tasks["b"].id, project_ids=None)
    run.signal("a", R.RESULT_REJECTED)
    rollbacks_apply(now=get_database_now(), limit=100)
    assert run.statuses() == {"a": "waiting", "b": "aborted", "c": "cancelled", "d": "cancelled"}


def test_stopping_a_task_again_is_a_no_op_and_what_ended_otherwise_is_refused():
    run = make_ahead({"a": "confirmed", "b": "submitted", "c": "executed"})
    for step, refusal in (("a", RollbackOfConfirmed), ("b", RollbackTooLate)):
        with pytest.raises(refusal):
            task_cancel(task_id=run.tasks[step].id, project_ids=None)
    task_cancel(task_id=run.tasks["c"].id, project_ids=None)
    before = Event.objects.count()
    assert task_cancel(task_id=run.tasks["c"].id, project_ids=None).status == "rolled_back"
    assert Event.objects.count() == before
    with pytest.raises(TaskAlreadyEnded):
        task_cancel(task_id=failed().tasks["a"].id, project_ids=None)


def test_a_task_that_went_back_and_was_then_stopped_has_a_rollback_of_each():
    """Both are about the same attempt: no lease was given in between."""
    run = make_ahead({"a": "scheduled", "b": "waiting"})
    run.signal("a", R.NOT_ACKNOWLEDGED)
    rollbacks_apply(now=get_database_now(), limit=100)
    task_cancel(task_id=run.tasks["a"].id, project_ids=None)
    rows = Rollback.objects.filter(root=run.tasks["a"]).order_by("pk")
    assert [(row.epoch, row.scope) for row in rows] == [(1, Scope.TASK_ONLY), (1, Scope.DOWNSTREAM)]


def test_each_part_of_a_run_that_hangs_together_is_a_rollback_of_its_own():
    steps = [{"key": key, "script_source": "print({})"} for key in "abc"]
    run = make_ahead({"a": "executing", "b": "confirmed", "c": "waiting"}, steps=steps)
    stop(run)
    assert {row.root.step_key for row in Rollback.objects.all()} == {"a", "c"}
    assert set(Rollback.objects.values_list("phase", flat=True)) == {RollbackPhase.CLEANING}


def test_a_preview_says_what_a_stop_then_does():
    run = make_ahead({"a": "confirmed", **{f"x{n}": status for n, status in enumerate(CHAIN.values())}})
    for step, units in (("x0", 1_000_000), ("x1", 2_000_000)):
        run.bond(step, units)
    before = Event.objects.count()
    said = run_cancel_preview(run_id=run.run.id, project_ids=None).to_json()
    only = task_cancel_preview(task_id=run.tasks["x1"].id, project_ids=None).to_json()
    assert Event.objects.count() == before
    assert said["targets"] == {"rolled_back": 1, "aborted": 1, "cancelled": 2}
    assert (said["released_units"], said["slashed_units"], said["wasted_units"]) == ("3000000", "0", "12")
    assert (said["running"], said["confirmed"], said["depth"]) == (1, 1, 3)
    assert (only["targets"], only["confirmed"]) == ({"aborted": 1, "cancelled": 2}, 0)
    stop(run)
    row = Rollback.objects.get()
    assert (row.size, str(row.released_units), row.depth) == (4, said["released_units"], said["depth"])
    assert said["tasks"] == [str(item.task) for item in row.items.select_related("task")]


def test_the_preview_of_what_cannot_be_stopped_is_empty():
    run = make_ahead({"a": "confirmed", "b": "submitted"})
    said = run_cancel_preview(run_id=run.run.id, project_ids=None).to_json()
    assert (said["targets"], said["tasks"], said["confirmed"]) == ({}, [], 1)
    assert task_cancel_preview(task_id=run.tasks["b"].id, project_ids=None).tasks == ()

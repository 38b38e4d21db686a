"""What comes back from the prover: good, bad, late, twice, or never."""

from datetime import timedelta

import pytest

from apps.eventlog.models import Event
from apps.proofs.domain.deferral import ProofStatus
from apps.proofs.errors import (
    ProofCancelled,
    ProofFailed,
    ProofTimedOut,
    ProverUnavailable,
    ProvingKeyMissing,
    TraceTooLong,
    WitnessInvalid,
)
from apps.proofs.models import Proof
from apps.proofs.selectors import get_due_tasks, get_proof_work, proofs_of
from apps.proofs.services import proofs_cancel
from apps.tasks.data import TaskStatus
from apps.tasks.models import Failure, Task
from tests.factories.proofs import START

pytestmark = pytest.mark.django_db

S, T = ProofStatus, TaskStatus
CRASHED = ProofFailed(reason="the process ended without an answer")
AWAY = ProverUnavailable(reason="FileNotFoundError")


def rows():
    """Everything an answer could change."""
    tables = (Proof, Task, Event, Failure)
    return [list(model._default_manager.order_by("pk").values()) for model in tables]


def test_an_answer_that_comes_twice_changes_nothing_the_second_time(make_world):
    world = make_world(["a"])
    world.plan()
    world.answer("a")
    before = rows()
    (again,) = world.answer("a")
    assert (again.taken, again.pokes) == (0, frozenset())
    assert world.fail(CRASHED).taken == 0
    assert rows() == before


@pytest.mark.parametrize("is_good", [True, False])
def test_an_answer_to_an_attempt_before_the_present_one_changes_nothing(make_world, no_jitter, is_good):
    world = make_world(["a"])
    world.plan()
    world.fail(CRASHED)
    world.wait(1)
    world.plan()
    assert world.proof().generation_attempts == 2
    before = rows()
    if is_good:
        (outcome,) = world.answer("a", attempt=1)
    else:
        outcome = world.fail(CRASHED, attempt=1)
    assert outcome.taken == 0
    assert rows() == before


def test_an_answer_to_a_cancelled_proof_changes_nothing(make_world):
    world = make_world(["a"])
    world.plan()
    proofs_cancel([world.task().id], reason="rolled_back", now=world.now)
    before = rows()
    assert world.answer("a")[0].taken == 0
    assert world.fail(ProofCancelled()).taken == 0
    assert rows() == before
    world.move("a", T.ROLLED_BACK)


def test_an_answer_to_an_attempt_of_the_task_that_is_over_changes_nothing(make_world):
    world = make_world(["a"])
    world.plan()
    Task.objects.filter(pk=world.task().pk).update(is_failing=True)
    before = rows()
    assert world.answer("a")[0].taken == 0
    assert rows() == before


def test_a_proof_that_comes_after_its_time_but_before_anybody_looked_is_taken(make_world):
    world = make_world(["a"])
    world.plan()
    world.wait(61)
    world.answer("a")
    assert world.statuses("a") == [(T.PROVED, S.GENERATED)]


def test_a_proof_of_another_statement_is_a_failure_that_no_retry_cures(make_world):
    world = make_world(["a"])
    world.plan()
    other = int(world.proof().public_input, 16) + 1
    (outcome,) = world.answer("a", public_input=other)
    row = world.proof()
    assert (row.status, row.reason, row.proof) == (S.FAILED, "public_input_differs", None)
    assert world.failure() == ("proof_generation_failed", "public_input_differs")
    assert outcome.pokes == {"prove", "rollback"}
    assert world.task().is_failing


@pytest.mark.parametrize(
    "error", [CRASHED, ProvingKeyMissing(circuit="x", path="y"), ProofCancelled()], ids=str
)
def test_what_may_be_cured_is_tried_three_times_more_and_then_signalled(make_world, no_jitter, error):
    world = make_world(["a"])
    world.plan()
    for delay in (1, 2, 4):
        world.fail(error)
        assert world.statuses("a") == [(T.PROVING, S.QUEUED)]
        assert world.failure() is None
        world.plan()
        assert world.proof().status == S.QUEUED
        world.wait(delay)
        assert get_due_tasks(world.now, 10) == [world.task().id]
        world.plan()
        assert world.proof().status == S.GENERATING
    world.fail(error)
    assert world.proof().status == S.FAILED
    assert world.failure() == ("proof_generation_failed", error.code)
    assert [one.body["attempt"] for one in world.sent] == [1, 2, 3, 4]
    told = Event.objects.filter(event_type__startswith="proof.").order_by("sequence_number")
    assert [event.event_type for event in told] == ["proof.queued", "proof.failed"]
    assert told[1].payload["reason"] == error.code


@pytest.mark.parametrize(
    "error", [WitnessInvalid(reason="x"), TraceTooLong(inputs=300, instructions=7, limit=256)], ids=str
)
def test_what_nothing_cures_fails_at_once(make_world, error):
    world = make_world(["a"])
    world.plan()
    world.fail(error)
    assert world.failure() == ("proof_generation_failed", error.code)


def test_time_counts_from_the_first_attempt_whatever_came_between(make_world, no_jitter):
    world = make_world(["a"])
    world.plan()
    world.wait(55)
    world.fail(CRASHED)
    world.wait(2)
    world.plan()
    assert world.proof().status == S.GENERATING
    assert get_proof_work(world.proof().id, 2).deadline == START + timedelta(seconds=60)
    world.wait(3)
    world.fail(ProofTimedOut(seconds=3.0))
    assert world.proof().status == S.TIMED_OUT
    assert world.failure() == ("timeout", "proof_generation_timeout")


def test_a_proof_between_two_attempts_runs_out_of_time_too(make_world, no_jitter):
    world = make_world(["a"])
    world.plan()
    world.wait(59.5)
    world.fail(CRASHED)
    world.wait(0.5)
    assert get_due_tasks(world.now, 10) == [world.task().id]
    world.plan()
    assert world.failure() == ("timeout", "proof_generation_timeout")


def test_a_prover_that_is_away_is_asked_again_for_the_same_attempt_until_time_is_over(make_world):
    world = make_world(["a"])
    world.plan()
    for _ in range(59):
        assert world.fail(AWAY).taken == 1
        assert world.plan().dispatches == ()
        world.wait(1)
        world.plan()
    assert world.proof().reason == "prover_unavailable"
    assert {one.body["attempt"] for one in world.sent} == {1}
    assert len(world.sent) == 60
    world.answer("a")
    assert world.statuses("a") == [(T.PROVED, S.GENERATED)]
    assert world.proof().reason == ""


def test_a_prover_that_stays_away_is_a_timeout(make_world):
    world = make_world(["a"])
    world.plan()
    world.fail(AWAY)
    world.wait(60)
    world.plan()
    assert world.failure() == ("timeout", "proof_generation_timeout")


def test_a_failure_lets_the_next_one_have_its_place(make_world, no_jitter):
    steps = [f"s{number}" for number in range(5)]
    world = make_world(steps)
    world.plan()
    making = [step for step in steps if world.proof(step).status == S.GENERATING]
    (waiting,) = set(steps) - set(making)
    world.fail(CRASHED, making[0])
    world.plan()
    assert world.proof(waiting).status == S.GENERATING


def test_the_work_of_an_attempt_is_what_its_result_says(make_world):
    world = make_world(["a"])
    world.plan()
    work = get_proof_work(world.proof().id, 1)
    assert work.witness.task_id == world.task().id.int
    assert work.witness.size == 16
    assert (work.deadline - world.now).total_seconds() == 60
    assert get_proof_work(world.proof().id, 2) is None
    world.answer("a")
    assert get_proof_work(world.proof().id, 1) is None


@pytest.mark.parametrize("missing", ["salt", "output_hash", "cpu_ms"])
def test_a_result_that_makes_no_witness_is_refused_as_one(make_world, missing):
    world = make_world(["a"])
    world.plan()
    result = {name: value for name, value in world.task().result.items() if name != missing}
    Task.objects.filter(pk=world.task().pk).update(result=result)
    with pytest.raises(WitnessInvalid):
        get_proof_work(world.proof().id, 1)


@pytest.mark.parametrize("statement", [None, 7, "", "0xzz", "-0x1", "0x" + "f" * 80])
def test_a_result_that_says_no_statement_fails_with_its_proof(make_world, statement):
    world = make_world(["a"])
    Task.objects.filter(pk=world.task().pk).update(result={**world.task().result, "statement": statement})
    world.plan()
    world.answer("a", public_input=5)
    assert world.failure() == ("proof_generation_failed", "public_input_differs")


def test_a_proof_is_shown_with_its_times_and_costs_and_without_its_bytes(make_world):
    world = make_world({"a": [], "b": ["a"]})
    world.prove("a", "b")
    shown = proofs_of([world.task("b").id, world.task("a").id])[world.task("b").id]
    assert shown["status"] == "awaiting_ancestors"
    assert shown["circuit"] == 16
    assert shown["public_input"] == world.task("b").result["statement"]
    assert shown["waits_for"] == [f"task_{world.task('a').id.hex}"]
    assert shown["generated_at"] == world.now
    assert shown["cost"]["cpu_seconds"] == 0.4
    assert shown["reason"] is None
    assert "proof" not in shown

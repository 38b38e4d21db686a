"""How proofs end: sent back, rejected, cancelled, outlived, set aside."""

from datetime import timedelta

import pytest

from apps.proofs import services
from apps.proofs.domain.deferral import ProofStatus
from apps.proofs.models import Proof
from apps.proofs.planning import lock_decided
from apps.proofs.selectors import get_due_tasks, proofs_to_submit
from apps.proofs.services import proofs_cancel, proofs_fail_submission
from apps.tasks.data import TaskStatus
from apps.tasks.models import Task
from tests.factories.proofs import want_proof

pytestmark = pytest.mark.django_db

S, T = ProofStatus, TaskStatus


# ---- submissions that come back


def test_a_task_that_is_attested_again_has_its_proof_already(make_world, no_jitter):
    world = make_world(["a"])
    world.prove("a")
    world.sign("a")
    ended = proofs_fail_submission([world.task()], reason="reverted", is_curable=True, now=world.now)
    assert ended == frozenset()
    world.move("a", T.EXECUTED)
    row = world.proof()
    assert (row.status, row.is_signed, row.submission, row.reason) == (S.GENERATED, False, "", "reverted")

    world.wait(50)
    assert world.plan().pokes == frozenset()
    assert world.statuses("a") == [(T.EXECUTED, S.GENERATED)]

    world.move("a", T.ATTESTED)
    assert world.plan().pokes == {"submit"}
    assert world.statuses("a") == [(T.PROVED, S.SUBMITTING)]
    assert len(world.sent) == 1
    assert world.proof().submission == f"{world.proof().id.hex}/2"


def test_a_proof_the_contract_rejects_has_failed_and_its_task_is_named(make_world):
    world = make_world(["a", "b"])
    world.prove("a", "b")
    world.sign("a", "b")
    tasks = [world.task("a")]
    ended = proofs_fail_submission(tasks, reason="proof_rejected", is_curable=False, now=world.now)
    assert ended == {tasks[0].id}
    assert [status for _, status in world.statuses("a", "b")] == [S.FAILED, S.SUBMITTING]
    assert world.proof("a").reason == "proof_rejected"


def test_a_task_attested_again_whose_proof_has_ended_is_signalled(make_world):
    world = make_world(["a"])
    world.prove("a")
    world.sign("a")
    proofs_fail_submission([world.task()], reason="proof_rejected", is_curable=False, now=world.now)
    world.attest_again()
    world.plan()
    assert world.failure() == ("proof_rejected", "proof_rejected")


def test_another_attempt_has_a_proof_of_its_own(make_world):
    world = make_world(["a"])
    world.prove("a")
    assert proofs_cancel([world.task().id], reason="rolled_back", now=world.now) == ()
    Task.objects.filter(pk=world.task().pk).update(epoch=2, status=T.ATTESTED, wake_at=world.now)
    want_proof(world.task(), salt=8)
    world.plan()
    assert world.statuses("a") == [(T.PROVING, S.GENERATING)]
    assert Proof.objects.filter(task=world.task()).count() == 2


# ---- failures and ends


def test_cancelling_names_the_proofs_that_are_being_made_and_is_done_once(make_world):
    world = make_world(["a", "b", "c"])
    world.plan()
    world.answer("b", "c")
    world.plan()
    world.sign("c")
    ids = [world.task(step).id for step in "abc"]
    assert proofs_cancel(ids, reason="ancestor_failed", now=world.now) == (f"{world.proof('a').id.hex}/1",)
    assert [world.proof(step).status for step in "abc"] == [S.CANCELLED, S.CANCELLED, S.FAILED]
    assert {world.proof(step).reason for step in "abc"} == {"ancestor_failed"}
    before = list(Proof.objects.order_by("pk").values())
    assert proofs_cancel(ids, reason="again", now=world.now) == ()
    assert list(Proof.objects.order_by("pk").values()) == before
    world.move("c", T.FAILED)
    world.move("a", T.FAILED)
    world.move("b", T.FAILED)


def test_a_proof_below_a_dead_ancestor_is_cancelled_and_its_task_signalled(make_world):
    """A cascade takes both along at once; this heals what one left behind."""
    world = make_world({"a": [], "b": ["a"]})
    world.plan()
    proofs_cancel([world.task("a").id], reason="failed", now=world.now)
    world.move("a", T.FAILED)
    world.plan()
    assert world.proof("b").status == S.CANCELLED
    assert world.killed == [f"{world.proof('b').id.hex}/1"]
    assert world.failure("b") == ("ancestor_failed", "ancestor_failed")


@pytest.mark.parametrize("is_signed", [False, True])
def test_a_proof_that_outlived_its_attempt_is_ended_and_frees_its_place(make_world, limit, is_signed):
    limit(submissions=1)
    world = make_world(["a", "b"])
    world.plan()
    world.answer("a")
    world.plan()
    world.answer("b")
    if is_signed:
        world.sign("a")
    world.move("a", T.FAILED)
    world.plan()
    assert world.proof("a").status == (S.FAILED if is_signed else S.CANCELLED)
    assert world.proof("a").reason == "attempt_over"
    assert world.proof("b").status == S.SUBMITTING
    assert world.failure("a") is None


def test_a_failing_task_is_neither_asked_for_nor_offered(make_world):
    world = make_world(["a", "b"])
    Task.objects.filter(pk=world.task("a").pk).update(is_failing=True)
    world.plan()
    assert not Proof.objects.filter(task=world.task("a")).exists()
    world.answer("b")
    Task.objects.filter(pk=world.task("b").pk).update(is_failing=True)
    assert world.plan().pokes == frozenset()
    assert world.proof("b").status == S.GENERATED
    assert proofs_to_submit([world.task("b").id]) == {}


# ---- poison rows


def test_a_row_that_broke_a_pass_is_left_out_until_it_is_due_again(make_world):
    world = make_world(["a", "b"])
    world.plan()
    world.answer("a", "b")
    aside = world.now + timedelta(seconds=20)
    Task.objects.filter(pk=world.task("a").pk).update(stage_errors=1, wake_at=aside)
    assert get_due_tasks(world.now, 10) == [world.task("b").id]
    world.plan()
    assert [status for _, status in world.statuses("a", "b")] == [S.GENERATED, S.SUBMITTING]
    world.wait(20)
    world.plan()
    assert world.proof("a").status == S.SUBMITTING
    assert world.task("a").stage_errors == 0
    assert world.task("a").wake_at > world.now


def test_a_pass_over_some_tasks_changes_no_others(make_world):
    world = make_world(["a", "b"])
    world.plan(ids=[world.task("a").id])
    assert Proof.objects.count() == 1
    world.plan()
    world.answer("a", "b")
    world.plan(ids=[world.task("b").id])
    assert [status for _, status in world.statuses("a", "b")] == [S.GENERATED, S.SUBMITTING]


# ---- what moves while a pass decides


@pytest.fixture
def meanwhile(monkeypatch):
    """Let something happen between what a pass decides and its locks."""

    def between(act):
        def lock(*arguments):
            act()
            return lock_decided(*arguments)

        monkeypatch.setattr(services, "lock_decided", lock)

    return between


def test_a_proof_that_is_cancelled_while_a_pass_decides_stays_so(make_world, limit, meanwhile):
    limit(generations=1)
    world = make_world(["a", "b"])
    world.plan()
    (queued,) = [step for step in "ab" if world.proof(step).status == S.QUEUED]
    (making,) = {"a", "b"} - {queued}
    world.answer(making)
    meanwhile(lambda: proofs_cancel([world.task(queued).id], reason="rolled_back", now=world.now))
    outcome = world.plan()
    assert outcome.dispatches == ()
    assert world.proof(queued).status == S.CANCELLED
    assert world.proof(making).status == S.SUBMITTING
    world.move(queued, T.ROLLED_BACK)


def test_a_task_that_fails_while_a_pass_decides_is_not_offered(make_world, meanwhile):
    world = make_world(["a"])
    world.plan()
    world.answer("a")
    meanwhile(lambda: Task.objects.update(is_failing=True))
    assert world.plan().pokes == frozenset()
    assert world.proof().status == S.GENERATED

"""A crash at any statement of anything that writes proofs leaves nothing behind; again completes it."""

from datetime import timedelta

import pytest
from django.db import transaction

from apps.proofs.domain.deferral import ProofStatus
from apps.proofs.errors import ProofFailed, ProverUnavailable
from apps.proofs.models import Proof
from apps.proofs.services import proofs_cancel, proofs_fail_submission
from apps.tasks.data import TaskStatus
from apps.tasks.models import Task
from tests.support.crashing import crash_everywhere

pytestmark = pytest.mark.django_db(transaction=True)

S = ProofStatus
STEPS = {"a": [], "b": ["a"], "c": []}


def crash(work):
    """The work with a crash at each of its statements, and then done."""
    statements, outcome = crash_everywhere(work)
    assert statements > 1
    return outcome


def statuses():
    """How many proofs there are in each state."""
    return sorted(Proof.objects.values_list("status", flat=True))


def test_asking_for_proofs_is_all_or_nothing(make_world):
    world = make_world(STEPS)
    assert crash(world.plan).taken == 3
    assert statuses() == [S.GENERATING] * 3


def test_offering_and_deferring_is_all_or_nothing(make_world):
    world = make_world(STEPS)
    world.plan()
    world.answer("a", "b", "c")
    crash(world.plan)
    assert statuses() == [S.AWAITING_ANCESTORS, S.SUBMITTING, S.SUBMITTING]


def test_timing_out_is_all_or_nothing(make_world):
    world = make_world(STEPS)
    world.plan()
    world.wait(60)
    outcome = crash(world.plan)
    assert statuses() == [S.TIMED_OUT] * 3
    assert len(outcome.revocations[0].proofs) == 3
    assert Task.objects.filter(is_failing=True).count() == 3


def test_sharing_a_result_is_all_or_nothing(make_world):
    world = make_world(["a", "b"])
    Task.objects.filter(pk=world.task("b").pk).update(result=world.task("a").result)
    world.plan()
    world.answer("a")
    crash(world.plan)
    assert statuses() == [S.SUBMITTING] * 2


def test_sending_a_lost_request_again_is_all_or_nothing(make_world):
    world = make_world(["a"])
    world.plan()
    world.wait(5)
    assert len(crash(world.plan).dispatches) == 1


def test_ending_what_outlived_its_attempt_before_the_next_one_is_all_or_nothing(make_world):
    world = make_world(["a"])
    world.plan()
    Task.objects.filter(pk=world.task().pk).update(epoch=2, status=TaskStatus.ATTESTED, wake_at=world.now)
    crash(world.plan)
    assert statuses() == [S.CANCELLED, S.GENERATING]


def test_taking_a_proof_is_all_or_nothing(make_world):
    world = make_world(["a"])
    world.plan()
    crash(lambda: world.answer("a"))
    assert statuses() == [S.GENERATED]


@pytest.mark.parametrize("error", [ProofFailed(reason="x"), ProverUnavailable(reason="x")], ids=str)
def test_taking_a_failure_that_may_be_cured_is_all_or_nothing(make_world, error):
    world = make_world(["a"])
    world.plan()
    world.wait(2)
    crash(lambda: world.fail(error))
    assert statuses() == [S.QUEUED if isinstance(error, ProofFailed) else S.GENERATING]


def test_taking_a_proof_of_another_statement_is_all_or_nothing(make_world):
    world = make_world(["a"])
    world.plan()
    crash(lambda: world.answer("a", public_input=1))
    assert statuses() == [S.FAILED]


def test_signing_confirming_failing_and_cancelling_are_each_one_statement_that_writes(
    make_world, django_assert_num_queries
):
    world = make_world(["a", "b", "c"])
    world.prove("a", "b", "c")
    crash(lambda: world.sign("a", "b", "c"))
    crash(lambda: world.confirm("a"))

    def fail():
        with transaction.atomic():
            proofs_fail_submission([world.task("b")], reason="x", is_curable=True, now=world.now)

    crash(fail)
    with django_assert_num_queries(2):
        proofs_cancel([task.pk for task in world.spine.tasks.values()], reason="x", now=world.now)
    assert statuses() == [S.CANCELLED, S.CONFIRMED, S.FAILED]
    for step in ("b", "c"):
        world.move(step, TaskStatus.FAILED)
    world.wait(timedelta(seconds=1).total_seconds())
    assert world.plan().taken == 0

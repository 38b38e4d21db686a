"""The worker that has proofs made, over a prover that proves nothing."""

import threading
from dataclasses import replace

import pytest
from django.db import connection

from apps.eventlog.selectors import get_database_now
from apps.proofs.domain.deferral import ProofStatus
from apps.proofs.errors import ProofFailed, ProverUnavailable, WitnessInvalid
from apps.proofs.services import proofs_cancel
from apps.tasks.data import TaskStatus
from apps.tasks.models import Failure, Task
from project.celery import PROVE_QUEUE, app
from tests.support.prover import FakeProver
from workers import proving

pytestmark = pytest.mark.django_db(transaction=True)

S = ProofStatus


@pytest.fixture
def prover(monkeypatch) -> FakeProver:
    """What the worker asks; nobody is poked."""
    fake = FakeProver()
    monkeypatch.setattr(proving, "open_prover", lambda: fake)
    return fake


@pytest.fixture(autouse=True)
def poked(monkeypatch) -> list[str]:
    """The stages that are poked."""
    told: list[str] = []
    monkeypatch.setattr(proving, "poke", told.extend)
    monkeypatch.setattr(proving, "announce", lambda: None)
    return told


@pytest.fixture
def world(make_world):
    """One task whose proof is asked for, at the database's own time."""
    found = make_world(["a"], now=get_database_now())
    found.plan()
    return found


def generate(world, number=0):
    """Let the worker take one of the messages that were sent."""
    proving.generate.run(**world.sent[number].body)


class Taking(threading.Thread):
    """A thread of the worker's pool that takes a message."""

    def __init__(self, world):
        super().__init__(daemon=True)
        self._world = world
        self.start()

    def run(self):
        try:
            generate(self._world)
        finally:
            connection.close()


def test_a_message_asks_the_prover_and_records_what_it_made(world, prover, poked):
    generate(world)
    (asked,) = prover.requests
    assert asked.handle == f"{world.proof().id.hex}/1"
    assert 50 < asked.timeout_seconds <= 60
    assert asked.delay_seconds == 0.0
    assert asked.witness.task_id == world.task().id.int
    assert world.statuses("a") == [(TaskStatus.PROVED, S.GENERATED)]
    assert poked == ["prove"]


def test_a_message_that_comes_again_asks_nobody(world, prover):
    generate(world)
    generate(world)
    assert len(prover.requests) == 1


def test_a_message_that_comes_while_another_thread_is_at_it_asks_nobody_and_does_not_wait(world, prover):
    prover.is_held = True
    thread = Taking(world)
    prover.wait_for(1)
    generate(world)
    prover.release()
    thread.join(10)
    assert len(prover.requests) == 1
    assert world.proof().status == S.GENERATED


def test_the_deployments_delay_is_asked_for_and_seen_in_the_result(world, prover, settings):
    proofs = replace(settings.FOREKEEP.proofs, delay_seconds=2.5)
    settings.FOREKEEP = replace(settings.FOREKEEP, proofs=proofs)
    generate(world)
    assert prover.requests[0].delay_seconds == 2.5
    assert world.proof().delay_seconds == 2.5


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ProofFailed(reason="killed"), S.QUEUED, "proof_generation_failed"),
        (ProverUnavailable(reason="away"), S.GENERATING, "prover_unavailable"),
        (WitnessInvalid(reason="no"), S.FAILED, "witness_invalid"),
        (OSError("a fault of ours"), S.QUEUED, "proof_generation_failed"),
    ],
    ids=str,
)
def test_what_the_prover_raises_is_recorded(world, prover, error, status, reason):
    prover.errors.append(error)
    generate(world)
    assert (world.proof().status, world.proof().reason) == (status, reason)


def test_a_result_that_makes_no_witness_fails_without_asking_the_prover(world, prover):
    Task.objects.update(result={"statement": world.task().result["statement"]})
    generate(world)
    assert prover.requests == []
    assert Failure.objects.get().error_code == "witness_invalid"


def test_a_message_about_an_attempt_that_is_over_asks_nobody(world, prover):
    proofs_cancel([world.task().id], reason="rolled_back", now=world.now)
    generate(world)
    assert prover.requests == []
    world.move("a", TaskStatus.ROLLED_BACK)


def test_cancelling_kills_what_is_being_made_and_its_answer_changes_nothing(world, prover):
    prover.is_held = True
    thread = Taking(world)
    prover.wait_for(1)
    handles = proofs_cancel([world.task().id], reason="rolled_back", now=world.now)
    assert proving.cancel(None, handles=list(handles)) == {"cancelled": 1}
    thread.join(10)
    assert (world.proof().status, world.proof().reason) == (S.CANCELLED, "rolled_back")
    world.move("a", TaskStatus.ROLLED_BACK)


def test_cancelling_what_nobody_makes_or_with_the_prover_away_does_no_harm(world, prover, monkeypatch):
    assert proving.cancel(None, handles=["nobody/1"]) == {"cancelled": 0}

    def away(handle):
        raise ProverUnavailable(reason="away")

    monkeypatch.setattr(prover, "cancel", away)
    assert proving.cancel(None, handles=["a/1", "b/1"]) == {"cancelled": 0}


def test_the_messages_name_a_task_and_a_queue_that_exist(world):
    (sent,) = world.sent
    assert app.tasks[sent.task].name == proving.generate.name
    assert sent.queue == PROVE_QUEUE

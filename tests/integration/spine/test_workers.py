"""The doors: pokes, what the sweep finds, poison rows, and whatever comes in."""

import dataclasses
import json
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.db import OperationalError

from apps.attestation import services as attestation_services
from apps.attestation.models import Round
from apps.attestation.services import rounds_decide, rounds_open, rounds_resend
from apps.eventlog.models import Event
from apps.execution import leasing
from apps.execution import services as execution_services
from apps.execution.admission import tasks_admit
from apps.execution.models import Assignment
from apps.execution.services import leases_sweep, tasks_assign
from apps.kernel.errors import Conflict
from apps.kernel.outcome import Message, Outcome
from apps.kernel.trace import new_trace, set_current_trace
from apps.rollback import cascades
from apps.rollback.services import rollbacks_apply
from apps.settlement.services import batches_broadcast, batches_confirm, batches_submit
from apps.tasks.data import TaskStatus
from apps.tasks.following import runs_follow
from apps.tasks.models import Failure, Task
from apps.tasks.services import run_now, runs_schedule
from project.celery import STAGES_QUEUE, build_app
from project.env import Broker
from project.metrics import STAGE_ROWS_SET_ASIDE
from tests.integration.spine.driving import MakeJob, execute, start, task_of
from tests.support.failing import failed_receipts
from tests.support.hub import FakeHub
from tests.support.network import Network
from workers import canvas, isolation, pokes, stages
from workers.due import DUE
from workers.keeper.outbox import BALLOTS, RECEIPTS

AWAY = "redis://127.0.0.1:1/0"


@pytest.fixture
def queue(redis_url: str):
    """The broker, to look into."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def poked(monkeypatch) -> list[str]:
    """What the stages poke and send, without a broker."""
    told: list[str] = []
    monkeypatch.setattr(stages, "poke", told.extend)
    monkeypatch.setattr(stages, "poke_received", lambda stage: None)
    return told


def headers_in(queue: Any, name: str) -> list[dict[str, Any]]:
    """The headers of the messages that wait in a queue."""
    return [json.loads(item)["headers"] for item in queue.lrange(name, 0, -1)]


# ---- pokes


def test_many_pokes_of_a_stage_are_one_message_until_it_is_received(queue):
    for _ in range(20):
        pokes.poke(["admit", "assign"])
    assert queue.llen(STAGES_QUEUE) == 2
    pokes.poke_received("admit")
    pokes.poke(["admit", "assign"])
    assert queue.llen(STAGES_QUEUE) == 3


def test_a_poke_that_is_lost_holds_others_back_for_a_moment_only(queue):
    pokes.poke(["admit"])
    (key,) = queue.keys("forekeep:poke:*")
    assert 0 < queue.pttl(key) <= 2_000


def test_a_poke_and_a_keepers_message_carry_the_trace_they_belong_to(queue):
    mine, theirs = new_trace(), new_trace()
    set_current_trace(mine)
    pokes.poke(["admit"])
    canvas.send([Message(keeper="0xab", task="keeper.execute", body={}, trace_id=theirs.trace_id)])
    (poke,), (message,) = headers_in(queue, STAGES_QUEUE), headers_in(queue, "keeper.0xab")
    assert poke["traceparent"].split("-")[1] == mine.trace_id
    assert message["traceparent"].split("-")[1] == theirs.trace_id


def test_with_redis_away_a_poke_is_lost_in_silence(monkeypatch):
    monkeypatch.setattr(pokes, "_redis", redis.Redis.from_url(AWAY))
    monkeypatch.setattr(pokes, "app", build_app(Broker(redis_url=AWAY, amqp_url=None)))
    pokes.poke(["admit", "assign"])
    pokes.poke_received("admit")


def test_a_poke_that_was_not_sent_holds_no_other_back(queue, monkeypatch):
    monkeypatch.setattr(pokes, "app", build_app(Broker(redis_url=AWAY, amqp_url=None)))
    pokes.poke(["admit"])
    assert not queue.keys("forekeep:poke:*")
    monkeypatch.undo()
    pokes.poke(["admit"])
    assert queue.llen(STAGES_QUEUE) == 1


@pytest.mark.parametrize(
    "failure", [redis.ConnectionError("gone"), redis.TimeoutError("slow"), OSError("no")]
)
def test_a_broker_that_breaks_off_in_the_middle_raises_nothing(queue, monkeypatch, failure):
    """What a client library raises as it is, past what Celery makes of it."""

    def break_off(*_: Any, **__: Any) -> None:
        raise failure

    for door in (pokes, canvas):
        monkeypatch.setattr(door.app, "send_task", break_off)
    pokes.poke(["admit"])
    canvas.send([Message(keeper="0xab", task="keeper.execute", body={}, trace_id="ab" * 16)])


# ---- the sweep


def test_the_sweep_pokes_exactly_the_stages_that_have_due_rows(
    network: Network, make_job: MakeJob, monkeypatch, poked
):
    hub = FakeHub().install(monkeypatch)
    clock = [network.now() + timedelta(seconds=1)]
    network.now = lambda: clock[0]
    monkeypatch.setattr(stages, "get_database_now", network.now)

    def swept() -> set[str]:
        poked.clear()
        stages.sweep.run()
        return set(poked)

    job = make_job(
        ("a", []), ("b", ["a"]), trigger_kind="time", schedule={"kind": "interval", "seconds": 600}
    )
    assert swept() == set()
    run = run_now(job_id=job.id, project_ids=None)
    alone = run_now(job_id=make_job().id, project_ids=None)
    clock[0] = alone.opened_at + timedelta(seconds=1)
    assert swept() == {"admit"}
    network.stage(tasks_admit, ids=[task_of(run, step).pk for step in ("a", "b")])
    assert swept() == {"admit"}
    network.stage(tasks_admit)
    assert swept() == {"assign"}
    network.stage(tasks_assign)
    assert swept() == set()
    clock[0] += timedelta(seconds=5)
    assert swept() == {"leases"}
    network.stage(leases_sweep)
    assert swept() == set()
    network.deliver()
    network.record(RECEIPTS)
    assert swept() == {"attest"}
    network.stage(rounds_open)
    assert swept() == set()
    clock[0] += timedelta(seconds=5)
    assert swept() == {"rounds"}
    network.stage(rounds_resend)
    network.deliver()
    network.record(BALLOTS)
    assert swept() == {"tally"}
    network.stage(rounds_decide)
    assert swept() == {"submit"}
    network.stage(batches_submit)
    # A chain with senders that was never looked at is due to be.
    assert swept() == {"broadcast", "confirm"}
    network.stage(batches_broadcast)
    assert swept() == {"confirm"}
    hub.poll(network.now())
    assert swept() == {"confirm"}
    network.stage(batches_confirm)
    assert swept() == {"admit", "follow", "confirm"}
    network.stage(runs_follow)
    assert swept() == {"admit", "confirm"}
    network.stage(tasks_admit)
    assert swept() == {"confirm"}
    (refused,) = failed_receipts(network)
    network.record(RECEIPTS, [refused])
    assert swept() == {"confirm", "rollback"}
    network.stage(rollbacks_apply)
    assert swept() == {"admit", "confirm"}
    network.stage(tasks_admit)
    assert swept() == {"confirm"}
    assert job.next_fire_at is not None
    clock[0] = job.next_fire_at
    assert "schedule" in swept()
    network.stage(runs_schedule)
    assert "schedule" not in swept()
    assert "fire" in swept()


def test_every_stage_has_its_service_and_its_due_rows():
    assert list(DUE) == list(stages.STAGES)


def test_a_stage_goes_on_until_nothing_is_due(network, make_job: MakeJob, poked, monkeypatch, settings):
    run_now(job_id=make_job(*((f"s{n}", []) for n in range(7))).id, project_ids=None)
    few = dataclasses.replace(settings.FOREKEEP.stages, batch_rows=2)
    settings.FOREKEEP = dataclasses.replace(settings.FOREKEEP, stages=few)
    monkeypatch.setattr(stages, "send", lambda messages: None)
    stages.run.run(stage="admit")
    assert not Task.objects.exclude(status=TaskStatus.SCHEDULED).exists()
    assert set(poked) == {"assign"}


# ---- poison rows


def isolated(stage: str, network: Network, limit: int = 100) -> Outcome:
    """One pass of a stage as the worker makes it."""
    return isolation.run_isolated(stage, stages.STAGES[stage], DUE[stage], now=network.now(), limit=limit)


def poison(monkeypatch, module: Any, name: str, is_bad: Any) -> None:
    """Let a function break where its arguments are bad."""
    sound = getattr(module, name)

    def breaking(*args: Any, **kwargs: Any) -> Any:
        if is_bad(*args, **kwargs):
            raise ZeroDivisionError("poison")
        return sound(*args, **kwargs)

    monkeypatch.setattr(module, name, breaking)


def test_one_poison_task_does_not_block_its_batch_and_is_looked_at_later_and_later(
    network: Network, make_job: MakeJob, monkeypatch
):
    run = run_now(job_id=make_job(*((f"s{n}", []) for n in range(5))).id, project_ids=None)
    network.stage(tasks_admit)
    at = network.now()
    network.now = lambda: at
    with monkeypatch.context() as patch:
        poison(patch, leasing, "compute_demand", lambda spec, **_: spec["step"] == "s2")
        counted = STAGE_ROWS_SET_ASIDE.labels(stage="assign")._value.get()
        pauses: list[float] = []
        for turn in range(3):
            outcome = isolated("assign", network)
            assert len(outcome.messages) == (4 if turn == 0 else 0)
            bad = task_of(run, "s2")
            pauses.append((bad.wake_at - network.now()).total_seconds())
            assert (bad.status, bad.stage_errors) == (TaskStatus.SCHEDULED, turn + 1)
            later = bad.wake_at
            network.now = lambda later=later: later
        assert pauses == [2, 4, 8]
        assert STAGE_ROWS_SET_ASIDE.labels(stage="assign")._value.get() == counted + 3
        told = Event.objects.filter(event_type="task.set_aside").order_by("sequence_number")
        assert [event.payload["reason"] for event in told] == ["ZeroDivisionError"] * 3
    assert len(isolated("assign", network).messages) == 1


def test_a_poison_round_lets_the_others_be_decided(network: Network, make_job: MakeJob, monkeypatch):
    execute(network, make_job(("a", []), ("b", []), ("c", [])))
    network.stage(rounds_open)
    network.deliver()
    network.record(BALLOTS)
    bad = Round.objects.order_by("pk").first()
    poison(monkeypatch, attestation_services, "_decide", lambda row, *_: row.pk == bad.pk)
    isolated("tally", network)
    assert Task.objects.filter(status=TaskStatus.ATTESTED).count() == 2
    bad.refresh_from_db()
    assert bad.status == "open"
    assert bad.wake_at > network.now()


def test_a_poison_round_lets_the_others_be_called_again(network: Network, make_job: MakeJob, monkeypatch):
    execute(network, make_job(("a", []), ("b", [])))
    network.stage(rounds_open)
    network.messages.clear()
    later = network.now() + timedelta(seconds=6)
    network.now = lambda: later
    bad = Round.objects.order_by("pk").first()
    poison(
        monkeypatch,
        attestation_services,
        "calls_of",
        lambda rounds, *_: any(row.pk == bad.pk for row in rounds),
    )
    assert len(isolated("rounds", network).messages) == 4
    assert not Round.objects.filter(resend_at__lte=later).exists()


def test_a_poison_lease_lets_the_others_be_swept(network: Network, make_job: MakeJob, monkeypatch):
    start(network, make_job(("a", []), ("b", []), ("c", [])))
    later = network.now() + timedelta(seconds=31)
    network.now = lambda: later
    bad = Assignment.objects.order_by("pk").first()
    poison(monkeypatch, execution_services, "_end", lambda lease, *_: lease.pk == bad.pk)
    isolated("leases", network)
    assert Assignment.objects.filter(status="expired").count() == 2
    bad.refresh_from_db()
    assert bad.resend_at > later


def test_a_poison_failure_lets_the_others_be_rolled_back(network: Network, make_job: MakeJob, monkeypatch):
    """Of another run: what fails in one run is undone together."""
    runs = [start(network, make_job()) for _ in range(3)]
    network.record(RECEIPTS, failed_receipts(network))
    bad = Failure.objects.get(run=runs[1])
    poison(monkeypatch, cascades, "rollback_new", lambda cause, root, **_: root.pk == bad.task_id)
    outcome = isolated("rollback", network)
    assert "admit" in outcome.pokes
    statuses = {(run.pk, task_of(run).status, task_of(run).is_failing) for run in runs}
    assert statuses == {
        (runs[0].pk, TaskStatus.WAITING, False),
        (runs[1].pk, TaskStatus.SCHEDULED, True),
        (runs[2].pk, TaskStatus.WAITING, False),
    }
    bad.refresh_from_db()
    assert bad.wake_at > network.now()
    monkeypatch.undo()
    at: Any = bad.wake_at
    network.now = lambda: at
    isolated("rollback", network)
    assert task_of(runs[1]).status == TaskStatus.WAITING


def test_a_row_that_cannot_even_be_told_of_is_still_looked_at_later(
    network: Network, make_job: MakeJob, monkeypatch
):
    run = run_now(job_id=make_job().id, project_ids=None)
    poison(monkeypatch, isolation, "task_set_aside", lambda **_: True)
    monkeypatch.setitem(stages.STAGES, "admit", lambda **_: 1 / 0)
    isolated("admit", network)
    assert task_of(run).wake_at > network.now()


@pytest.mark.parametrize("stage", ["fire", "broadcast", "confirm"])
def test_a_stage_whose_rows_cannot_be_put_off_breaks_without_raising(network, stage, monkeypatch):
    def broken(**_: Any) -> Outcome:
        raise Conflict(reason="poison")

    outcome = isolation.run_isolated(
        stage, broken, lambda now, limit: ["x", "y"], now=network.now(), limit=10
    )
    assert outcome == Outcome()


@pytest.mark.django_db(transaction=True)
def test_a_pass_that_gives_way_is_left_to_the_sweep(network: Network):
    """A deadlock or a lost connection is nobody's fault: no row is set aside for it."""
    passes: list[Any] = []

    def deadlocked(**options: Any) -> Outcome:
        passes.append(options.get("ids"))
        raise OperationalError("deadlock detected")

    outcome = isolation.run_isolated(
        "admit", deadlocked, lambda now, limit: ["x"], now=network.now(), limit=10
    )
    assert (outcome, passes) == (Outcome(), [None])

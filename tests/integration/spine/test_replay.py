"""Invariant 25: their events alone give every run, task, round and batch, whatever happened to it."""

from datetime import timedelta

from apps.eventlog.models import Event
from apps.eventlog.selectors import get_database_now
from apps.execution.services import leases_sweep
from apps.rollback.data import LetterFilter
from apps.rollback.models import Rollback
from apps.rollback.services import (
    dead_letters_replay,
    rollbacks_apply,
    rollbacks_cleaned,
    rollbacks_log,
    run_cancel,
)
from apps.settlement.services import batches_submit
from apps.tasks.data import RunStatus, TaskStatus
from apps.tasks.models import Run, Task
from apps.tasks.services import run_now, task_set_aside
from tests.integration.spine.driving import MakeJob, give_stake, has_any, reject, roll_back, start
from tests.support.failing import dissent, failed_receipts, lie
from tests.support.network import TO_ATTESTED, Network
from tests.support.replay import assert_spine_replays
from workers.keeper.outbox import BALLOTS, RECEIPTS


def finish(network: Network, run: Run, most: int = 20) -> Run:
    """Turn until the run is over, its rows replayed after each turn."""
    for _ in range(most):
        assert_spine_replays()
        run.refresh_from_db()
        if run.status != RunStatus.OPEN:
            return run
        network.turn()
    raise AssertionError(f"not over after {most} turns")


def test_a_run_that_is_confirmed_step_by_step(network, hub, make_job: MakeJob):
    """What an open run has spent so far is told as well."""
    run = run_now(job_id=make_job(("a", []), ("b", ["a"]), ("c", ["b"])).id, project_ids=None)
    assert finish(network, run).status == RunStatus.CONFIRMED
    charged = Event.objects.filter(event_type="run.charged").order_by("sequence_number")
    spent = [event.payload["set"]["spent_units"] for event in charged]
    assert len(spent) == 2
    assert 0 < spent[0] < spent[1] < run.spent_units


def test_a_task_that_fails_for_good_and_those_below_it(network, hub, make_job: MakeJob):
    run = start(network, make_job(("a", []), ("b", ["a"]), ("c", [])))
    for _ in range(3):
        items = failed_receipts(network, lambda offer: offer.body["assignment"]["spec"]["step"] == "a")
        network.record(RECEIPTS, items)
        assert_spine_replays()
        roll_back(network)
        assert_spine_replays()
        network.turn(TO_ATTESTED[:3])
    assert finish(network, run).status == RunStatus.FAILED
    assert Task.objects.get(step_key="a").failures == 3


def test_a_lie_a_split_round_and_a_redrawn_committee(network, hub, make_job: MakeJob, store):
    run = start(network, make_job())
    network.deliver()
    (receipt,) = network.answers(RECEIPTS)
    network.record(RECEIPTS, [lie(receipt, network.nodes[receipt["keeper"]], store)])
    network.turn(TO_ATTESTED)
    assert Task.objects.get().is_failing
    assert_spine_replays()
    roll_back(network)
    assert Task.objects.get().failures == 1
    assert_spine_replays()

    def disagree(most: int) -> None:
        calls = [message for message in network.messages if message.task == "keeper.attest"]
        against = [dissent(network.nodes[m.keeper], m.body["call"]) for m in calls[:most]]
        network.messages = calls[most:]
        network.deliver()
        network.record(BALLOTS, [*against, *network.answers(BALLOTS)])

    for step in TO_ATTESTED:
        if step == BALLOTS:
            disagree(2)
        elif isinstance(step, str):
            network.deliver()
            network.record(step)
        else:
            network.stage(step)
    task = Task.objects.get()
    assert (task.status, task.redraws, task.is_solo) == (TaskStatus.EXECUTED, 1, True)
    assert finish(network, run).status == RunStatus.CONFIRMED


def test_a_settlement_that_is_void_and_comes_again(network, hub, make_job: MakeJob):
    run = run_now(job_id=make_job(("a", []), ("b", [])).id, project_ids=None)
    network.turn(TO_ATTESTED)
    network.stage(batches_submit)
    hub.is_refusing = True
    network.turn()
    assert_spine_replays()
    assert has_any(run, TaskStatus.EXECUTED)
    hub.is_refusing = False
    assert finish(network, run).status == RunStatus.CONFIRMED


def test_a_cancelled_run_tells_of_the_request_before_its_end(network, hub, make_job: MakeJob):
    run = start(network, make_job(("a", []), ("b", ["a"])))
    run_cancel(run_id=run.id, project_ids=None)
    assert_spine_replays()
    told = Event.objects.filter(aggregate_type="run").order_by("sequence_number")
    assert list(told.values_list("event_type", flat=True)) == [
        "run.opened",
        "run.cancel_requested",
        "run.cancelled",
    ]


def test_steps_that_ran_ahead_are_rolled_back_given_up_and_opened_again_by_hand(
    network, hub, make_job: MakeJob, one_attempt
):
    """With bonds slashed and released, leases revoked, a run that ends and is open again."""
    give_stake(network)
    run = start(network, make_job(("a", []), ("b", ["a"]), ("c", ["b"]), ("d", ["b"])))
    assert_spine_replays()
    network.deliver(keep=lambda message: message.body["assignment"]["spec"]["step"] in ("a", "b"))
    network.record(RECEIPTS)
    reject(network, Task.objects.get(step_key="a"))
    assert_spine_replays()
    network.stage(rollbacks_apply)
    assert_spine_replays()
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED
    assert dict(run.tasks.values_list("step_key", "status")) == {
        "a": "failed",
        "b": "rolled_back",
        "c": "cancelled",
        "d": "cancelled",
    }
    rollbacks_cleaned(latencies={str(Rollback.objects.get()): [3.5]}, now=network.now())
    assert_spine_replays()
    rollbacks_log(now=network.now(), limit=10)
    assert_spine_replays()
    assert Rollback.objects.get().phase == "complete"

    dead_letters_replay(project_ids=None, chosen=LetterFilter())
    assert_spine_replays()
    run.refresh_from_db()
    assert (run.status, run.reopenings) == (RunStatus.OPEN, 1)
    assert finish(network, run).status == RunStatus.CONFIRMED
    assert set(run.tasks.values_list("epoch", flat=True)) == {3}


def test_leases_that_run_out_and_rows_that_are_set_aside(network, hub, make_job: MakeJob):
    run = start(network, make_job())
    network.messages.clear()
    task = Task.objects.get()
    task_set_aside(task_id=task.id, stage="assign", reason="boom", now=network.now())
    assert_spine_replays()
    network.now = lambda: get_database_now() + timedelta(seconds=31)
    network.stage(leases_sweep)
    assert_spine_replays()
    roll_back(network)
    assert_spine_replays()
    network.now = lambda: get_database_now() + timedelta(seconds=33)
    assert finish(network, run).status == RunStatus.CONFIRMED
    task.refresh_from_db()
    assert (task.epoch, task.stage_errors, task.failures) == (2, 0, 0)

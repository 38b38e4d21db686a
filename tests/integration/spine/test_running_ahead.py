"""Runs whose steps do not wait: admitted under bond on unconfirmed outputs, each hop lost, late or forged."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from apps.eventlog.selectors import chain_verify, get_database_now
from apps.execution.admission import tasks_admit
from apps.execution.data import AssignmentStatus
from apps.execution.models import Assignment
from apps.execution.services import leases_sweep
from apps.jobs.models import Job
from apps.keepers.models import Keeper
from apps.kernel.outcome import Message
from apps.ledger.domain.postings import keeper_bonded, keeper_free
from apps.ledger.selectors import get_balances
from apps.speculation.data import CommitmentStatus
from apps.speculation.models import Commitment, Decision
from apps.speculation.selectors import get_tasks_to_ask_again
from apps.tasks.data import TaskStatus
from apps.tasks.models import Run, Task
from tests.integration.spine.driving import (
    STAKE_UNITS,
    MakeJob,
    give_stake,
    open_run,
    reject,
    roll_back,
    task_of,
)
from tests.support.failing import failed_receipt
from tests.support.network import Network
from workers.keeper.outbox import RECEIPTS

CHAIN: Any = (("a", []), ("b", ["a"]), ("c", ["b"]), ("d", ["c"]))
DIAMOND: Any = (("load", []), ("left", ["load"]), ("right", ["load"]), ("join", ["left", "right"]))


@pytest.fixture
def rich(network: Network) -> Network:
    """The network, its keepers with free stake to put up."""
    give_stake(network)
    return network


def admit(network: Network, job: Job) -> Run:
    run = open_run(job)
    network.stage(tasks_admit)
    return run


def statuses(run: Run) -> dict[str, str]:
    return dict(Task.objects.filter(run=run).values_list("step_key", "status"))


def links_of(message: Message) -> list[str]:
    """The steps of a canvas, first to last, where it is one chain."""
    steps = [message.body["assignment"]["spec"]["step"]]
    for following in message.following:
        steps.extend(links_of(following))
    return steps


def test_a_chain_is_admitted_at_once_and_travels_as_one_canvas(rich: Network, make_job: MakeJob):
    run = admit(rich, make_job(*CHAIN))
    assert set(statuses(run).values()) == {TaskStatus.SCHEDULED}
    (message,) = rich.messages
    assert links_of(message) == ["a", "b", "c", "d"]
    bonds = list(Commitment.objects.order_by("depth").values_list("depth", "bond_units"))
    assert bonds == [(0, 1_000_000), (1, 2_000_000), (2, 4_000_000), (3, 8_000_000)]
    assert not Assignment.objects.filter(is_parked=True).exists()


def test_bonds_are_locked_in_the_transaction_that_admits(rich: Network, make_job: MakeJob):
    admit(rich, make_job(*CHAIN))
    accounts = get_balances([account(one) for one in rich.nodes for account in (keeper_free, keeper_bonded)])
    bonded = sum(units for key, units in accounts.items() if key.kind == "keeper_bonded")
    assert bonded == 15_000_000
    assert sum(accounts.values()) == STAKE_UNITS * len(rich.nodes)


def test_every_receipt_of_a_chain_is_recorded_in_one_turn(rich: Network, make_job: MakeJob):
    run = admit(rich, make_job(*CHAIN))
    rich.deliver()
    assert rich.record(RECEIPTS) == []
    assert set(statuses(run).values()) == {TaskStatus.EXECUTED}
    parent, child = task_of(run, "a"), task_of(run, "b")
    assert child.result["parents"]["a"]["output_hash"] == parent.result["output_hash"]
    assert child.is_ahead
    assert not parent.is_ahead
    assert set(Commitment.objects.values_list("status", flat=True)) == {CommitmentStatus.FULFILLED}
    assert chain_verify() == []


def test_each_decision_is_kept_with_every_check(rich: Network, make_job: MakeJob):
    run = admit(rich, make_job(*CHAIN))
    decision = Decision.objects.get(task=task_of(run, "c"))
    assert decision.verdict == "ahead"
    checks = {check["check"]: check["met"] for check in decision.content["checks"]}
    assert len(checks) == 10
    assert all(checks.values())


def test_what_is_too_deep_waits_with_its_reason(rich: Network, make_job: MakeJob):
    steps = [(f"s{n}", [f"s{n - 1}"] if n else []) for n in range(8)]
    run = admit(rich, make_job(*steps))
    assert statuses(run)["s5"] == TaskStatus.SCHEDULED
    assert statuses(run)["s6"] == TaskStatus.WAITING
    assert statuses(run)["s7"] == TaskStatus.DISCOVERED
    assert Decision.objects.get(task=task_of(run, "s6")).refusal == "depth"


def test_a_join_is_started_by_the_record_of_its_last_parent(rich: Network, make_job: MakeJob):
    run = admit(rich, make_job(*DIAMOND))
    (message,) = rich.messages
    assert {links_of(one)[0] for one in message.following} == {"left", "right"}
    assert Assignment.objects.get(task=task_of(run, "join")).is_parked
    rich.deliver()
    rich.record(RECEIPTS)
    assert statuses(run)["join"] == TaskStatus.SCHEDULED
    assert not Assignment.objects.get(task=task_of(run, "join")).is_parked
    rich.deliver()
    rich.record(RECEIPTS)
    assert set(statuses(run).values()) == {TaskStatus.EXECUTED}


def test_what_a_lost_hop_left_behind_is_offered_with_its_parents_receipt(rich: Network, make_job: MakeJob):
    run = admit(rich, make_job(*CHAIN))
    (message,) = rich.messages
    rich.messages = []
    rich.work(dataclasses.replace(message, following=()))
    rich.record(RECEIPTS)
    assert statuses(run) == {"a": "executed", "b": "scheduled", "c": "scheduled", "d": "scheduled"}
    for step in ("b", "c", "d"):
        later = get_database_now() + timedelta(seconds=6)
        rich.now = lambda later=later: later
        Assignment.objects.filter(status=AssignmentStatus.OFFERED).update(resend_at=get_database_now())
        rich.stage(leases_sweep)
        assert [links_of(one) for one in rich.messages] == [[step]]
        rich.deliver()
        rich.record(RECEIPTS)
    assert set(statuses(run).values()) == {TaskStatus.EXECUTED}


def test_a_receipt_that_comes_before_its_parents_is_asked_for_again(rich: Network, make_job: MakeJob):
    run = admit(rich, make_job(*CHAIN[:2]))
    rich.deliver()
    receipts = {receipt["task"]: receipt for receipt in rich.answers(RECEIPTS)}
    parent, child = receipts[str(task_of(run, "a"))], receipts[str(task_of(run, "b"))]
    (refusal,) = rich.record(RECEIPTS, [child])
    assert refusal.error.code == "parent_not_recorded"
    assert statuses(run)["b"] == TaskStatus.SCHEDULED
    assert rich.record(RECEIPTS, [parent, child]) == []
    assert set(statuses(run).values()) == {TaskStatus.EXECUTED}


def test_a_step_that_is_to_be_tried_later_is_not_started_with_its_siblings(rich: Network, make_job: MakeJob):
    """A keeper without memory has its step put off for a moment; what failed beside it is tried at once."""
    run = admit(rich, make_job(("a", []), ("b", ["a"]), ("c", [])))
    codes = {"a": "script_memory", "c": "script_failed"}
    offers = {one.body["assignment"]["spec"]["step"]: one for one in rich.messages}
    said = [
        failed_receipt(
            rich.nodes[offers[step].keeper], offers[step].body["assignment"], error_code=codes[step]
        )
        for step in ("a", "c")
    ]
    rich.messages = []
    rich.record(RECEIPTS, said)
    roll_back(rich)
    at: Any = task_of(run, "a").wake_at
    assert task_of(run, "c").wake_at < at
    assert statuses(run) == {"a": "waiting", "b": "waiting", "c": "waiting"}
    rich.now = lambda: at - timedelta(milliseconds=1)
    rich.stage(tasks_admit)
    assert statuses(run) == {"a": "waiting", "b": "waiting", "c": "scheduled"}
    assert task_of(run, "a").wake_at == at
    rich.now = lambda: at
    rich.stage(tasks_admit)
    assert set(statuses(run).values()) == {TaskStatus.SCHEDULED}
    assert sorted(links_of(one) for one in rich.messages) == [["a", "b"], ["c"]]


def test_a_good_receipt_under_a_parent_that_is_failing_blames_nobody(rich: Network, make_job: MakeJob):
    """Its keeper did what it was asked to; the cascade takes it along."""
    run = admit(rich, make_job(*CHAIN[:2]))
    rich.deliver()
    receipts = {receipt["task"]: receipt for receipt in rich.answers(RECEIPTS)}
    rich.record(RECEIPTS, [receipts[str(task_of(run, "a"))]])
    guilty, innocent = task_of(run, "a").performer, task_of(run, "b").performer
    reject(rich, task_of(run, "a"))
    (refusal,) = rich.record(RECEIPTS, [receipts[str(task_of(run, "b"))]])
    assert refusal.error.code == "parent_not_recorded"
    assert not task_of(run, "b").is_failing
    roll_back(rich)
    (refusal,) = rich.record(RECEIPTS, [receipts[str(task_of(run, "b"))]])
    assert refusal.error.code == "epoch_stale"
    assert statuses(run) == {"a": "waiting", "b": "waiting"}
    assert Keeper.objects.get(address=guilty).tasks_failed == 1
    assert guilty == innocent or Keeper.objects.get(address=innocent).tasks_failed == 0
    assert set(Commitment.objects.values_list("task__step_key", "status")) == {
        ("a", "failed"),
        ("b", "rolled_back"),
    }


def test_the_order_within_a_message_does_not_matter(rich: Network, make_job: MakeJob):
    run = admit(rich, make_job(*CHAIN))
    rich.deliver()
    assert rich.record(RECEIPTS, rich.answers(RECEIPTS)[::-1]) == []
    assert set(statuses(run).values()) == {TaskStatus.EXECUTED}


def test_without_stake_a_child_waits_for_its_bond(network: Network, make_job: MakeJob):
    run = admit(network, make_job(*CHAIN))
    assert statuses(run)["a"] == TaskStatus.SCHEDULED
    assert statuses(run)["b"] == TaskStatus.WAITING
    assert Decision.objects.get(task=task_of(run, "b")).refusal == "bond"
    assert not Commitment.objects.exists()


def test_a_scarce_resource_is_never_run_ahead_on(rich: Network, make_job: MakeJob):
    scarce = {"parents": [{"step": "a", "kind": "resource"}]}
    run = admit(rich, make_job(("a", []), ("b", [], scarce)))
    assert statuses(run)["b"] == TaskStatus.WAITING
    assert Decision.objects.get(task=task_of(run, "b")).refusal == "edges"


def switched_off(settings: Any) -> Any:
    ahead = dataclasses.replace(settings.FOREKEEP.speculation, is_enabled=False)
    return dataclasses.replace(settings.FOREKEEP, speculation=ahead)


def test_switched_off_everything_waits_for_confirmation(rich: Network, make_job: MakeJob, settings: Any):
    settings.FOREKEEP = switched_off(settings)
    run = admit(rich, make_job(*CHAIN))
    assert statuses(run) == {"a": "scheduled", "b": "waiting", "c": "discovered", "d": "discovered"}
    assert Decision.objects.get(task=task_of(run, "b")).refusal == "enabled"
    assert not Commitment.objects.exists()


@pytest.mark.parametrize("at_risk", [0, 2_999_999, 3_000_000])
def test_the_stake_at_risk_stays_within_its_cap(
    rich: Network, make_job: MakeJob, settings: Any, at_risk: int
):
    ahead = dataclasses.replace(settings.FOREKEEP.speculation, max_at_risk_units=at_risk)
    settings.FOREKEEP = dataclasses.replace(settings.FOREKEEP, speculation=ahead)
    admit(rich, make_job(*CHAIN[:2]))
    bonded = sum(Commitment.objects.values_list("bond_units", flat=True))
    assert bonded <= at_risk
    assert Commitment.objects.filter(depth=1).exists() == (at_risk == 3_000_000)


def test_two_admissions_of_one_run_give_each_step_one_lease(rich: Network, make_job: MakeJob):
    run = admit(rich, make_job(*DIAMOND))
    Task.objects.filter(run=run).update(wake_at=get_database_now())
    rich.stage(tasks_admit)
    assert Assignment.objects.count() == 4
    assert Commitment.objects.count() == 4


def test_nothing_runs_ahead_while_too_much_waits_to_be_checked(
    rich: Network, make_job: MakeJob, settings: Any
):
    ahead = dataclasses.replace(settings.FOREKEEP.speculation, backlog_high=2, backlog_low=1)
    settings.FOREKEEP = dataclasses.replace(settings.FOREKEEP, speculation=ahead)
    first = admit(rich, make_job(*CHAIN))
    rich.deliver()
    rich.record(RECEIPTS)
    assert set(statuses(first).values()) == {TaskStatus.EXECUTED}
    second = admit(rich, make_job(*CHAIN))
    assert statuses(second)["a"] == TaskStatus.SCHEDULED
    assert statuses(second)["b"] == TaskStatus.WAITING
    decision = Decision.objects.get(task=task_of(second, "b"))
    assert decision.content["checks"][0]["observed"] == {"switched_off_by": "backlog"}
    assert task_of(second, "b").id in get_tasks_to_ask_again()

"""Whole runs with proofs: made early, deferred, submitted in ancestor order, and rejected on purpose."""

import dataclasses
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from apps.accounts.models import Project
from apps.eventlog.models import Event
from apps.eventlog.selectors import chain_verify, get_database_now
from apps.execution.admission import tasks_admit
from apps.ledger.domain.postings import TREASURY, deposit_keeper_stake, keeper_bonded, keeper_free
from apps.ledger.selectors import get_balances
from apps.ledger.services import transactions_post
from apps.proofs.domain.deferral import ProofStatus
from apps.proofs.models import Proof
from apps.proofs.selectors import get_proof_work
from apps.proofs.services import proof_generated, proofs_plan
from apps.rollback.data import RollbackPhase
from apps.rollback.models import DeadLetter, Rollback
from apps.rollback.services import rollbacks_cleaned, rollbacks_log
from apps.settlement.models import Batch, Settlement
from apps.speculation.data import CommitmentStatus
from apps.speculation.models import Commitment
from apps.tasks.data import RunStatus, TaskStatus
from apps.tasks.models import Run, Task
from tests.integration.spine.driving import MakeJob, is_over, open_run, task_of
from tests.support.hub import FakeHub
from tests.support.network import TURN, Network
from tests.support.prover import FakeProver
from workers.proving import _request

STAKE_UNITS = 10**9
CHAIN: Any = (("a", []), ("b", ["a"]), ("c", ["b"]))


class World:
    """A network whose keepers have stake, a hub that asks for proofs, and a prover."""

    def __init__(self, network: Network, hub: FakeHub) -> None:
        self.network, self.hub, self.prover = network, hub, FakeProver()
        transactions_post([deposit_keeper_stake(a, STAKE_UNITS, f"test:{a}") for a in network.nodes])

    def prove(self) -> None:
        """One pass of the stage, and the prover's answer to everything it asks for."""
        outcome = self.network.stage(proofs_plan)
        for dispatch in outcome.dispatches:
            self.answer(UUID(hex=dispatch.body["proof"]), dispatch.body["attempt"])

    def answer(self, proof_id: UUID, attempt: int) -> None:
        work = get_proof_work(proof_id, attempt)
        if work is not None:
            result = self.prover.prove(_request(f"{proof_id.hex}/{attempt}", work))
            proof_generated(proof_id=proof_id, attempt=attempt, result=result, now=self.network.now())

    def turn(self) -> None:
        """Everything once, a second later than the last time."""
        self.network.turn(TURN[: TURN.index(TURN[-4])])
        self.prove()
        self.network.turn(TURN[-4:])
        for revocation in self.network.revocations:
            rollbacks_cleaned(latencies={revocation.rollback: [7]}, now=self.network.now())
        self.network.revocations = []
        rollbacks_log(now=self.network.now(), limit=100)
        earlier = self.network.now
        self.network.now = lambda: earlier() + timedelta(seconds=1)

    def finish(self, run: Run, turns: int = 60) -> Run:
        """Turn until the run is over."""
        for _ in range(turns):
            self.turn()
            if is_over(run):
                return run
        raise AssertionError(f"not over: {statuses(run)}")


@pytest.fixture
def world(network: Network, monkeypatch: pytest.MonkeyPatch, settings: Any) -> World:
    proofs = dataclasses.replace(settings.FOREKEEP.proofs, is_required=True)
    settings.FOREKEEP = dataclasses.replace(settings.FOREKEEP, proofs=proofs)
    hub = FakeHub().install(monkeypatch)
    hub.is_proof_required = True
    return World(network, hub)


def statuses(run: Run) -> dict[str, str]:
    return dict(Task.objects.filter(run=run).values_list("step_key", "status"))


def settled_order(run: Run, hub: FakeHub) -> list[str]:
    names = {task.id.int: task.step_key for task in Task.objects.filter(run=run)}
    return [names[task_id] for task_id in hub.history if task_id in names]


def test_a_chain_is_proved_early_and_settled_in_ancestor_order(world: World, make_job: MakeJob):
    run = open_run(make_job(*CHAIN))
    world.turn()
    world.turn()
    assert Proof.objects.filter(generated_at__isnull=False).count() == 3
    assert statuses(run)["c"] in (TaskStatus.PROVED, TaskStatus.WAITING_ANCESTORS)
    assert world.finish(run).status == RunStatus.CONFIRMED
    assert settled_order(run, world.hub) == ["a", "b", "c"]
    assert set(Proof.objects.values_list("status", flat=True)) == {ProofStatus.CONFIRMED}
    assert set(Commitment.objects.values_list("status", flat=True)) == {CommitmentStatus.CONFIRMED}
    accounts = get_balances([keeper_bonded(address) for address in world.network.nodes])
    assert set(accounts.values()) == {0}
    assert chain_verify() == []


def test_parts_of_one_round_are_settled_at_different_times(world: World, make_job: MakeJob):
    run = open_run(make_job(*CHAIN))
    world.finish(run)
    batches = Batch.objects.filter(settlements__task__run=run).distinct()
    assert sum(batch.size for batch in batches) == 3
    assert batches.count() == 3
    assert not Settlement.objects.exclude(status="settled").exists()


def drill(make_job: MakeJob, project: Project, times: int) -> Run:
    Project.objects.filter(pk=project.pk).update(allows_drills=True)
    return open_run(make_job(("a", [], {"drill": {"reject_proof": times}}), *CHAIN[1:]))


def test_a_rejected_proof_takes_down_what_ran_ahead_and_is_tried_again_to_success(
    world: World, make_job: MakeJob, funded: Project
):
    run = drill(make_job, funded, times=1)
    world.hub._verify = lambda item, proof: proof[-1] % 2 == 0
    world.finish(run)
    assert run.status == RunStatus.CONFIRMED
    rollback = Rollback.objects.get()
    assert (rollback.reason, rollback.size, rollback.phase) == ("proof_rejected", 3, RollbackPhase.COMPLETE)
    assert rollback.slashed_units == 100_000
    assert rollback.is_retried
    items = list(rollback.items.order_by("position").values_list("task__step_key", "target"))
    assert items == [("c", "rolled_back"), ("b", "rolled_back"), ("a", "failed")]
    letter = DeadLetter.objects.get()
    assert (letter.task, letter.dependents, letter.is_final) == (task_of(run, "a"), 2, False)
    ends = Commitment.objects.order_by("epoch", "depth").values_list("status", flat=True)
    assert list(ends)[:3] == ["failed", "rolled_back", "rolled_back"]
    assert set(Task.objects.values_list("epoch", flat=True)) == {3}


def test_the_slash_goes_half_to_the_treasury_and_half_to_whose_work_was_wasted(
    world: World, make_job: MakeJob, funded: Project
):
    run = drill(make_job, funded, times=1)
    world.hub._verify = lambda item, proof: proof[-1] % 2 == 0
    world.finish(run)
    rollback = Rollback.objects.get()
    assert rollback.treasury_units >= 50_000
    assert rollback.treasury_units + sum(int(units) for units in rollback.victims.values()) == 100_000
    treasury = get_balances([TREASURY])[TREASURY]
    assert treasury == rollback.treasury_units
    held = get_balances([account(a) for a in world.network.nodes for account in (keeper_free, keeper_bonded)])
    assert sum(held.values()) >= STAKE_UNITS * len(world.network.nodes) - treasury


def test_a_proof_that_is_rejected_every_time_fails_the_run_with_a_letter_to_replay(
    world: World, make_job: MakeJob
):
    run = open_run(make_job(*CHAIN))
    world.hub.unproved = {task_of(run, "a").id.int}
    world.finish(run)
    assert run.status == RunStatus.FAILED
    assert statuses(run)["a"] == TaskStatus.FAILED
    assert set(statuses(run).values()) <= {"failed", "rolled_back", "cancelled", "aborted"}
    assert DeadLetter.objects.filter(is_final=True).count() == 1
    assert world.hub.history == []


def test_every_event_of_a_cascade_is_in_the_runs_trace(world: World, make_job: MakeJob, funded: Project):
    run = drill(make_job, funded, times=1)
    world.hub._verify = lambda item, proof: proof[-1] % 2 == 0
    world.finish(run)
    told = Event.objects.filter(aggregate_type="rollback")
    assert set(told.values_list("trace_id", flat=True)) == {run.trace_id}
    assert {"rollback.detected", "rollback.propagated", "rollback.completed"} <= set(
        told.values_list("event_type", flat=True)
    )


def test_nothing_is_admitted_under_a_parent_whose_failure_is_signalled(world: World, make_job: MakeJob):
    run = open_run(make_job(*CHAIN))
    world.network.stage(tasks_admit)
    Task.objects.filter(run=run, step_key="c").update(wake_at=get_database_now())
    world.network.is_tampered = True
    Task.objects.filter(run=run, step_key="a").update(is_failing=True)
    Task.objects.filter(run=run, step_key="b").update(status="waiting", wake_at=get_database_now())
    world.network.stage(tasks_admit)
    assert statuses(run)["b"] == TaskStatus.WAITING

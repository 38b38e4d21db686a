"""What custom scripts keep: over runs one after another, side by side, rolled back, and lied about."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.chains.artifacts import get_abi
from apps.eventlog.models import Event
from apps.eventlog.selectors import chain_verify
from apps.execution.data import receipt_from_json
from apps.jobs.data import Bounds, definition_from_json
from apps.jobs.models import Job
from apps.jobs.services import job_create, job_delete
from apps.kernel.hashing import to_hex
from apps.settlement.services import batches_broadcast, batches_confirm, batches_submit
from apps.storage.models import StoredValue
from apps.storage.services import storage_put
from apps.tasks.data import RunStatus, TaskStatus
from apps.tasks.models import Run, Task
from tests.factories.nodes import ran
from tests.integration.spine.conftest import COST_UNITS
from tests.integration.spine.driving import (
    attest,
    execute,
    is_over,
    open_run,
    reject,
    reported,
    roll_back,
    start,
    task_of,
    turn_until,
)
from tests.support.hub import FakeHub
from tests.support.network import TO_ATTESTED, Network
from tests.support.replay import assert_spine_replays
from workers.keeper.outbox import RECEIPTS
from workers.keeper.rpc import Simulation
from workers.keeper.sandbox.data import AbortHandle, SandboxRequest, SandboxResult

TARGET = "0x" + "11" * 20
MakeJob = Callable[..., Job]


class Scripted:
    """An executor whose every script prints what `decide` makes of what it was given."""

    languages = ("python",)

    def __init__(self, decide: Callable[[dict[str, Any]], Any]) -> None:
        self.decide = decide

    def run(self, request: SandboxRequest, handle: AbortHandle | None = None) -> SandboxResult:
        """See Executor."""
        return ran(json.dumps(self.decide(json.loads(request.stdin))).encode())

    def close(self) -> None:
        """Nothing to end."""


class Willing:
    """A chain on which every call succeeds."""

    def get_head(self) -> int:
        """See ChainRpc."""
        return 17

    def simulate(self, actions: Any, *, sender: str, block: int) -> tuple[Simulation, ...]:
        """See ChainRpc."""
        return tuple(Simulation(block=block, gas_used=30_000, failure=None) for _ in actions)

    def close(self) -> None:
        """Nothing to close."""


def count(given: dict[str, Any]) -> dict[str, Any]:
    """A run more; every second one calls."""
    runs = given["storage"].get("runs", 0) + 1
    call = {"target": TARGET, "calldata": "0x12065fe0"} if runs % 2 == 0 else {}
    return {"should_execute": bool(call), **call, "storage_updates": {"runs": runs}, "metadata": {"n": runs}}


@pytest.fixture
def scripted(network: Network, hub: FakeHub) -> Callable[[Callable[[dict[str, Any]], Any]], Network]:
    """The network with scripts that do this."""

    def make(decide: Callable[[dict[str, Any]], Any]) -> Network:
        for address, node in network.nodes.items():
            network.nodes[address] = replace(node, executor=Scripted(decide), chain=Willing())
        return network

    return make


@pytest.fixture
def make_custom(funded: Any, store: Any) -> MakeJob:
    """Jobs with one custom step."""

    return lambda name="counter": custom_job(funded, store, name=name)


def custom_job(project: Any, store: Any, *, name: str = "counter", targets: Sequence[str] = (TARGET,)) -> Job:
    action = {"chain_id": 31337, "custom": True, "targets": list(targets)}
    body = {"name": name, "trigger_kind": "manual", "script_source": "print({})", "action": action}
    job = job_create(project_id=project.id, definition=definition_from_json(body, Bounds()), store=store)
    Job.objects.filter(pk=job.pk).update(estimated_cost_units=COST_UNITS)
    return Job.objects.get(pk=job.pk)


def forge(node: Any, body: dict[str, Any], lie: dict[str, Any]) -> dict[str, Any]:
    """The receipt with another result, signed by its keeper all the same."""
    receipt, _ = receipt_from_json(body)
    return replace(receipt, result={**receipt.result, **lie}).to_json(
        domain=node.domain, key=node.identity.key
    )


def kept(job: Job) -> dict[str, Any]:
    return dict(StoredValue.objects.filter(job=job).values_list("key", "value"))


def told(job: Job, kind: str) -> list[dict[str, Any]]:
    rows = Event.objects.filter(
        aggregate_type="job", aggregate_id=job.id.hex, event_type=f"job.storage_{kind}"
    )
    return list(rows.order_by("sequence_number").values_list("payload", flat=True))


def finish(network: Network, *runs: Run) -> None:
    turn_until(network, lambda: all(map(is_over, runs)))


def test_a_job_counts_its_runs_in_what_it_keeps(scripted: Any, make_custom: MakeJob):
    network, job = scripted(count), make_custom()
    runs = []
    for _ in range(3):
        runs.append(open_run(job))
        finish(network, runs[-1])

    assert {run.status for run in runs} == {RunStatus.CONFIRMED}
    assert kept(job) == {"runs": 3}
    actions = [task_of(run).result["action"] for run in runs]
    assert [action and action["target"] for action in actions] == [None, TARGET, None]
    updates = told(job, "updated")
    assert [one["keys"] for one in updates] == [["runs"]] * 3
    assert [one["run"] for one in updates] == [str(run) for run in runs]
    versions = [one["version"] for one in updates]
    assert versions == sorted(set(versions))
    assert StoredValue.objects.get().version == versions[-1]
    assert "storage_updates" not in task_of(runs[-1]).result
    assert task_of(runs[-1]).spec["storage"]["values"] == {"runs": {"value": 2, "version": versions[1]}}
    assert chain_verify() == []
    assert_spine_replays()


def test_a_version_is_the_number_of_the_jobs_event_that_wrote_it(scripted: Any, make_custom: MakeJob):
    network, job = scripted(count), make_custom()
    finish(network, open_run(job))
    event = Event.objects.get(event_type="job.storage_updated")
    assert StoredValue.objects.get().version == event.aggregate_sequence == event.payload["version"]
    assert event.run_id == Run.objects.get().id


def test_of_two_runs_that_overlap_the_second_keeps_nothing_and_is_confirmed(
    scripted: Any, make_custom: MakeJob
):
    network, job = scripted(count), make_custom()
    first, second = open_run(job), open_run(job)
    finish(network, first, second)

    assert (first.status, second.status) == (RunStatus.CONFIRMED, RunStatus.CONFIRMED)
    assert kept(job) == {"runs": 1}
    (updated,), (conflict,) = told(job, "updated"), told(job, "conflict")
    assert {updated["run"], conflict["run"]} == {str(first), str(second)}
    assert (conflict["reason"], conflict["keys"], conflict["versions"]) == ("version_moved", ["runs"], [0])
    assert chain_verify() == []


def test_overlapping_runs_with_keys_of_their_own_both_keep_theirs(scripted: Any, make_custom: MakeJob):
    network = scripted(
        lambda given: {"should_execute": False, "storage_updates": {given["task"][-8:]: given["task"]}}
    )
    job = make_custom()
    first, second = open_run(job), open_run(job)
    finish(network, first, second)

    assert sorted(kept(job).values()) == sorted([str(task_of(first)), str(task_of(second))])
    assert told(job, "conflict") == []


def test_what_is_set_by_hand_meanwhile_wins(scripted: Any, make_custom: MakeJob):
    network, job = scripted(count), make_custom()
    run = open_run(job)
    storage_put(job_id=job.id, key="runs", value=40)
    finish(network, run)
    assert (run.status, kept(job)) == (RunStatus.CONFIRMED, {"runs": 40})
    finish(network, open_run(job))
    assert kept(job) == {"runs": 41}


@pytest.mark.usefixtures("one_attempt")
def test_a_task_that_is_rolled_back_keeps_nothing(scripted: Any, make_custom: MakeJob):
    network, job = scripted(count), make_custom()
    run = execute(network, job)
    reject(network, task_of(run))
    roll_back(network)

    run.refresh_from_db()
    assert (run.status, task_of(run).status) == (RunStatus.FAILED, TaskStatus.FAILED)
    assert (kept(job), told(job, "updated"), told(job, "conflict")) == ({}, [], [])


def test_a_second_attempt_reads_what_the_first_one_read(scripted: Any, make_custom: MakeJob):
    network, job = scripted(count), make_custom()
    finish(network, open_run(job))
    run = execute(network, job)
    reject(network, task_of(run))
    finish(network, run)

    assert (run.status, task_of(run).failures) == (RunStatus.CONFIRMED, 1)
    assert kept(job) == {"runs": 2}


@pytest.mark.parametrize(
    "lie",
    [
        {"storage_updates": {"runs": 1_000}},
        {"storage_updates": {"runs": 1, "more": 1}},
        {"action": {"target": TARGET, "call_data": "0x12065fe0", "gas_limit": 200_000}},
    ],
)
@pytest.mark.usefixtures("one_attempt")
def test_the_committee_refuses_a_performer_that_lies_about_storage_or_call(
    scripted: Any, make_custom: MakeJob, lie: dict[str, Any]
):
    network, job = scripted(count), make_custom()
    run = start(network, job)
    network.deliver()
    (receipt,) = network.answers(RECEIPTS)
    forged = forge(network.nodes[receipt["keeper"]], receipt, lie)
    assert network.record(RECEIPTS, [forged]) == []
    assert task_of(run).status == TaskStatus.EXECUTED

    attest(network)
    roll_back(network)

    run.refresh_from_db()
    assert (run.status, task_of(run).error_code) == (RunStatus.FAILED, "attestation_invalid")
    assert kept(job) == {}


def test_a_script_that_asks_for_too_much_fails_its_task(
    scripted: Any, make_custom: MakeJob, one_attempt: None
):
    network = scripted(
        lambda given: {"should_execute": False, "storage_updates": {f"k{n}": n for n in range(1_000)}}
    )
    job = make_custom()
    run = open_run(job)
    finish(network, run)
    assert (run.status, task_of(run).error_code) == (RunStatus.FAILED, "storage_too_large")
    assert kept(job) == {}


def test_nothing_is_kept_for_a_job_that_was_deleted_meanwhile(scripted: Any, make_custom: MakeJob):
    network, job = scripted(count), make_custom()
    finish(network, open_run(job))
    run = open_run(job)
    job_delete(job_id=job.id)
    finish(network, run)
    assert run.status == RunStatus.CONFIRMED
    assert kept(job) == {"runs": 1}
    assert len(told(job, "updated")) == 1


def test_the_call_of_a_custom_script_is_carried_out_on_the_chain(
    chain: Any, chain_network: Network, funded: Any, store: Any
):
    board = chain.deployment.price_board
    call = to_hex(get_abi("PriceBoard").encode("report", b"\x42" * 32, 815))

    def decide(given: dict[str, Any]) -> dict[str, Any]:
        said = given["storage"].get("said", False)
        output = {"should_execute": not said, "storage_updates": {"said": True}}
        return output if said else {**output, "target": board, "calldata": call}

    for address, node in chain_network.nodes.items():
        chain_network.nodes[address] = replace(node, executor=Scripted(decide))
    job = custom_job(funded, store, targets=[board])
    before = reported(chain)
    for _ in range(2):
        run = open_run(job)
        finish(chain_network, run)
        assert run.status == RunStatus.CONFIRMED

    assert reported(chain) == [*before, 815]
    assert kept(job) == {"said": True}


def test_many_tasks_are_kept_in_a_few_statements(scripted: Any, make_custom: MakeJob):
    network = scripted(count)
    counted = []
    for size in (2, 12):
        jobs = [make_custom(f"{size}-{n}") for n in range(size)]
        runs = [open_run(job) for job in jobs]
        network.turn(TO_ATTESTED)
        network.stage(batches_submit, limit=1_000)
        network.stage(batches_broadcast)
        with CaptureQueriesContext(connection) as captured:
            network.stage(batches_confirm, limit=1_000)
        counted.append([query["sql"] for query in captured if "storage_storedvalue" in query["sql"]])
        assert {kept(job)["runs"] for job in jobs} == {1}
        assert not Task.objects.filter(run__in=runs).exclude(status=TaskStatus.CONFIRMED).exists()
    assert [len(each) for each in counted] == [2, 2]

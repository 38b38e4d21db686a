"""A run from its trigger to its attestation, and every message about it lost, repeated, late or forged."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.attestation.data import RoundStatus
from apps.attestation.models import Round, Vote
from apps.attestation.services import rounds_decide, rounds_open
from apps.eventlog.models import Event
from apps.eventlog.selectors import chain_verify, get_database_now
from apps.execution.admission import tasks_admit
from apps.execution.data import AssignmentStatus, Receipt, assignment_from_json
from apps.execution.models import Assignment
from apps.execution.services import leases_sweep, tasks_assign
from apps.jobs.data import format_instant
from apps.jobs.models import Job
from apps.keepers.models import Keeper
from apps.ledger.domain.postings import project_escrow, project_prepaid
from apps.ledger.selectors import get_balances
from apps.rollback.services import rollbacks_apply, run_cancel
from apps.settlement.services import batches_broadcast, batches_confirm, batches_submit
from apps.speculation.models import Commitment
from apps.speculation.services import commitments_purge
from apps.tasks.data import RunStatus, TaskStatus
from apps.tasks.models import Run, Task
from apps.tasks.services import run_now, runs_fire, runs_schedule
from tests.integration.spine.conftest import COST_UNITS, DEPOSIT_UNITS
from tests.integration.spine.driving import (
    MakeJob,
    attest,
    execute,
    give_stake,
    has_only,
    is_over,
    start,
    task_of,
    try_again,
    use_only,
)
from tests.support.failing import failed_receipt
from tests.support.network import Network
from workers.keeper.outbox import BALLOTS, RECEIPTS


def test_a_task_goes_from_its_trigger_to_its_attestation(network, make_job: MakeJob):
    run = execute(network, make_job())
    task = task_of(run)
    assert task.status == TaskStatus.EXECUTED
    assert task.epoch == 1
    assert task.output_cid
    assert task.package_cid
    lease = Assignment.objects.get(task=task)
    assert lease.status == AssignmentStatus.RETURNED
    assert set(lease.score_card["parts"]) == {"performance", "load", "reputation", "specialization"}
    assert "runner_up" in lease.score_card

    attest(network)
    task.refresh_from_db()
    round_row = Round.objects.get()
    assert task.status == TaskStatus.ATTESTED
    assert round_row.status == RoundStatus.UNANIMOUS
    assert task.performer not in round_row.committee
    assert Vote.objects.filter(task=task, is_positive=True).count() == 4
    assert set(task.timeline) == {"discovered", "scheduled", "executed", "attested"}
    assert chain_verify() == []


def test_every_row_and_event_of_a_run_carries_its_one_trace(network, make_job: MakeJob):
    run = execute(network, make_job())
    attest(network)
    traces = set(Event.objects.filter(run_id=run.id).values_list("trace_id", flat=True))
    assert traces == {run.trace_id}
    assert set(Round.objects.values_list("trace_id", flat=True)) == {run.trace_id}


def test_a_child_waits_until_its_parent_is_confirmed(network, make_job: MakeJob):
    run = execute(network, make_job(("load", []), ("clean", ["load"])))
    child = task_of(run, "clean")
    assert child.status == TaskStatus.WAITING
    assert child.depth == 1
    network.stage(tasks_admit)
    child.refresh_from_db()
    assert child.status == TaskStatus.WAITING
    parent = task_of(run, "load")
    network.is_tampered = True
    Task.objects.filter(pk=parent.pk).update(status=TaskStatus.CONFIRMED, wake_at=None)
    Task.objects.filter(pk=child.pk).update(wake_at=get_database_now())
    network.stage(tasks_admit)
    child.refresh_from_db()
    assert child.status == TaskStatus.SCHEDULED
    assert child.spec["parents"] == {"load": parent.output_cid}


def test_a_lost_offer_is_made_again_and_answered_once(network, make_job: MakeJob):
    run = start(network, make_job())
    network.deliver(keep=lambda message: False)
    later = get_database_now() + timedelta(seconds=6)
    network.now = lambda: later
    network.stage(leases_sweep)
    assert len(network.messages) == 1
    network.deliver()
    network.record(RECEIPTS)
    assert task_of(run).status == TaskStatus.EXECUTED
    assert task_of(run).epoch == 1


def test_a_repeated_offer_gets_the_same_receipt_and_a_repeated_receipt_changes_nothing(network, make_job):
    run = start(network, make_job())
    (message,) = network.messages
    network.work(message)
    network.work(message)
    first, second = network.answers(RECEIPTS)
    assert first == second
    network.record(RECEIPTS, [first])
    events = Event.objects.count()
    assert network.record(RECEIPTS, [second, first]) == []
    assert Event.objects.count() == events
    assert task_of(run).status == TaskStatus.EXECUTED


def test_an_offer_nobody_acknowledges_goes_to_another_keeper_and_the_late_receipt_changes_nothing(
    network, make_job: MakeJob
):
    run = start(network, make_job())
    (message,) = network.messages
    first = message.keeper
    network.messages = []
    later = get_database_now() + timedelta(seconds=31)
    network.now = lambda: later
    outcome = network.stage(leases_sweep)
    assert "rollback" in outcome.pokes
    outcome = network.stage(rollbacks_apply)
    assert "admit" in outcome.pokes
    task = task_of(run)
    assert (task.status, task.epoch, task.failures, task.performer) == (TaskStatus.WAITING, 1, 0, "")
    at = task.wake_at
    assert later <= at <= later + timedelta(seconds=1)
    network.now = lambda: at
    outcome = network.stage(tasks_admit)
    assert "assign" in outcome.pokes
    network.stage(tasks_assign)
    task = task_of(run)
    assert (task.epoch, task.failures) == (2, 0)
    assert task.performer != first

    network.work(message)
    (late,) = network.answers(RECEIPTS)
    (refusal,) = network.record(RECEIPTS, [late])
    assert refusal.error.code == "epoch_stale"
    assert task_of(run).status == TaskStatus.SCHEDULED
    network.deliver()
    assert network.record(RECEIPTS) == []
    assert task_of(run).status == TaskStatus.EXECUTED


def test_a_forged_receipt_changes_nothing(network, make_job: MakeJob):
    run = start(network, make_job())
    network.deliver()
    (receipt,) = network.answers(RECEIPTS)
    stranger = next(address for address in network.nodes if address != receipt["keeper"])
    forgeries = [
        {**receipt, "signature": "0x" + "00" * 64 + "1b"},
        {**receipt, "signature": "0x"},
        {**receipt, "keeper": stranger},
        {**receipt, "epoch": 2},
        {**receipt, "lease": UUID(int=5).hex},
        {**receipt, "result": {**receipt["result"], "output_hash": "0x" + "00" * 32}},
        {"task": "task_nonsense"},
        {},
    ]
    before = task_of(run).event_head
    codes = [refusal.error.code for refusal in network.record(RECEIPTS, forgeries)]
    assert len(codes) == len(forgeries)
    assert set(codes) <= {"signature_invalid", "message_malformed", "invalid"}
    assert task_of(run).event_head == before
    assert task_of(run).status == TaskStatus.SCHEDULED


def test_a_receipt_of_another_keepers_lease_is_refused_even_when_well_signed(network, make_job: MakeJob):
    start(network, make_job())
    (message,) = network.messages
    body = dict(message.body["assignment"])
    stranger = next(node for address, node in network.nodes.items() if address != message.keeper)

    assignment, _ = assignment_from_json(body)
    receipt = Receipt(
        task_id=assignment.task_id,
        epoch=1,
        lease=assignment.lease,
        keeper=stranger.address,
        result={"status": "failed", "error_code": "x"},
    ).to_json(domain=stranger.domain, key=stranger.identity.key)
    (refusal,) = network.record(RECEIPTS, [receipt])
    assert refusal.error.code == "lease_foreign"


def test_a_failing_attempt_goes_to_another_keeper_and_after_three_the_task_and_run_fail(
    network, make_job: MakeJob
):
    job = make_job(("main", []), ("after", ["main"]), ("beside", []))
    run = start(network, job)
    performers: list[str] = []
    for _ in range(3):
        for message in network.messages:
            assignment = message.body["assignment"]
            if assignment["spec"]["step"] != "main":
                continue
            node = network.nodes[message.keeper]
            performers.append(message.keeper)
            network.record(RECEIPTS, [failed_receipt(node, assignment)])
        assert (task_of(run).status, task_of(run).is_failing) == (TaskStatus.SCHEDULED, True)
        network.messages = []
        try_again(network)
    assert len(performers) == len(set(performers)) == 3
    task = task_of(run)
    assert (task.status, task.error_code, task.failures) == (TaskStatus.FAILED, "script_failed", 3)
    assert task_of(run, "after").status == TaskStatus.CANCELLED
    assert task_of(run, "after").error_code == "ancestor_failed"
    assert task_of(run, "beside").status == TaskStatus.SCHEDULED
    run.refresh_from_db()
    assert run.status == RunStatus.OPEN


def test_a_failed_run_gets_its_escrow_back(network, make_job: MakeJob, funded):
    run = start(network, make_job())
    held = get_balances([project_prepaid(funded.id), project_escrow(funded.id)])
    assert held[project_escrow(funded.id)] == COST_UNITS
    for _ in range(3):
        assert len(network.messages) == 1
        for message in network.messages:
            node = network.nodes[message.keeper]
            network.record(RECEIPTS, [failed_receipt(node, message.body["assignment"])])
        network.messages = []
        try_again(network)
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED
    left = get_balances([project_prepaid(funded.id), project_escrow(funded.id)])
    assert left == {project_prepaid(funded.id): DEPOSIT_UNITS, project_escrow(funded.id): 0}


def test_a_run_can_be_cancelled_and_cancelling_again_is_a_no_op(network, make_job: MakeJob, funded):
    run = execute(network, make_job(("main", []), ("after", ["main"])))
    cancelled = run_cancel(run_id=run.id, project_ids=[funded.id], actor="someone")
    assert cancelled.status == RunStatus.CANCELLED
    assert dict(Task.objects.filter(run=run).values_list("step_key", "status")) == {
        "main": TaskStatus.ROLLED_BACK,
        "after": TaskStatus.CANCELLED,
    }
    assert set(Task.objects.filter(run=run).values_list("error_code", flat=True)) == {"cancelled"}
    events = Event.objects.count()
    assert run_cancel(run_id=run.id, project_ids=[funded.id]).status == RunStatus.CANCELLED
    assert Event.objects.count() == events
    assert get_balances([project_prepaid(funded.id)])[project_prepaid(funded.id)] == DEPOSIT_UNITS
    assert chain_verify() == []


def test_a_receipt_of_a_cancelled_task_changes_nothing_and_its_lease_is_revoked(network, make_job: MakeJob):
    run = start(network, make_job())
    run_cancel(run_id=run.id, project_ids=None)
    later = get_database_now() + timedelta(seconds=6)
    network.now = lambda: later
    network.deliver()
    network.stage(leases_sweep)
    assert Assignment.objects.get().status == AssignmentStatus.REVOKED
    (refusal,) = network.record(RECEIPTS)
    assert refusal.error.code == "lease_closed"
    assert task_of(run).status == TaskStatus.CANCELLED


def test_a_tick_opens_one_run_however_often_the_stage_runs(network, make_job: MakeJob):
    job = make_job(trigger_kind="time", schedule={"kind": "interval", "seconds": 60})
    tick = job.next_fire_at
    network.stage(runs_fire)
    assert not Run.objects.exists()
    network.now = lambda: tick + timedelta(seconds=1)
    for stage in (runs_schedule, runs_fire) * 3:
        network.stage(stage)
    run = Run.objects.get()
    assert run.due_at == tick
    job.refresh_from_db()
    assert (job.next_fire_at, job.fire_count) == (tick + timedelta(seconds=60), 1)
    assert run.trigger["evidence"] == {"kind": "time", "due_at": format_instant(tick)}


def test_a_project_that_cannot_pay_loses_its_tick_and_its_job_says_so(network, make_job: MakeJob):
    job = make_job(trigger_kind="time", schedule={"kind": "interval", "seconds": 60})
    Job.objects.filter(pk=job.pk).update(estimated_cost_units=DEPOSIT_UNITS + 1)
    tick = job.next_fire_at
    network.now = lambda: tick
    network.stage(runs_schedule)
    network.stage(runs_fire)
    assert not Run.objects.exists()
    refused = Event.objects.get(event_type="job.fire_refused")
    assert refused.payload["reason"] == "insufficient_funds"
    job.refresh_from_db()
    assert job.next_fire_at > tick


def test_a_stage_of_many_rows_takes_as_many_statements_as_a_stage_of_few(
    network, make_job: MakeJob, django_assert_max_num_queries
):
    job = make_job(*((f"s{n}", []) for n in range(40)))
    run_now(job_id=job.id, project_ids=None)
    with django_assert_max_num_queries(10):
        network.stage(tasks_admit)
    with django_assert_max_num_queries(20):
        network.stage(tasks_assign)
    network.deliver()
    with django_assert_max_num_queries(20):
        network.record(RECEIPTS)
    with django_assert_max_num_queries(25):
        network.stage(rounds_open)


def counted(work: Callable[[], Any]) -> int:
    """How many statements some work takes."""
    with CaptureQueriesContext(connection) as queries:
        work()
    return len(queries)


@pytest.fixture
def one_busy_keeper(network: Network) -> None:
    """All work is one keeper's, who has stake and room for all of it: there is as much of everything else."""
    give_stake(network)
    use_only(network, 1)
    Keeper.objects.update(latency_ms_ewma=1)


def start_pairs(network: Network, make_job: MakeJob, count: int) -> tuple[Run, int]:
    """A run of so many pairs, the second of each running ahead on the first; what its admission takes."""
    pairs: Any = [(f"a{n}", []) for n in range(count)] + [(f"b{n}", [f"a{n}"]) for n in range(count)]
    run = run_now(job_id=make_job(*pairs).id, project_ids=None)
    took = counted(lambda: network.stage(tasks_admit))
    assert Assignment.objects.filter(task__run=run).count() == Commitment.objects.filter(run=run).count()
    assert has_only(run, TaskStatus.SCHEDULED)
    return run, took


@pytest.mark.usefixtures("one_busy_keeper")
def test_steps_that_depend_on_each_other_take_as_many_statements_many_as_few(network, hub, make_job: MakeJob):
    """From their admission to their confirmation, parents first."""

    def live(count: int) -> dict[str, int]:
        run, admitted = start_pairs(network, make_job, count)
        network.deliver()
        took = {"admit": admitted, "record": counted(lambda: network.record(RECEIPTS))}
        took["open"] = counted(lambda: network.stage(rounds_open))
        network.deliver()
        took["ballots"] = counted(lambda: network.record(BALLOTS))
        took["tally"] = counted(lambda: network.stage(rounds_decide))
        for level in range(2):
            took[f"submit {level}"] = counted(lambda: network.stage(batches_submit))
            network.stage(batches_broadcast)
            hub.poll(network.now())
            took[f"confirm {level}"] = counted(lambda: network.stage(batches_confirm))
        assert is_over(run)
        assert has_only(run, TaskStatus.CONFIRMED)
        return took

    live(2)
    few = live(2)
    assert live(20) == few
    assert sum(few.values()) < 250


@pytest.mark.usefixtures("one_busy_keeper")
def test_many_failures_of_a_run_are_applied_and_tried_again_in_as_many_statements_as_few(
    network, make_job: MakeJob
):
    """Each takes along the step that runs ahead on it, and its bond is slashed."""

    def fail(count: int) -> dict[str, int]:
        run, _ = start_pairs(network, make_job, count)
        offers, network.messages = network.messages, []
        answers = [
            failed_receipt(network.nodes[one.keeper], one.body["assignment"], error_code="cid_invalid")
            for one in offers
        ]
        took = {"signal": counted(lambda: network.record(RECEIPTS, answers))}
        took["apply"] = counted(lambda: network.stage(rollbacks_apply))
        assert has_only(run, TaskStatus.WAITING)
        assert Commitment.objects.filter(run=run, status="failed").count() == count
        commitments_purge(now=network.now(), keep_seconds=0)
        took["admit"] = counted(lambda: network.stage(tasks_admit))
        assert Task.objects.filter(run=run, status=TaskStatus.SCHEDULED, epoch=3).count() >= count
        run_cancel(run_id=run.id, project_ids=None)
        network.messages.clear()
        return took

    fail(2)
    few = fail(2)
    assert fail(20) == few
    assert sum(few.values()) < 150

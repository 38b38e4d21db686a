"""A crash at any statement of any stage leaves nothing behind, and doing it again completes it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from apps.attestation.services import rounds_decide, rounds_open, rounds_resend
from apps.eventlog.selectors import get_database_now
from apps.execution.services import leases_sweep, tasks_assign
from apps.jobs.models import Job
from apps.progress.invariants import find_violations
from apps.settlement.services import batches_broadcast, batches_confirm, batches_submit
from apps.tasks.data import TaskStatus
from apps.tasks.models import Run, Task
from apps.tasks.services import run_cancel, run_now, runs_fire, task_set_aside, tasks_admit
from tests.integration.spine.driving import MakeJob, attest, execute, start
from tests.support.crashing import crash_everywhere
from tests.support.failing import acknowledgement, failed_receipts, lie
from tests.support.hub import FakeHub
from tests.support.network import Network
from workers.keeper.outbox import ACKNOWLEDGEMENTS, BALLOTS, RECEIPTS

pytestmark = pytest.mark.django_db(transaction=True)

STEPS: Any = (("a", []), ("b", []), ("c", ["a"]), ("d", ["c", "b"]))


@pytest.fixture
def hub(network: Network, monkeypatch) -> FakeHub:
    """A hub in memory for the settlements of `network`."""
    return FakeHub().install(monkeypatch)


@pytest.fixture
def job(make_job: MakeJob) -> Job:
    """Four steps, two of which can start."""
    return make_job(*STEPS)


def ahead(network: Network, seconds: float) -> None:
    """Move the network's clock."""
    later = get_database_now() + timedelta(seconds=seconds)
    network.now = lambda: later


def crash_stage(network: Network, service: Callable[..., Any]) -> Any:
    """A stage with a crash at each of its statements, and then done."""
    statements, outcome = crash_everywhere(lambda: network.stage(service))
    assert statements > 1
    assert find_violations() == []
    return outcome


def crash_record(network: Network, kind: str, items: list[dict[str, Any]]) -> list[Any]:
    """The same for answers that come in."""
    _, refusals = crash_everywhere(lambda: network.record(kind, items))
    assert find_violations() == []
    return refusals


def submitted(network: Network, job: Job) -> Run:
    """A run whose first tasks are signed into batches."""
    run = execute(network, job)
    attest(network)
    network.stage(batches_submit)
    return run


def test_firing_a_tick_is_all_or_nothing(network, make_job: MakeJob):
    job = make_job(*STEPS, trigger_kind="time", schedule={"kind": "interval", "seconds": 60})
    network.now = lambda: job.next_fire_at
    assert crash_stage(network, runs_fire).taken == 1
    assert Task.objects.count() == 4


def test_running_a_job_by_hand_is_all_or_nothing(network, job):
    _, run = crash_everywhere(lambda: run_now(job_id=job.id, project_ids=None))
    assert run.tasks.count() == 4


def test_admitting_tasks_is_all_or_nothing(network, job):
    run_now(job_id=job.id, project_ids=None)
    assert crash_stage(network, tasks_admit).taken == 4


def test_assigning_tasks_is_all_or_nothing(network, job):
    run_now(job_id=job.id, project_ids=None)
    network.stage(tasks_admit)
    assert len(crash_stage(network, tasks_assign).messages) == 2


def test_recording_acknowledgements_is_all_or_nothing(network, job):
    start(network, job)
    items = [
        acknowledgement(network.nodes[offer.keeper], offer.body["assignment"]) for offer in network.messages
    ]
    assert crash_record(network, ACKNOWLEDGEMENTS, items) == []
    assert Task.objects.filter(status=TaskStatus.EXECUTING).count() == 2


def test_recording_receipts_is_all_or_nothing(network, job):
    start(network, job)
    network.deliver()
    assert crash_record(network, RECEIPTS, network.answers(RECEIPTS)) == []


def test_recording_failures_that_leave_another_attempt_is_all_or_nothing(network, job):
    start(network, job)
    assert crash_record(network, RECEIPTS, failed_receipts(network)) == []


def test_recording_failures_that_end_the_run_is_all_or_nothing(network, job, one_attempt):
    run = start(network, job)
    crash_record(network, RECEIPTS, failed_receipts(network))
    run.refresh_from_db()
    assert run.status == "failed"


@pytest.mark.parametrize("seconds", [6, 31])
def test_sweeping_leases_is_all_or_nothing(network, job, seconds):
    start(network, job)
    ahead(network, seconds)
    assert crash_stage(network, leases_sweep).taken == 2


def test_revoking_leases_is_all_or_nothing(network, job):
    run = start(network, job)
    run_cancel(run_id=run.id, project_ids=None)
    ahead(network, 6)
    assert crash_stage(network, leases_sweep).taken == 2


def test_opening_rounds_is_all_or_nothing(network, job):
    execute(network, job)
    assert crash_stage(network, rounds_open).taken == 2


def test_calling_attesters_again_is_all_or_nothing(network, job):
    execute(network, job)
    network.stage(rounds_open)
    ahead(network, 6)
    assert crash_stage(network, rounds_resend).taken == 2


def test_recording_ballots_is_all_or_nothing(network, job):
    execute(network, job)
    network.stage(rounds_open)
    network.deliver()
    assert crash_record(network, BALLOTS, network.answers(BALLOTS)) == []


def test_deciding_rounds_that_agree_is_all_or_nothing(network, job):
    execute(network, job)
    network.stage(rounds_open)
    network.deliver()
    network.record(BALLOTS)
    crash_stage(network, rounds_decide)
    assert Task.objects.filter(status=TaskStatus.ATTESTED).count() == 2


def test_deciding_against_a_performer_is_all_or_nothing(network, job, store, one_attempt):
    start(network, job)
    network.deliver()
    lies = [lie(item, network.nodes[item["keeper"]], store) for item in network.answers(RECEIPTS)]
    network.record(RECEIPTS, lies)
    network.stage(rounds_open)
    network.deliver()
    network.record(BALLOTS)
    crash_stage(network, rounds_decide)
    assert Task.objects.filter(status=TaskStatus.FAILED).count() == 2


def test_deciding_without_a_quorum_is_all_or_nothing(network, job):
    execute(network, job)
    for status in (TaskStatus.EXECUTED, TaskStatus.FAILED):
        network.stage(rounds_open)
        later = network.now() + timedelta(seconds=61)
        network.now = lambda later=later: later
        crash_stage(network, rounds_decide)
        assert Task.objects.filter(status=status).count() == 2


def test_submitting_batches_is_all_or_nothing(network, hub, job):
    execute(network, job)
    attest(network)
    assert crash_stage(network, batches_submit).taken == 2


def test_confirming_batches_is_all_or_nothing(network, hub, job):
    submitted(network, job)
    network.stage(batches_broadcast)
    hub.poll(network.now())
    assert crash_stage(network, batches_confirm).taken == 2
    assert Task.objects.filter(status=TaskStatus.CONFIRMED).count() == 2


def test_voiding_settlements_is_all_or_nothing(network, hub, job):
    submitted(network, job)
    hub.is_refusing = True
    network.stage(batches_broadcast)
    hub.poll(network.now())
    assert crash_stage(network, batches_confirm).taken == 2
    assert Task.objects.filter(status=TaskStatus.EXECUTED, resubmissions=1).count() == 2


def test_what_was_sent_before_a_crash_is_confirmed_once(network, hub, job):
    """Sending commits nothing of ours until it is over; the chain keeps what it was sent."""
    submitted(network, job)
    crash_stage(network, batches_broadcast)
    network.stage(batches_confirm)
    assert sorted(hub.history) == sorted(task.id.int for task in Task.objects.filter(status="confirmed"))
    assert len(hub.history) == 2


def test_cancelling_a_run_is_all_or_nothing(network, job):
    run = execute(network, job)
    crash_everywhere(lambda: run_cancel(run_id=run.id, project_ids=None))
    assert set(Task.objects.values_list("status", flat=True)) == {TaskStatus.CANCELLED}


def test_setting_a_task_aside_is_all_or_nothing(network, job):
    run = start(network, job)
    task = run.tasks.first()
    crash_everywhere(
        lambda: task_set_aside(task_id=task.id, stage="assign", reason="boom", now=network.now())
    )
    task.refresh_from_db()
    assert task.stage_errors == 1

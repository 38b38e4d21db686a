"""A crash at any statement of any stage leaves nothing behind, and doing it again completes it."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from apps.attestation.services import rounds_decide, rounds_open, rounds_resend
from apps.execution.admission import tasks_admit
from apps.execution.models import Assignment
from apps.execution.services import leases_sweep, tasks_assign
from apps.jobs.firings import firings_mark_due
from apps.jobs.models import Job
from apps.progress.invariants import find_violations
from apps.rollback.services import rollbacks_apply, rollbacks_clean, run_cancel
from apps.settlement.services import batches_broadcast, batches_confirm, batches_submit
from apps.speculation.models import Commitment
from apps.tasks.data import TaskStatus
from apps.tasks.models import Failure, Run, Task
from apps.tasks.services import run_now, runs_fire, runs_schedule, task_set_aside
from tests.integration.spine.driving import (
    MakeJob,
    ahead,
    attest,
    execute,
    give_stake,
    reject,
    start,
    task_of,
)
from tests.support.crashing import crash_everywhere
from tests.support.failing import acknowledgement, failed_receipts, lie
from tests.support.network import Network
from workers.keeper.outbox import ACKNOWLEDGEMENTS, BALLOTS, RECEIPTS

pytestmark = pytest.mark.django_db(transaction=True)

STEPS: Any = (("a", []), ("b", []), ("c", ["a"]), ("d", ["c", "b"]))


@pytest.fixture
def job(make_job: MakeJob) -> Job:
    """Four steps, two of which can start."""
    return make_job(*STEPS)


def crash_stage(network: Network, service: Callable[..., Any]) -> Any:
    """A stage with a crash at each of its statements, and then done."""
    statements, outcome = crash_everywhere(lambda: network.stage(service))
    assert statements > 1
    assert find_violations() == []
    return outcome


def crash_rollback(network: Network) -> Any:
    """The same for the failures that are signalled."""
    ids = list(Failure.objects.filter(wake_at__isnull=False).values_list("pk", flat=True))
    return crash_stage(network, partial(rollbacks_apply, ids=ids))


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
    assert crash_stage(network, runs_schedule).taken == 1
    crash_everywhere(lambda: firings_mark_due(now=job.next_fire_at))
    assert crash_stage(network, runs_fire).taken == 1
    assert Task.objects.count() == 4


def test_running_a_job_by_hand_is_all_or_nothing(network, job):
    _, run = crash_everywhere(lambda: run_now(job_id=job.id, project_ids=None))
    assert run.tasks.count() == 4


def test_admitting_tasks_is_all_or_nothing(network, job):
    """What stands on others is leased by admission itself."""
    run_now(job_id=job.id, project_ids=None)
    outcome = crash_stage(network, tasks_admit)
    assert (outcome.taken, len(outcome.messages)) == (4, 2)
    assert Assignment.objects.count() == 2


def test_admitting_tasks_that_run_ahead_is_all_or_nothing(network, job):
    """Leases, canvases, commitments and bonds of a whole frontier."""
    give_stake(network)
    run_now(job_id=job.id, project_ids=None)
    assert crash_stage(network, tasks_admit).taken == 4
    assert Assignment.objects.count() == Commitment.objects.count() == 4
    assert Commitment.objects.filter(depth__gt=0, bond_units__gt=0).count() == 2


def test_assigning_tasks_is_all_or_nothing(network, make_job: MakeJob):
    run_now(job_id=make_job(("a", []), ("b", [])).id, project_ids=None)
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


def test_recording_receipts_that_start_what_awaited_them_is_all_or_nothing(network, job):
    give_stake(network)
    start(network, job)
    network.deliver()
    assert crash_record(network, RECEIPTS, network.answers(RECEIPTS)) == []
    assert len(network.messages) == 1
    assert set(Commitment.objects.values_list("status", flat=True)) == {"fulfilled", "open"}


def test_recording_failures_is_all_or_nothing(network, job):
    start(network, job)
    assert crash_record(network, RECEIPTS, failed_receipts(network)) == []
    assert Failure.objects.count() == Task.objects.filter(is_failing=True).count() == 2


def test_applying_failures_that_leave_another_attempt_is_all_or_nothing(network, job):
    run = start(network, job)
    network.record(RECEIPTS, failed_receipts(network))
    assert crash_rollback(network).taken == 2
    run.refresh_from_db()
    assert (run.status, run.tasks.filter(status=TaskStatus.WAITING).count()) == ("open", 4)


def test_applying_failures_that_end_the_run_is_all_or_nothing(network, job, one_attempt):
    run = start(network, job)
    network.record(RECEIPTS, failed_receipts(network))
    assert crash_rollback(network).taken == 2
    run.refresh_from_db()
    assert run.status == "failed"


def test_rolling_back_what_ran_ahead_is_all_or_nothing(network, job, one_attempt):
    """Its root is slashed, every other bond goes back, results and leases end."""
    give_stake(network)
    run = start(network, job)
    network.deliver()
    network.record(RECEIPTS)
    network.messages.clear()
    reject(network, task_of(run, "a"))
    assert crash_rollback(network).taken == 1
    assert dict(run.tasks.values_list("step_key", "status")) == {
        "a": "failed",
        "b": "attested",
        "c": "rolled_back",
        "d": "cancelled",
    }
    assert set(Commitment.objects.values_list("task__step_key", "status")) == {
        ("a", "failed"),
        ("b", "fulfilled"),
        ("c", "rolled_back"),
        ("d", "rolled_back"),
    }
    assert not Assignment.objects.filter(status="offered").exists()


def test_what_a_crash_after_a_rollback_forgot_to_stop_is_stopped_later(network, job):
    """The cascade is committed by then, and nobody was told of it."""
    start(network, job)
    network.record(RECEIPTS, failed_receipts(network))
    ids = list(Failure.objects.values_list("pk", flat=True))
    told = {one.rollback for one in rollbacks_apply(now=network.now(), limit=10, ids=ids).revocations}
    assert len(told) == 2
    assert network.stage(rollbacks_apply).revocations == ()
    ahead(network, 11)
    assert crash_stage(network, rollbacks_clean).taken == 2
    assert {one.rollback for one in network.revocations} == told


@pytest.mark.parametrize("seconds", [6, 31])
def test_sweeping_leases_is_all_or_nothing(network, job, seconds):
    start(network, job)
    ahead(network, seconds)
    assert crash_stage(network, leases_sweep).taken == 2


def test_revoking_leases_is_all_or_nothing(network, job):
    """They end with their tasks: the sweep finds nothing to take back."""
    run = start(network, job)
    crash_everywhere(lambda: run_cancel(run_id=run.id, project_ids=None))
    assert list(Assignment.objects.values_list("status", flat=True)) == ["revoked"] * 2
    assert find_violations() == []
    ahead(network, 6)
    assert network.stage(leases_sweep).taken == 0


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
    assert Task.objects.filter(status=TaskStatus.EXECUTED, is_failing=True).count() == 2
    crash_rollback(network)
    assert Task.objects.filter(status=TaskStatus.FAILED).count() == 2


def test_deciding_without_a_quorum_is_all_or_nothing(network, job):
    execute(network, job)
    for is_failing in (False, True):
        network.stage(rounds_open)
        later = network.now() + timedelta(seconds=61)
        network.now = lambda later=later: later
        crash_stage(network, rounds_decide)
        assert Task.objects.filter(status=TaskStatus.EXECUTED, is_failing=is_failing).count() == 2
    crash_rollback(network)
    assert Task.objects.filter(status=TaskStatus.FAILED).count() == 2


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
    assert dict(run.tasks.values_list("step_key", "status")) == {
        "a": "rolled_back",
        "b": "rolled_back",
        "c": "cancelled",
        "d": "cancelled",
    }
    run.refresh_from_db()
    assert run.status == "cancelled"


def test_setting_a_task_aside_is_all_or_nothing(network, job):
    run = start(network, job)
    task = run.tasks.first()
    crash_everywhere(
        lambda: task_set_aside(task_id=task.id, stage="assign", reason="boom", now=network.now())
    )
    task.refresh_from_db()
    assert task.stage_errors == 1

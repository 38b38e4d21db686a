"""Transactions that overlap on PostgreSQL: every stage beside itself, and the pairs that meet on one task.

SQLite has one writer at a time and no such case.
"""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings

from apps.attestation.data import RoundStatus
from apps.attestation.models import Ballot, Round, RoundItem
from apps.attestation.services import rounds_decide, rounds_open, rounds_resend
from apps.eventlog.selectors import get_database_now
from apps.execution.admission import tasks_admit
from apps.execution.data import AssignmentStatus
from apps.execution.models import Assignment
from apps.execution.services import leases_sweep, tasks_assign
from apps.jobs.models import Job
from apps.keepers.models import Keeper
from apps.kernel.outcome import Message
from apps.progress.invariants import find_violations
from apps.rollback.services import rollbacks_apply, run_cancel
from apps.settlement.models import Batch, Settlement
from apps.settlement.services import batches_broadcast, batches_confirm, batches_submit
from apps.tasks.data import RunStatus, TaskStatus
from apps.tasks.models import Run, Task
from apps.tasks.services import run_now, runs_fire, runs_schedule
from tests.integration.spine.driving import (
    MakeJob,
    ahead,
    attest,
    execute,
    give_stake,
    refused,
    side_by_side,
    start,
    task_of,
    use_only,
)
from tests.support.failing import failed_receipts
from tests.support.network import Network
from tests.support.overlap import at_once
from workers.keeper.outbox import BALLOTS, RECEIPTS

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        "postgresql" not in django_settings.DATABASES["default"]["ENGINE"],
        reason="needs PostgreSQL: give DATABASE_URL",
    ),
]
WORKERS = 4
ROUNDS = 12
#: what an answer to something that is over, or that comes before its parents', may be refused with
LATE = {
    "ballot_repeated",
    "epoch_stale",
    "lease_closed",
    "parent_not_recorded",
    "round_unknown",
}


@pytest.mark.parametrize("limit", [3, 100])
def test_a_stage_that_runs_beside_itself_takes_no_row_twice(network, hub, make_job: MakeJob, limit):
    """Every stage of the pipeline in four workers, over forty tasks of ten runs."""
    alone: Any = [(f"s{n}", []) for n in range(3)]
    jobs = [make_job(*alone, ("last", ["s0", "s1"])), make_job(*alone, ("last", []))]
    runs = [run_now(job_id=jobs[n % 2].id, project_ids=None) for n in range(10)]
    turns = 0
    while Run.objects.filter(status=RunStatus.OPEN).exists():
        turns += 1
        assert turns < 60
        for service in (tasks_admit, tasks_assign, rounds_open, rounds_decide):
            outcomes = side_by_side(network, *[service] * WORKERS, limit=limit, seed=turns)
            sent = [(m.task, m.keeper, repr(m.body)) for outcome in outcomes for m in outcome.messages]
            assert len(set(sent)) == len(sent)
            network.deliver()
            for kind in (RECEIPTS, BALLOTS):
                items = network.answers(kind)
                parts = [items[n::WORKERS] for n in range(WORKERS)]
                refusals = at_once(
                    *(lambda part=part, kind=kind: network.record(kind, part) for part in parts)
                )
                assert refusals == [[]] * WORKERS or {r.error.code for some in refusals for r in some} == {
                    "round_unknown"
                }
        for service in (batches_submit, batches_broadcast, batches_confirm):
            side_by_side(network, *[service] * WORKERS, limit=limit, seed=turns)
    assert {run.status for run in Run.objects.filter(pk__in=[run.pk for run in runs])} == {
        RunStatus.CONFIRMED
    }
    assert Assignment.objects.count() == Settlement.objects.count() == 40
    assert Counter(hub.history).most_common(1)[0][1] == 1
    assert hub.objections == []


def test_workers_that_run_any_stage_at_any_time_bring_every_run_to_its_end(network, hub, make_job: MakeJob):
    """Four workers, each every stage over and over in an order of its own; keepers answer in between.

    Steps run ahead, and the first attempts at one of each run fail under them.
    """
    give_stake(network)
    job = make_job(("a", []), ("b", ["a"]), ("c", ["a"]), ("d", ["b", "c"]))
    for _ in range(4):
        run_now(job_id=job.id, project_ids=None)
    services = [
        tasks_admit,
        tasks_assign,
        leases_sweep,
        rounds_open,
        rounds_decide,
        rounds_resend,
        rollbacks_apply,
        batches_submit,
        batches_broadcast,
        batches_confirm,
    ]
    for turn in range(40):
        orders = [services[n:] + services[:n] for n in (0, 3, 5, 7)]

        def work(order: list[Any]) -> None:
            for service in order:
                network.stage(service)

        at_once(*(lambda order=order: work(order) for order in orders), seed=turn, most_milliseconds=0.5)
        failing = failed_receipts(network, is_first_attempt) if turn < 2 else []
        network.deliver()
        receipts, ballots = [*network.answers(RECEIPTS), *failing], network.answers(BALLOTS)
        at_once(
            lambda items=receipts: network.record(RECEIPTS, items),
            lambda items=ballots[::2]: network.record(BALLOTS, items),
            lambda items=ballots[1::2]: network.record(BALLOTS, items),
            lambda: network.stage(rounds_decide),
            seed=turn,
        )
        if not Run.objects.filter(status=RunStatus.OPEN).exists():
            break
    assert set(Run.objects.values_list("status", flat=True)) == {RunStatus.CONFIRMED}
    assert hub.objections == []
    assert {r.error.code for r in network.refusals} <= LATE
    assert set(Task.objects.filter(step_key="a").values_list("failures", flat=True)) == {1}


def is_first_attempt(message: Message) -> bool:
    """Whether it offers step `a` for the first time."""
    assignment = message.body["assignment"]
    return assignment["spec"]["step"] == "a" and assignment["epoch"] == 1


def test_the_last_two_tasks_of_a_run_end_in_two_transactions_and_the_run_ends(
    network, make_job: MakeJob, one_attempt
):
    job = make_job(("a", []), ("b", []), ("after", ["a", "b"]))
    for seed in range(ROUNDS):
        run = start(network, job)
        first, second = failed_receipts(network)

        def end(item: Any) -> None:
            network.record(RECEIPTS, [item])
            network.stage(rollbacks_apply)

        at_once(lambda item=first: end(item), lambda item=second: end(item), seed=seed)
        run.refresh_from_db()
        assert run.status == RunStatus.FAILED
        assert {task_of(run, step).status for step in ("a", "b")} == {TaskStatus.FAILED}
        assert task_of(run, "after").status == TaskStatus.CANCELLED
    assert find_violations() == []


@pytest.mark.parametrize("escrow_units", [10_000_000, 500_000])
def test_the_last_two_tasks_of_a_run_are_confirmed_in_two_transactions_and_the_run_ends(
    network, hub, make_job: MakeJob, escrow_units
):
    """Also where the fees together are more than the run holds."""
    job = make_job(("a", []), ("b", []))
    Job.objects.filter(pk=job.pk).update(estimated_cost_units=escrow_units)
    for seed in range(ROUNDS):
        run = execute(network, job)
        attest(network)
        for service in (batches_submit, batches_broadcast):
            network.stage(service)
        hub.poll(network.now())
        first, second = Batch.objects.filter(status="submitted").values_list("pk", flat=True)
        at_once(
            lambda pk=first: network.stage(batches_confirm, ids=[pk]),
            lambda pk=second: network.stage(batches_confirm, ids=[pk]),
            seed=seed,
        )
        run.refresh_from_db()
        assert run.status == RunStatus.CONFIRMED
    assert find_violations() == []


def test_a_child_does_not_sleep_through_its_parents_confirmation(network, hub, make_job: MakeJob):
    """Whoever looks at the child at this very moment may not see its parent confirmed yet."""
    job = make_job(("a", []), ("b", ["a"]))
    for seed in range(ROUNDS):
        run = run_now(job_id=job.id, project_ids=None)
        child = task_of(run, "b")
        for service in (tasks_admit, tasks_assign):
            network.stage(service, ids=[task_of(run, "a").pk])
        network.deliver()
        network.record(RECEIPTS)
        attest(network)
        for service in (batches_submit, batches_broadcast):
            network.stage(service)
        hub.poll(network.now())
        if seed % 2:
            network.stage(tasks_admit)
            Task.objects.filter(pk=child.pk).update(wake_at=network.now())
        side_by_side(network, batches_confirm, tasks_admit, seed=seed)
        child.refresh_from_db()
        assert child.status == TaskStatus.SCHEDULED or child.wake_at <= network.now()


def test_a_receipt_that_comes_while_the_sweep_takes_its_lease_back_counts_or_does_not(
    network, make_job: MakeJob
):
    job = make_job()
    seen: Counter[str] = Counter()
    for seed in range(2 * ROUNDS):
        run = start(network, job)
        network.deliver()
        items = network.answers(RECEIPTS)
        ahead(network, 40)
        refusals, _ = at_once(
            lambda items=items: network.record(RECEIPTS, items),
            lambda: network.stage(leases_sweep),
            seed=seed,
        )
        network.now = get_database_now
        task, lease = task_of(run), Assignment.objects.get(task__run=run)
        seen[task.status] += 1
        if task.status == TaskStatus.EXECUTED:
            assert (refusals, lease.status) == ([], AssignmentStatus.RETURNED)
        else:
            assert [refusal.error.code for refusal in refusals] == ["lease_closed"]
            assert (task.status, lease.status) == (TaskStatus.SCHEDULED, AssignmentStatus.EXPIRED)
        assert task.is_failing == (task.status == TaskStatus.SCHEDULED)
        run_cancel(run_id=run.id, project_ids=None)
        network.stage(leases_sweep)
        network.messages.clear()
    assert find_violations() == []


@pytest.mark.parametrize(
    "rival", ["receipts", "failing receipts", "roll back", "decide", "assign", "admit", "sweep", "open"]
)
def test_a_cancelled_run_ends_whatever_happens_to_its_tasks_at_that_moment(
    network, make_job: MakeJob, one_attempt, rival
):
    if rival in ("roll back", "decide"):
        give_stake(network)
    above: Any = ([], ["a"], ["c", "b"]) if rival != "assign" else ([], [], [])
    job = make_job(("a", []), *zip("bcd", above, strict=True))
    for seed in range(ROUNDS):
        run, work = prepare(network, job, rival)
        cancelled, _ = at_once(
            refused(lambda run=run: run_cancel(run_id=run.id, project_ids=None)), work, seed=seed
        )
        assert isinstance(cancelled, Run) or cancelled.code in {"run_ended", "run_settling"}
        run.refresh_from_db()
        statuses = set(Task.objects.filter(run=run).values_list("status", flat=True))
        if statuses & {TaskStatus.ATTESTED}:
            assert run.status == RunStatus.OPEN
        else:
            assert run.status in (RunStatus.CANCELLED, RunStatus.FAILED)
        assert find_violations() == []
        ahead(network, 100)
        for service in (leases_sweep, rounds_decide):
            network.stage(service)
        network.now = get_database_now
        network.messages.clear()
        assert not Assignment.objects.filter(task__run=run, status__in=["offered", "acknowledged"]).exists()
        assert not RoundItem.objects.filter(task__run=run, verdict="open").exists()
        network.stage(rollbacks_apply)
        assert not Task.objects.filter(run=run, is_failing=True).exists()


def prepare(network: Network, job: Job, rival: str) -> tuple[Run, Callable[[], Any]]:
    """A run at the point where the rival has something to do with it, and the rival's work."""
    if rival == "admit":
        return run_now(job_id=job.id, project_ids=None), lambda: network.stage(tasks_admit)
    if rival == "assign":
        run = run_now(job_id=job.id, project_ids=None)
        network.stage(tasks_admit)
        return run, lambda: network.stage(tasks_assign)
    run = start(network, job)
    if rival == "sweep":
        ahead(network, 40)
        return run, lambda: network.stage(leases_sweep)
    if rival in ("failing receipts", "roll back"):
        items = failed_receipts(network)
        if rival == "failing receipts":
            return run, lambda: network.record(RECEIPTS, items)
        network.record(RECEIPTS, items)
        return run, lambda: network.stage(rollbacks_apply)
    network.deliver()
    items = network.answers(RECEIPTS)
    if rival == "receipts":
        return run, lambda: network.record(RECEIPTS, items)
    network.record(RECEIPTS, items)
    if rival == "open":
        return run, lambda: network.stage(rounds_open)
    network.stage(rounds_open)
    network.deliver()
    network.record(BALLOTS)
    return run, lambda: network.stage(rounds_decide)


def test_no_ballot_is_overlooked_by_a_decision_that_is_under_way(network, make_job: MakeJob):
    use_only(network, 1)
    job = make_job()
    for seed in range(ROUNDS):
        run = execute(network, job)
        network.stage(rounds_open)
        network.deliver()
        ballots = network.answers(BALLOTS)
        at_once(
            lambda items=ballots[:2]: network.record(BALLOTS, items),
            lambda items=ballots[2:]: network.record(BALLOTS, items),
            lambda: network.stage(rounds_decide),
            seed=seed,
        )
        network.stage(rounds_decide)
        assert task_of(run).status == TaskStatus.ATTESTED
    assert set(Round.objects.values_list("status", flat=True)) == {RoundStatus.UNANIMOUS}
    assert {r.error.code for r in network.refusals} <= {"round_unknown"}
    assert Ballot.objects.count() >= 3 * ROUNDS


def test_firing_twice_at_once_opens_one_run_per_tick(network, make_job: MakeJob):
    jobs = [
        make_job(trigger_kind="time", schedule={"kind": "interval", "seconds": 60}, missed_policy="all")
        for _ in range(6)
    ]
    for seed in range(ROUNDS):
        network.now = lambda seed=seed: jobs[-1].next_fire_at + timedelta(seconds=60 * seed)
        side_by_side(network, *[runs_schedule] * WORKERS, limit=4, seed=seed)
        network.stage(runs_schedule)
        side_by_side(network, *[runs_fire] * WORKERS, limit=4, seed=seed)
        network.stage(runs_fire)
    fired = Counter(Run.objects.values_list("job_id", "due_at"))
    assert set(fired.values()) == {1}
    assert len(fired) == len(jobs) * ROUNDS
    assert {job.fire_count for job in Job.objects.all()} == {ROUNDS}


def test_keepers_that_are_assigned_and_paid_at_once_make_nobody_wait_in_a_ring(
    network, hub, make_job: MakeJob
):
    """The keepers' rows lie in the table in another order than the one they are locked in."""
    job = make_job(*((f"s{n}", []) for n in range(8)))
    for seed in range(ROUNDS):
        execute(network, job)
        attest(network)
        for service in (batches_submit, batches_broadcast):
            network.stage(service)
        for _ in range(2):
            run_now(job_id=job.id, project_ids=None)
        network.stage(tasks_admit)
        for address in sorted(network.nodes, reverse=True):
            Keeper.objects.filter(address=address).update(uptime_seconds=seed)
        at_once(
            lambda: network.stage(batches_confirm),
            lambda: network.stage(tasks_assign, limit=8),
            lambda: network.stage(tasks_assign, limit=8),
            seed=seed,
        )
        network.messages.clear()
    assert find_violations() == []

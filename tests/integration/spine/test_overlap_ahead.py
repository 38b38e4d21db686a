"""Failures of what others run ahead on, met on PostgreSQL by whoever else is at work on the same run.

SQLite has one writer at a time and no such case.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.conf import settings as django_settings

from apps.attestation.services import rounds_decide
from apps.execution.admission import tasks_admit
from apps.execution.models import OPEN_STATUSES, Assignment
from apps.jobs.models import Job
from apps.keepers.models import Keeper
from apps.progress.invariants import find_violations
from apps.rollback.models import Rollback
from apps.rollback.services import rollbacks_apply, run_cancel
from apps.settlement.services import batches_broadcast, batches_confirm, batches_submit
from apps.speculation.models import OPEN_COMMITMENTS, Commitment
from apps.speculation.services import commitments_purge
from apps.tasks.data import RunStatus, TaskStatus
from apps.tasks.models import Run, Task
from tests.integration.spine.driving import (
    MakeJob,
    attest,
    disagree,
    give_stake,
    is_over,
    open_run,
    side_by_side,
    start,
    task_of,
)
from tests.support.failing import failed_receipt, failed_receipts
from tests.support.network import Network
from tests.support.overlap import at_once
from workers.keeper.outbox import RECEIPTS

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        "postgresql" not in django_settings.DATABASES["default"]["ENGINE"],
        reason="needs PostgreSQL: give DATABASE_URL",
    ),
]
ROUNDS = 12


@pytest.fixture
def rich(network: Network) -> Network:
    """The network, its keepers with stake to put up."""
    give_stake(network)
    return network


@pytest.fixture
def job(make_job: MakeJob) -> Job:
    """A step and one that runs ahead on it."""
    return make_job(("a", []), ("b", ["a"]))


def finish(network: Network, run: Run, most: int = 30) -> None:
    """Turn until the run is over; the clock stands by, so nothing may be asleep."""
    for _ in range(most):
        if is_over(run):
            return
        network.turn()
    raise AssertionError(f"not over: {list(run.tasks.values_list('step_key', 'status', 'wake_at'))}")


def calm(network: Network) -> None:
    """Forget what went wrong so far, or nothing would run ahead any more."""
    network.messages.clear()
    commitments_purge(now=network.now(), keep_seconds=0)
    Keeper.objects.update(reputation=5_000, tasks_failed=0)


def is_live(task: Task) -> bool:
    """Whether a lease on it is open."""
    return Assignment.objects.filter(task=task, status__in=OPEN_STATUSES).exists()


def in_turn(*works: Callable[[], Any]) -> Callable[[], Any]:
    """One after the other."""
    return lambda: [work() for work in works]


@pytest.mark.parametrize("is_told", [False, True])
def test_a_child_admitted_while_its_parent_fails_is_taken_along_or_waits(rich, hub, job: Job, is_told):
    """Whether the failure was signalled before, or is at this very moment."""
    for seed in range(2 * ROUNDS):
        run = open_run(job)
        rich.stage(tasks_admit, ids=[task_of(run, "a").pk])
        items = failed_receipts(rich)
        if is_told:
            rich.record(RECEIPTS, items)
            items = []
        at_once(
            in_turn(lambda items=items: rich.record(RECEIPTS, items), lambda: rich.stage(rollbacks_apply)),
            lambda: rich.stage(tasks_admit),
            seed=seed,
        )
        assert find_violations() == []
        parent, child = task_of(run, "a"), task_of(run, "b")
        assert (parent.failures, parent.is_failing, child.failures, child.is_failing) == (1, False, 0, False)
        assert Rollback.objects.filter(run=run).count() == 1
        assert is_live(parent) or not is_live(child)
        finish(rich, run)
        assert (run.status, task_of(run, "a").failures) == (RunStatus.CONFIRMED, 1)
        calm(rich)
    assert hub.objections == []


def test_a_child_that_fails_while_its_parent_is_confirmed_is_undone_alone_and_tried_again(
    rich, hub, job: Job
):
    for seed in range(ROUNDS):
        run = start(rich, job)
        (message,) = rich.messages
        (link,) = message.following
        rich.messages = []
        rich.work(replace(message, following=()))
        rich.record(RECEIPTS)
        attest(rich)
        for service in (batches_submit, batches_broadcast):
            rich.stage(service)
        hub.poll(rich.now())
        failed = failed_receipt(rich.nodes[link.keeper], link.body["assignment"])
        at_once(
            lambda: rich.stage(batches_confirm),
            in_turn(
                lambda item=failed: rich.record(RECEIPTS, [item]),
                lambda: rich.stage(rollbacks_apply),
            ),
            lambda: rich.stage(tasks_admit),
            seed=seed,
        )
        assert find_violations() == []
        parent, child = task_of(run, "a"), task_of(run, "b")
        assert (parent.status, parent.failures) == (TaskStatus.CONFIRMED, 0)
        assert (child.failures, child.is_failing) == (1, False)
        assert Commitment.objects.get(task=child, epoch=1).status == "failed"
        finish(rich, run)
        assert run.status == RunStatus.CONFIRMED
        calm(rich)
    assert hub.objections == []


def test_two_rollback_workers_apply_each_failure_once(rich, job: Job):
    for seed in range(ROUNDS):
        runs = [start(rich, job) for _ in range(4)]
        rich.record(
            RECEIPTS,
            [
                failed_receipt(rich.nodes[one.keeper], one.body["assignment"], error_code="cid_invalid")
                for one in rich.messages
            ],
        )
        outcomes = side_by_side(rich, rollbacks_apply, rollbacks_apply, limit=3, seed=seed)
        while any(outcome.pokes & {"rollback"} for outcome in outcomes):
            outcomes = side_by_side(rich, rollbacks_apply, rollbacks_apply, limit=3, seed=seed)
        told = Rollback.objects.filter(run__in=runs)
        roots = [(task_of(run, "a").pk, 2) for run in runs]
        assert sorted(told.values_list("root_id", "size")) == sorted(roots)
        tasks = Task.objects.filter(run__in=runs)
        assert set(tasks.values_list("step_key", "status", "epoch", "failures")) == {
            ("a", "waiting", 2, 1),
            ("b", "waiting", 2, 0),
        }
        assert not Commitment.objects.filter(status__in=OPEN_COMMITMENTS).exists()
        assert sum(told.values_list("slashed_units", flat=True)) == 4 * 100_000
        assert find_violations() == []
        for run in runs:
            run_cancel(run_id=run.id, project_ids=None)
        calm(rich)


def test_receipts_that_come_while_what_they_stand_on_is_rolled_back_count_or_do_not(rich, make_job: MakeJob):
    """Either way the whole branch is open again afterwards, and nothing of the old attempts is left."""
    job = make_job(("a", []), ("b", ["a"]), ("c", ["b"]))
    seen: Counter[bool] = Counter()
    for seed in range(2 * ROUNDS):
        run = start(rich, job)
        rich.deliver()
        parent, guilty = str(task_of(run, "a")), task_of(run, "a").performer
        receipts = {item["task"]: item for item in rich.answers(RECEIPTS)}
        rich.record(RECEIPTS, [receipts.pop(parent)])
        disagree(rich, task_of(run, "a"))
        below = list(receipts.values())
        refusals, _ = at_once(
            lambda items=below: rich.record(RECEIPTS, items),
            in_turn(lambda: rich.stage(rounds_decide), lambda: rich.stage(rollbacks_apply)),
            seed=seed,
        )
        assert {refusal.error.code for refusal in refusals} <= {"epoch_stale", "parent_not_recorded"}
        told = Rollback.objects.get(run=run)
        assert list(Keeper.objects.filter(tasks_failed__gt=0).values_list("pk", "tasks_failed")) == [
            (guilty, 1)
        ]
        seen[bool(refusals)] += 1
        tasks = Task.objects.filter(run=run)
        assert set(tasks.values_list("step_key", "status", "epoch", "failures", "output_cid")) == {
            ("a", "waiting", 2, 1, ""),
            ("b", "waiting", 2, 0, ""),
            ("c", "waiting", 2, 0, ""),
        }
        assert told.size == 3
        assert not Assignment.objects.filter(task__run=run, status__in=OPEN_STATUSES).exists()
        assert find_violations() == []
        run_cancel(run_id=run.id, project_ids=None)
        calm(rich)
    assert sum(seen.values()) == 2 * ROUNDS

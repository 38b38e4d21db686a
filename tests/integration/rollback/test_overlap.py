"""Rollbacks that overlap with each other and with whoever moves the same tasks, on PostgreSQL.

SQLite has one writer at a time and no such case.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import transaction

from apps.eventlog.locking import lock_rows
from apps.eventlog.selectors import get_database_now
from apps.execution.data import AssignmentStatus
from apps.execution.models import Assignment
from apps.kernel.errors import DomainError
from apps.ledger.models import Transaction
from apps.ledger.services import transactions_post
from apps.rollback.data import RollbackPhase
from apps.rollback.models import DeadLetter, Rollback
from apps.rollback.services import (
    dead_letter_replay,
    rollbacks_apply,
    rollbacks_clean,
    rollbacks_cleaned,
    rollbacks_log,
    run_cancel,
    task_cancel,
)
from apps.speculation.domain.postings import bond_lock
from apps.speculation.models import Commitment
from apps.speculation.services import commitments_confirm, commitments_lock_open
from apps.tasks.changes import TaskChanges
from apps.tasks.data import FailureReason, RunStatus, TaskStatus
from apps.tasks.models import Edge, Failure, Task
from tests.factories.accounts import make_project
from tests.factories.ahead import Ahead, make_ahead
from tests.factories.ledger import fund_project
from tests.support.overlap import at_once

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        "postgresql" not in django_settings.DATABASES["default"]["ENGINE"],
        reason="needs PostgreSQL: give DATABASE_URL",
    ),
]
R = FailureReason
WORKERS = 4
ROUNDS = 8
CHAIN = {"a": "submitted", "b": "waiting_ancestors", "c": "executing", "d": "scheduled"}
BONDS = {"a": 1_000_000, "b": 2_000_000, "c": 4_000_000, "d": 8_000_000}


def apply() -> Any:
    return rollbacks_apply(now=get_database_now(), limit=1_000)


def refused(work: Callable[[], Any]) -> Callable[[], Any]:
    """The work, or the refusal it meets."""

    def attempt() -> Any:
        try:
            return work()
        except DomainError as exc:
            return exc

    return attempt


def confirm(task: Task) -> Callable[[], None]:
    """What the confirm stage does to a task, its money apart."""

    def work() -> None:
        with transaction.atomic():
            tasks = lock_rows(Task.objects.filter(pk=task.pk, status="submitted"), skip_locked=False)
            changes = TaskChanges(tasks, now=get_database_now())
            for each in tasks:
                changes.move(each, TaskStatus.CONFIRMED)
            commitments = list(commitments_lock_open([each.pk for each in tasks]).values())
            changes.settle(postings=commitments_confirm(commitments, now=changes.now))
            changes.write()

    return work


def admit(run: Ahead, step: str) -> Callable[[], bool]:
    """What admission does: lock the child, look at its parents, and let it run ahead under bond."""

    def work() -> bool:
        with transaction.atomic():
            now = get_database_now()
            child = run.tasks[step]
            pending = Task.objects.filter(pk=child.pk, status="waiting", is_failing=False)
            tasks = lock_rows(pending)
            parents = Edge.objects.filter(child=child).values_list("parent__status", "parent__is_failing")
            if not tasks or any(status != "executed" or failing for status, failing in parents):
                return False
            (task,) = tasks
            changes = TaskChanges(tasks, now=now)
            changes.move(task, TaskStatus.SCHEDULED, wake_at=now, changed={"is_ahead": True})
            changed = {"epoch": task.epoch + 1, "performer": run.keeper(step)}
            changes.touch(task, **changed)
            changes.tell(task, "task.assigned", {"set": changed})
            Assignment.objects.create(
                task=task,
                epoch=task.epoch,
                keeper_id=task.performer,
                status=AssignmentStatus.OFFERED,
                offered_at=now,
                acknowledge_by=now,
                expires_at=now,
                resend_at=now,
                score_card={},
            )
            Commitment.objects.create(
                task=task,
                run=run.run,
                epoch=task.epoch,
                producer_id=task.performer,
                depth=1,
                bond_units=2_000_000,
                opened_at=now,
            )
            transactions_post([bond_lock(task.performer, task.id, task.epoch, 2_000_000)])
            changes.write()
        return True

    return work


@pytest.mark.parametrize("reason", [R.PROOF_REJECTED, R.NO_QUORUM])
def test_workers_that_find_one_failure_at_once_apply_it_once(reason):
    for seed in range(ROUNDS):
        run = make_ahead(CHAIN, bonds=BONDS)
        run.signal("a", reason)
        outcomes = at_once(*[apply] * WORKERS, seed=seed)
        assert sorted(outcome.taken for outcome in outcomes) == [0, 0, 0, 1]
        assert sum(len(outcome.revocations) for outcome in outcomes) == 1
        assert Rollback.objects.filter(run=run.run).count() == 1
        row = Rollback.objects.get(run=run.run)
        assert Transaction.objects.filter(reference=f"cascade:{row.id.hex}").count() == 1
        assert {task.failures for task in run.reload().tasks.values()} == {0, 1}


def test_failures_of_many_runs_are_shared_out_and_each_is_applied_once():
    runs = [make_ahead({"a": "executed", "b": "executing"}, bonds={"a": 1_000_000}) for _ in range(12)]
    for run in runs:
        run.signal("a", R.RESULT_REJECTED)
    outcomes = at_once(
        *[lambda: [rollbacks_apply(now=get_database_now(), limit=4) for _ in range(6)]] * WORKERS
    )
    assert sum(outcome.taken for some in outcomes for outcome in some) == 12
    assert Counter(Rollback.objects.values_list("run_id", flat=True)) == {run.run.id: 1 for run in runs}
    assert all(run.statuses() == {"a": "waiting", "b": "waiting"} for run in runs)


def test_a_failure_that_is_signalled_while_the_one_above_it_is_applied():
    for seed in range(ROUNDS):
        bonds = {"a": 1_000_000, "b": 2_000_000, "c": 4_000_000}
        run = make_ahead({"a": "executed", "b": "executed", "c": "executing"}, bonds=bonds)
        run.signal("a", R.NO_QUORUM)
        at_once(apply, lambda run=run: run.signal("b", R.RESULT_REJECTED), seed=seed)
        apply()
        assert run.statuses() == {"a": "failed", "b": "rolled_back", "c": "aborted"}
        assert {task.is_failing for task in run.tasks.values()} == {False}
        applied = Rollback.objects.filter(run=run.run).exclude(phase=RollbackPhase.DISMISSED)
        assert sum(row.slashed_units for row in applied) in (0, 200_000)
        assert not Failure.objects.filter(run=run.run, wake_at__isnull=False).exists()


def test_a_child_that_fails_while_its_parent_is_confirmed():
    for seed in range(ROUNDS):
        run = make_ahead(
            {"a": "submitted", "b": "executed", "c": "executing"}, bonds={"a": 1_000_000, "b": 2_000_000}
        )
        run.signal("b", R.RESULT_REJECTED)
        at_once(apply, confirm(run.tasks["a"]), seed=seed)
        assert run.statuses() == {"a": "confirmed", "b": "waiting", "c": "waiting"}
        assert run.run.status == RunStatus.OPEN
        row = Rollback.objects.get(run=run.run)
        assert (row.size, row.slashed_units) == (2, 200_000)


def test_a_parent_that_fails_while_it_is_confirmed_is_one_or_the_other():
    seen: Counter[str] = Counter()
    for seed in range(2 * ROUNDS):
        run = make_ahead({"a": "submitted", "b": "executing"}, bonds={"a": 1_000_000, "b": 2_000_000})
        run.signal("a", R.NO_QUORUM)
        at_once(apply, confirm(run.tasks["a"]), seed=seed)
        apply()
        statuses = run.statuses()
        seen[statuses["a"]] += 1
        assert statuses in ({"a": "confirmed", "b": "executing"}, {"a": "failed", "b": "aborted"})
        assert not run.tasks["a"].is_failing
    assert sum(seen.values()) == 2 * ROUNDS


@pytest.mark.parametrize("reason", [R.NO_QUORUM, R.RESULT_REJECTED])
def test_no_child_stays_under_a_parent_that_fails_while_it_is_admitted(reason):
    admitted: Counter[bool] = Counter()
    for seed in range(2 * ROUNDS):
        run = make_ahead({"a": "executed", "b": "waiting"}, bonds={"a": 1_000_000})
        if seed % 2:
            run.signal("a", reason)
        works = [apply, admit(run, "b")]
        if not seed % 2:
            works.append(lambda run=run: run.signal("a", reason))
        results = at_once(*works, seed=seed)
        admitted[results[1]] += 1
        apply()
        expected = {"failed"} if reason is R.NO_QUORUM else {"waiting"}
        assert run.statuses()["a"] in expected
        child = run.tasks["b"]
        assert child.status == ("cancelled" if reason is R.NO_QUORUM else "waiting")
        assert not Commitment.objects.filter(task=child, ended_at__isnull=True).exists()
        assert not Assignment.objects.filter(task=child, ended_at__isnull=True).exists()
    assert admitted[True] > 0


def test_a_run_that_is_stopped_while_its_failure_is_applied_ends():
    for seed in range(ROUNDS):
        run = make_ahead({"a": "executed", "b": "executed", "c": "executing"}, bonds={"a": 1_000_000})
        run.signal("a", R.RESULT_REJECTED)
        at_once(apply, refused(lambda run=run: run_cancel(run_id=run.run.id, project_ids=None)), seed=seed)
        apply()
        run.reload()
        assert run.run.status == RunStatus.CANCELLED
        slashed = Rollback.objects.filter(run=run.run, slashed_units=100_000)
        assert slashed.count() == 1


def test_stops_by_hand_of_one_run_and_its_tasks_at_once():
    for seed in range(ROUNDS):
        run = make_ahead(CHAIN, bonds=BONDS)
        works = [lambda run=run: run_cancel(run_id=run.run.id, project_ids=None)] * 2
        works += [
            lambda run=run, step=step: task_cancel(task_id=run.tasks[step].id, project_ids=None)
            for step in ("b", "c")
        ]
        at_once(*map(refused, works), seed=seed)
        statuses = run.statuses()
        assert statuses == {"a": "submitted", "b": "rolled_back", "c": "aborted", "d": "cancelled"}
        assert sum(row.size for row in Rollback.objects.filter(run=run.run)) == 3


def test_a_letter_that_is_replayed_twice_at_once_is_replayed_once():
    project = make_project()
    for seed in range(ROUNDS):
        fund_project(project.id, 500)
        run = make_ahead({"a": "executed", "b": "executing"}, project=project, escrow_units=500)
        run.signal("a", R.NO_QUORUM)
        apply()
        letter = DeadLetter.objects.get(run=run.run)
        replay = partial(dead_letter_replay, letter_id=letter.id, project_ids=None)
        at_once(replay, replay, replay, seed=seed)
        run.reload()
        assert (run.run.status, run.run.reopenings, run.tasks["a"].epoch) == (RunStatus.OPEN, 1, 2)
        holds = Transaction.objects.filter(kind="escrow_hold", memo__run_id=run.run.id.hex)
        assert holds.count() == 2


def test_workers_that_clean_up_at_once_count_each_rollback_once():
    for seed in range(ROUNDS):
        run = make_ahead({"a": "executing"})
        run_cancel(run_id=run.run.id, project_ids=None)

        def clean() -> int:
            outcome = rollbacks_clean(now=get_database_now(), limit=10)
            took = {one.rollback: [1.0] for one in outcome.revocations}
            rollbacks_cleaned(latencies=took, now=get_database_now())
            return len(rollbacks_log(now=get_database_now(), limit=10))

        counted = sum(at_once(*[clean] * WORKERS, seed=seed))
        assert counted + len(rollbacks_log(now=get_database_now(), limit=10)) == 1
        assert Rollback.objects.get(run=run.run).phase == RollbackPhase.COMPLETE

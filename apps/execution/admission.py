"""Admission: which tasks of a run may start now, on what, by whom; the whole frontier in one pass.

A task of a run of one step, or of steps that stand alone, is scheduled at once and given a keeper by
`tasks_assign`. Where steps depend on each other the decision is asked of the frontier, parents first, and
whoever may start gets its lease here: what runs ahead needs to know whose receipt it awaits. Decisions,
commitments, bonds, leases and moves are one transaction; the canvases are sent after it.
Lock order: tasks, ledger accounts, keepers.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from apps.eventlog.locking import lock_rows
from apps.eventlog.writing import rows_insert
from apps.execution.frontier import AdmittedTask, RunFrontier, get_dependent_runs, load_frontiers
from apps.execution.leasing import KeeperPool, lease_new, open_pool
from apps.execution.models import Assignment as AssignmentRow
from apps.execution.offers import offers_start
from apps.execution.selectors import get_failed_keepers
from apps.keepers.models import Keeper
from apps.keepers.services import keepers_mark_assigned
from apps.kernel.outcome import Outcome
from apps.ledger.domain.postings import keeper_bonded, keeper_free
from apps.ledger.services import accounts_lock, transactions_post
from apps.speculation.domain.case import Surroundings
from apps.speculation.domain.decision import Decision, Verdict, compute_wake_at
from apps.speculation.domain.frontier import KeeperStake
from apps.speculation.selectors import get_units_at_risk
from apps.speculation.services import (
    Opening,
    backlog_advance,
    breaker_advance,
    commitments_open,
    decisions_record,
)
from apps.speculation.terms import get_breaker_terms, get_terms
from apps.tasks.changes import TaskChanges
from apps.tasks.data import UNPROVED, TaskStatus
from apps.tasks.models import Edge, Run, Task
from apps.tasks.services import tasks_lock_due

_PENDING: Final = (TaskStatus.DISCOVERED, TaskStatus.WAITING)
#: a task that may start and finds no keeper with room is asked again after this
_NO_ROOM_SECONDS: Final = 1


def tasks_admit(*, now: datetime, limit: int, ids: Sequence[UUID] | None = None) -> Outcome:
    """Start what may start, on confirmed outputs or ahead of them under bond; the others wait."""
    with transaction.atomic():
        due = tasks_lock_due(_PENDING, now=now, limit=limit, ids=ids)
        if not due:
            return Outcome()
        changes = TaskChanges(due, now=now)
        dependent = get_dependent_runs([run for run, size in changes.sizes.items() if size > 1])
        together = [task for task in due if task.run_id in dependent]
        for task in due:
            if task.run_id not in dependent:
                changes.move(task, TaskStatus.SCHEDULED, wake_at=now, event="task.admitted")
                changes.pokes.add("assign")
        outcome = _admit_together(together, changes, is_whole=ids is None)
    return Outcome(taken=len(due), pokes=frozenset(changes.pokes)) + outcome


def _admit_together(due: Sequence[Task], changes: TaskChanges, *, is_whole: bool) -> Outcome:
    """Ask the frontiers of these tasks' runs; write all that follows, the changes included."""
    if not due:
        changes.write()
        return Outcome()
    now = changes.now
    frontiers = load_frontiers(_with_siblings(due, now) if is_whole else due)
    pool = open_pool(now)
    around, stakes = _look_around(pool, now)
    runs = Run.objects.select_related("job__project").in_bulk([one.run_id for one in frontiers])
    ahead = settings.FOREKEEP.speculation
    backlog = Task.objects.filter(status__in=UNPROVED).count()
    is_backed_up = backlog_advance(backlog, now=now, high=ahead.backlog_high, low=ahead.backlog_low)
    terms = get_terms({run.job for run in runs.values()}, is_backed_up=is_backed_up)
    failed = get_failed_keepers([task for one in frontiers for task in one.pending.values()])

    decisions: list[Decision] = []
    admitted: list[AdmittedTask] = []
    for one in frontiers:
        own_terms = terms[runs[one.run_id].job]
        one.choose_keepers(pool, failed, stakes, own_terms, now=now)
        asked = one.decide(stakes, around, own_terms, now=now)
        around, stakes = one.take(asked, around, stakes)
        admitted.extend(one.admit(asked, pool, now=now))
        decisions.extend(asked)

    leases = [_lease(one, now) for one in admitted]
    _write_moves(frontiers, decisions, admitted, leases, around, changes)
    tasks = {one.task.id: one.task for one in admitted}
    rows_insert(AssignmentRow, leases)
    offers = offers_start(leases, tasks, changes.trace_of)
    AssignmentRow.objects.filter(pk__in=[lease.pk for lease in offers.started]).update(is_parked=False)
    openings = _openings(admitted)
    transactions_post(commitments_open(openings, now=now), now=now)
    changes.write()
    chosen = Keeper.objects.filter(address__in={lease.keeper_id for lease in leases}).only("address")
    keepers_mark_assigned({keeper.address: now for keeper in lock_rows(chosen, skip_locked=False)})
    return Outcome(messages=offers.messages, figures=_figures(admitted, openings))


def _with_siblings(due: Sequence[Task], now: datetime) -> list[Task]:
    """With the due tasks, every other task of their runs that has not started and nobody else works on.

    But for those that are put off for a reason of their own: set back with a delay, or a stage broke on them.
    One that only waits for its parents is asked with them.
    """
    known = {task.id for task in due}
    others = Task.objects.filter(
        run__in={task.run_id for task in due}, status__in=_PENDING, is_failing=False
    ).exclude(pk__in=known)
    above = Edge.objects.filter(child=OuterRef("pk"), parent__status__in=_PENDING)
    was_started = Q(epoch__gt=0) & ~Q(decision__verdict=Verdict.WAIT) & ~Exists(above)
    put_off = Q(stage_errors__gt=0) | was_started
    return [*due, *lock_rows(others.exclude(put_off, wake_at__gt=now))]


def _look_around(pool: KeeperPool, now: datetime) -> tuple[Surroundings, Mapping[str, KeeperStake]]:
    """The breaker and its count, the stake at risk, and what each keeper can put up, its accounts locked."""
    breaker, outcomes = breaker_advance(now=now, terms=get_breaker_terms())
    keys = [account(one.address) for one in pool.ready for account in (keeper_free, keeper_bonded)]
    balances = accounts_lock(keys)
    stakes = {
        one.address: KeeperStake(
            free_units=balances.get(keeper_free(one.address), 0), reputation=one.reputation
        )
        for one in pool.ready
    }
    return Surroundings(breaker=breaker, outcomes=outcomes, at_risk_units=get_units_at_risk()), stakes


def _lease(one: AdmittedTask, now: datetime) -> AssignmentRow:
    """Parked until its canvas is known."""
    one.task.spec = one.spec
    return lease_new(
        one.task,
        one.choice,
        now=now,
        lease_id=one.lease_id,
        waits_seconds=one.waits_seconds,
        is_ahead=one.is_ahead,
        lineage=one.lineage,
        is_parked=True,
    )


def _write_moves(
    frontiers: Sequence[RunFrontier],
    decisions: Sequence[Decision],
    admitted: Sequence[AdmittedTask],
    leases: Sequence[AssignmentRow],
    around: Surroundings,
    changes: TaskChanges,
) -> None:
    """Move who starts, let the others wait with their reason, and leave who was not asked for later."""
    now, ahead = changes.now, settings.FOREKEEP.speculation
    later = now + timedelta(seconds=ahead.waiting_seconds)
    tasks = {task.id: task for one in frontiers for task in one.pending.values()}
    news = {one.task for one in decisions_record(decisions, now=now)}
    for one, lease in zip(admitted, leases, strict=True):
        facts = {"verdict": str(one.decision.verdict), "depth": one.decision.depth}
        ground = {"ancestors": one.lineage[:-1], "bond_units": str(one.decision.bond_units)}
        changed = {"spec": one.spec, "is_ahead": one.is_ahead}
        changes.move(
            one.task,
            TaskStatus.SCHEDULED,
            wake_at=lease.expires_at,
            changed=changed,
            facts={**facts, **ground},
            event="task.admitted",
        )
        changes.touch(one.task, epoch=lease.epoch, performer=lease.keeper_id)
        held = {"set": {"epoch": lease.epoch, "performer": lease.keeper_id}, "lease": lease.id.hex}
        changes.tell(one.task, "task.assigned", {**held, "score": one.choice.card["score"]})
    started = {one.task.id for one in admitted}
    refused = {one.task: one for one in decisions if one.task not in started}
    for task_id, task in tasks.items():
        decision = refused.get(task_id)
        if task_id in started:
            continue
        if decision is None:
            changes.touch(task, wake_at=later)
            continue
        wake_at = compute_wake_at(
            decision,
            around=around,
            terms=get_breaker_terms(),
            now=now,
            waiting_seconds=_NO_ROOM_SECONDS if decision.may_start else ahead.waiting_seconds,
        )
        refusal = "no_room" if decision.may_start else str(decision.refusal)
        facts = {"refusal": refusal, "depth": decision.depth}
        if task.status == TaskStatus.DISCOVERED:
            changes.move(task, TaskStatus.WAITING, wake_at=wake_at, facts=facts)
        else:
            changes.touch(task, wake_at=wake_at)
            if task_id in news:
                changes.tell(task, "task.decided", {"verdict": str(decision.verdict), **facts})


def _figures(admitted: Sequence[AdmittedTask], openings: Sequence[Opening]) -> tuple[tuple[str, float], ...]:
    """What is counted of a pass."""
    depths = [one.decision.depth for one in admitted if one.is_ahead]
    return (
        ("speculation_started", len(depths)),
        *(("speculation_depth", depth) for depth in depths),
        ("commitments_created", len(openings)),
        ("stake_bonded_units", sum(one.bond_units for one in openings)),
    )


def _openings(admitted: Sequence[AdmittedTask]) -> list[Opening]:
    """A commitment for each that runs ahead, and for each that puts up a bond all the same."""
    return [
        Opening(
            task=one.task,
            epoch=one.task.epoch,
            keeper=one.choice.address,
            depth=one.decision.depth,
            bond_units=one.decision.bond_units,
            ancestors=one.ancestors,
        )
        for one in admitted
        if one.decision.bond_units or one.is_ahead
    ]

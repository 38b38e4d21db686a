"""Runs and tasks: opened when a trigger fires, locked and woken for the stages above."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from apps.eventlog.locking import lock_rows
from apps.eventlog.selectors import get_database_now
from apps.eventlog.services import rows_write
from apps.jobs.data import FiringKind, Refusal, manual_tick_key
from apps.jobs.errors import PriceUnknown
from apps.jobs.firings import (
    Taken,
    firings_mark_due,
    firings_mark_opened,
    firings_take,
    jobs_look_ahead,
)
from apps.jobs.services import job_mark_by_hand, job_take_by_hand
from apps.kernel.ids import new_id
from apps.kernel.outcome import Outcome
from apps.kernel.trace import current_trace
from apps.ledger.domain.postings import project_escrow, project_prepaid
from apps.ledger.errors import InsufficientFunds
from apps.ledger.services import accounts_lock
from apps.tasks.changes import TaskChanges
from apps.tasks.data import UNFINISHED, TaskStatus
from apps.tasks.models import Run, Task
from apps.tasks.moves import run_draft
from apps.tasks.opening import Opening, runs_open

#: a task that a stage breaks on is left alone for this long at the longest
_SET_ASIDE_SECONDS = 300


def runs_schedule(*, now: datetime, limit: int, ids: Sequence[UUID] | None = None) -> Outcome:
    """Lay out the ticks of the next seconds, so that at their time they have only to be marked."""
    until = now + timedelta(seconds=settings.FOREKEEP.jobs.look_ahead_seconds)
    return Outcome(taken=jobs_look_ahead(now=now, until=until, limit=limit, ids=ids))


def runs_fire(*, now: datetime, limit: int, ids: Sequence[UUID] | None = None) -> Outcome:
    """Mark what is due, then open a run for each firing in sets; `ids` narrows to some jobs.

    What is due is marked first and on its own, so that a firing is never later than its opening is slow. A
    project that cannot pay loses the firing, not the others theirs: its job says so.
    """
    firings_mark_due(now=now)
    with transaction.atomic():
        taken = firings_take(limit=limit, ids=ids)
        if not taken:
            return Outcome()
        paid, unpaid = _split_by_funds(taken)
        opened = runs_open(_openings(paid), now=now)
        firings_mark_opened(taken=paid, unpaid=unpaid, now=now)
    count = sum(len(one.firings) + len(one.refused) for one in taken)
    return Outcome(taken=count, pokes=frozenset({"admit"}) if opened else frozenset())


def run_now(*, job_id: UUID, project_ids: Collection[UUID] | None) -> Run:
    """Open a run of a job at once, in the caller's trace; the job's own trigger is not touched.

    `project_ids` are the projects the caller may see (None: all). Raises JobNotFound, JobEnded,
    InsufficientFunds, PriceUnknown.
    """
    with transaction.atomic():
        now = get_database_now()
        seen = None if project_ids is None else frozenset(project_ids)
        job = job_take_by_hand(job_id=job_id, now=now, project_ids=seen)
        opening = Opening(
            job=job,
            tick_key=manual_tick_key(new_id()),
            due_at=now,
            evidence={"kind": "manual"},
            trace_id=current_trace().trace_id,
        )
        (run,) = runs_open([opening], now=now)
        job_mark_by_hand(job, tick_key=run.tick_key, now=now)
    return run


def run_note_stop(run: Run, *, tasks: int, actor: str, now: datetime) -> None:
    """Note on a locked run that a person asked for its stop, which so many of its tasks end by."""
    run.cancel_requested_at = now
    facts = {"tasks": tasks, "by": actor}
    requested = run_draft(run, "run.cancel_requested", {"cancel_requested_at": now}, facts)
    rows_write([run], ["cancel_requested_at"], [requested], now=now)


def task_set_aside(*, task_id: UUID, stage: str, reason: str, now: datetime) -> None:
    """Look at a task that a stage broke on again after 2, 4, 8 … seconds, five minutes at most; say so."""
    with transaction.atomic():
        tasks = lock_rows(Task.objects.filter(pk=task_id, status__in=UNFINISHED))
        changes = TaskChanges(tasks, now=now)
        for task in tasks:
            seconds = min(2 << min(task.stage_errors, 8), _SET_ASIDE_SECONDS)
            later = now + timedelta(seconds=seconds)
            changes.touch(task, stage_errors=task.stage_errors + 1, wake_at=later)
            changes.tell(task, "task.set_aside", {"stage": stage, "reason": reason, "seconds": seconds})
        changes.write()


def tasks_wake(task_ids: Collection[UUID], *, now: datetime) -> None:
    """Let waiting tasks be looked at now; one that somebody works on is left alone."""
    if task_ids:
        waiting = Task.objects.filter(pk__in=task_ids, status=TaskStatus.WAITING, wake_at__gt=now)
        with transaction.atomic():
            ids = [task.id for task in lock_rows(waiting.only("pk"))]
            Task.objects.filter(pk__in=ids).update(wake_at=now)


def tasks_lock_due(
    statuses: Sequence[TaskStatus],
    *,
    now: datetime,
    limit: int,
    ids: Sequence[UUID] | None = None,
    only: Q | None = None,
) -> list[Task]:
    """Lock tasks that are in one of these states and due, in id order; `only` narrows the choice.

    One whose failure is signalled is left to the rollback stage.
    """
    tasks = Task.objects.filter(only or Q(), status__in=statuses, wake_at__lte=now, is_failing=False)
    if ids is not None:
        tasks = tasks.filter(pk__in=ids)
    return lock_rows(tasks, limit=limit)


def _openings(taken: Sequence[Taken]) -> list[Opening]:
    return [
        Opening(
            job=one.job,
            tick_key=firing.key,
            due_at=firing.due_at,
            fired_at=firing.fired_at,
            kind=FiringKind(firing.kind),
            evidence=firing.evidence,
        )
        for one in taken
        for firing in one.firings
    ]


def _split_by_funds(taken: Sequence[Taken]) -> tuple[list[Taken], list[tuple[Taken, Refusal]]]:
    """The firings that have a price their project can pay, first come first served; the others with why."""
    projects = {one.job.project_id for one in taken if one.firings}
    balances = accounts_lock(
        {key(project) for project in projects for key in (project_prepaid, project_escrow)}
    )
    left = {project: balances[project_prepaid(project)] for project in projects}
    paid: list[Taken] = []
    unpaid: list[tuple[Taken, Refusal]] = []
    for one in taken:
        job, price = one.job, one.job.estimated_cost_units
        needed = (price or 0) * len(one.firings)
        if not one.firings:
            paid.append(one)
        elif price is not None and needed <= left[job.project_id]:
            left[job.project_id] -= needed
            paid.append(one)
        else:
            refusal = Refusal(
                reason=PriceUnknown.code if price is None else InsufficientFunds.code,
                needed_units=needed,
                available_units=left[job.project_id],
            )
            unpaid.append((one, refusal))
    return paid, unpaid

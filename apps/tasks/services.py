"""Runs and tasks: opened when a trigger fires, admitted when their parents are confirmed, cancelled."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from apps.eventlog.data import EventDraft
from apps.eventlog.locking import lock_rows
from apps.eventlog.selectors import get_database_now
from apps.eventlog.services import events_append, rows_write
from apps.jobs.data import EdgeKind, Fires
from apps.jobs.errors import PriceUnknown
from apps.jobs.models import Job
from apps.jobs.services import job_take_by_hand, jobs_mark_fired, jobs_take_due
from apps.kernel.ids import new_id, to_wire
from apps.kernel.outcome import Outcome
from apps.kernel.trace import current_trace
from apps.ledger.domain.postings import project_escrow, project_prepaid
from apps.ledger.errors import InsufficientFunds
from apps.ledger.services import accounts_lock
from apps.tasks.changes import TaskChanges
from apps.tasks.data import UNFINISHED, RunStatus, TaskStatus
from apps.tasks.domain.readiness import is_ready
from apps.tasks.errors import RunAlreadyEnded, RunNotFound, RunSettling
from apps.tasks.models import Edge, Run, Task
from apps.tasks.moves import run_draft
from apps.tasks.opening import Opening, runs_open

#: a waiting task is looked at this often even if nobody wakes it
_WAITING_SECONDS = 60
#: a task that a stage breaks on is left alone for this long at the longest
_SET_ASIDE_SECONDS = 300
_CANCELLABLE = (
    TaskStatus.DISCOVERED,
    TaskStatus.WAITING,
    TaskStatus.SCHEDULED,
    TaskStatus.EXECUTING,
    TaskStatus.EXECUTED,
)


def runs_fire(*, now: datetime, limit: int, ids: Sequence[UUID] | None = None) -> Outcome:
    """Open a run for every tick that is due and move each job's next fire on, in one transaction.

    A project that cannot pay loses the tick, not the others theirs: its job says so in an event.
    """
    with transaction.atomic():
        due = jobs_take_due(now=now, limit=limit, ids=ids)
        if not due:
            return Outcome()
        paid, refused = _split_by_funds(due)
        opened = runs_open(_openings(paid), now=now)
        events_append(refused, now=now)
        jobs_mark_fired(fired=due, now=now)
    return Outcome(taken=len(due), pokes=frozenset({"admit"}) if opened else frozenset())


def run_now(*, job_id: UUID, project_ids: Collection[UUID] | None) -> Run:
    """Open a run of a job at once, in the caller's trace; the job's own schedule is not touched.

    `project_ids` are the projects the caller may see (None: all). Raises JobNotFound, JobEnded,
    InsufficientFunds, PriceUnknown.
    """
    with transaction.atomic():
        now = get_database_now()
        seen = None if project_ids is None else frozenset(project_ids)
        job, fires = job_take_by_hand(job_id=job_id, request_id=new_id(), now=now, project_ids=seen)
        (tick,) = fires.ticks
        opening = Opening(job=job, tick_key=tick.key, due_at=tick.due_at, trace_id=current_trace().trace_id)
        (run,) = runs_open([opening], now=now)
        jobs_mark_fired(fired=[(job, fires)], now=now)
    return run


def tasks_admit(*, now: datetime, limit: int, ids: Sequence[UUID] | None = None) -> Outcome:
    """Schedule the tasks whose parents are all confirmed; the others wait until a parent wakes them."""
    with transaction.atomic():
        tasks = tasks_lock_due([TaskStatus.DISCOVERED, TaskStatus.WAITING], now=now, limit=limit, ids=ids)
        if not tasks:
            return Outcome()
        changes = TaskChanges(tasks, now=now)
        parents = _parents_of(tasks)
        later = now + timedelta(seconds=_WAITING_SECONDS)
        for task in tasks:
            own = parents.get(task.id, [])
            if is_ready([TaskStatus(status) for _, status, _, _ in own]):
                outputs = {step: cid for step, _, cid, kind in own if kind == EdgeKind.DATA}
                changed = {"spec": {**task.spec, "parents": outputs}} if outputs else None
                changes.move(task, TaskStatus.SCHEDULED, wake_at=now, changed=changed, event="task.admitted")
                changes.pokes.add("assign")
            elif task.status == TaskStatus.DISCOVERED:
                missing = [step for step, status, _, _ in own if status != TaskStatus.CONFIRMED]
                changes.move(task, TaskStatus.WAITING, wake_at=later, facts={"waits_for": missing})
            else:
                changes.touch(task, wake_at=later)
        changes.write()
    return Outcome(taken=len(tasks), pokes=frozenset(changes.pokes))


def run_cancel(*, run_id: UUID, project_ids: Collection[UUID] | None, actor: str = "") -> Run:
    """Stop what has not reached its settlement; what has goes on to its end.

    Tasks that never started and those with an output are cancelled, executing ones aborted. Asking
    again is a no-op. Raises RunNotFound, RunAlreadyEnded, RunSettling.
    """
    with transaction.atomic():
        now = get_database_now()
        runs = Run.objects.filter(pk=run_id)
        if project_ids is not None:
            runs = runs.filter(project_id__in=project_ids)
        if not runs.exists():
            raise RunNotFound(run=to_wire("run", run_id))
        tasks = lock_rows(Task.objects.filter(run_id=run_id, status__in=_CANCELLABLE), skip_locked=False)
        run = lock_rows(runs, skip_locked=False)[0]
        if run.cancel_requested_at is not None:
            return run
        if run.status != RunStatus.OPEN:
            raise RunAlreadyEnded(run=str(run), status=run.status)
        if not tasks:
            raise RunSettling(run=str(run))
        run.cancel_requested_at = now
        facts = {"tasks": len(tasks), "by": actor}
        requested = run_draft(run, "run.cancel_requested", {"cancel_requested_at": now}, facts)
        rows_write([run], ["cancel_requested_at"], [requested], now=now)
        changes = TaskChanges(tasks, now=now)
        for task in tasks:
            is_running = task.status == TaskStatus.EXECUTING
            target = TaskStatus.ABORTED if is_running else TaskStatus.CANCELLED
            changes.move(task, target, changed={"error_code": "cancelled"})
        changes.write()
        return Run.objects.get(pk=run_id)


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


def tasks_lock_due(
    statuses: Sequence[TaskStatus],
    *,
    now: datetime,
    limit: int,
    ids: Sequence[UUID] | None = None,
    only: Q | None = None,
) -> list[Task]:
    """Lock tasks that are in one of these states and due, in id order; `only` narrows the choice."""
    tasks = Task.objects.filter(only or Q(), status__in=statuses, wake_at__lte=now)
    if ids is not None:
        tasks = tasks.filter(pk__in=ids)
    return lock_rows(tasks, limit=limit)


def _openings(due: Sequence[tuple[Job, Fires]]) -> list[Opening]:
    return [
        Opening(job=job, tick_key=tick.key, due_at=tick.due_at) for job, fires in due for tick in fires.ticks
    ]


def _split_by_funds(due: Sequence[tuple[Job, Fires]]) -> tuple[list[tuple[Job, Fires]], list[EventDraft]]:
    """The firings that have a price their project can pay, first come first served; an event for others."""
    projects = {job.project_id for job, fires in due if fires.ticks}
    balances = accounts_lock(
        {key(project) for project in projects for key in (project_prepaid, project_escrow)}
    )
    left = {project: balances[project_prepaid(project)] for project in projects}
    paid: list[tuple[Job, Fires]] = []
    refused: list[EventDraft] = []
    for job, fires in due:
        if not fires.ticks:
            continue
        price = job.estimated_cost_units
        needed = (price or 0) * len(fires.ticks)
        if price is not None and needed <= left[job.project_id]:
            left[job.project_id] -= needed
            paid.append((job, fires))
            continue
        facts = {
            "reason": PriceUnknown.code if price is None else InsufficientFunds.code,
            "ticks": [tick.key for tick in fires.ticks],
            "needed_units": str(needed),
            "available_units": str(left[job.project_id]),
        }
        refused.append(
            EventDraft(
                row=job, type="job.fire_refused", payload={"set": {}, **facts}, project_id=job.project_id
            )
        )
    return paid, refused


def _parents_of(tasks: Sequence[Task]) -> Mapping[UUID, list[tuple[str, str, str, str]]]:
    """Task id → (step, status, output CID, kind of edge) of each parent, in one query."""
    found: defaultdict[UUID, list[tuple[str, str, str, str]]] = defaultdict(list)
    rows = Edge.objects.filter(child__in=tasks).values_list(
        "child_id", "parent__step_key", "parent__status", "parent__output_cid", "kind"
    )
    for child, *parent in rows:
        found[child].append((parent[0], parent[1], parent[2], parent[3]))
    return found

"""Failures and stops by hand: applied in one transaction, cleaned up after it, and replayed by a person.

Whatever a cascade changes in the database commits at once; aborting, revoking and cancelling follow and may
be repeated. The stage takes signalled failures, and rollbacks that nobody has cleaned up after.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from apps.eventlog.data import EventDraft
from apps.eventlog.locking import lock_rows
from apps.eventlog.selectors import get_database_now
from apps.eventlog.services import rows_write
from apps.eventlog.writing import rows_update
from apps.kernel.collection import collection_paused
from apps.kernel.ids import from_wire, to_wire
from apps.kernel.outcome import Outcome
from apps.rollback.cascades import CLEAN_AGAIN_SECONDS, Cascades
from apps.rollback.data import LetterFilter, RollbackPhase, RollbackTold
from apps.rollback.domain.phases import Step
from apps.rollback.errors import RollbackOfConfirmed, RollbackTooLate, TaskAlreadyEnded
from apps.rollback.loading import runs_lock
from apps.rollback.models import DeadLetter, Rollback, RollbackItem
from apps.rollback.records import revocation_of, rollback_step
from apps.rollback.replaying import Replayed, letters_replay
from apps.rollback.selectors import choose_failing_runs, get_dead_letter, get_dead_letters
from apps.speculation.data import STANDINGS, Standing
from apps.tasks.data import CANCELLED_CODE, RunStatus, TaskStatus
from apps.tasks.errors import RunAlreadyEnded, RunNotFound, RunSettling, TaskNotFound
from apps.tasks.models import Failure, Run, Task
from apps.tasks.services import run_note_stop

#: statuses a cascade takes a lease back from: their keepers are told to stop
_LEASED = (TaskStatus.SCHEDULED, TaskStatus.EXECUTING)


def rollbacks_apply(*, now: datetime, limit: int, ids: Sequence[int | None] | None = None) -> Outcome:
    """Undo what the signalled failures mean, whole runs at a time, and open again what is retried.

    At most `limit` tasks' worth of runs, one at the least. `ids` are failures; without any it takes those
    that are due, and gives rollbacks that nobody has cleaned up after out again.
    """
    outcome = rollbacks_clean(now=now, limit=limit) if ids is None else Outcome()
    chosen = choose_failing_runs(now=now, limit=limit, ids=ids)
    if chosen.run_ids:
        outcome += _apply(chosen.run_ids, now)
    return outcome + Outcome(pokes=frozenset({"rollback"})) if chosen.is_more else outcome


def rollbacks_clean(*, now: datetime, limit: int) -> Outcome:
    """What is still to be stopped after rollbacks that are due: whoever was to do it has died."""
    with transaction.atomic():
        due = Rollback.objects.filter(phase=RollbackPhase.CLEANING, wake_at__lte=now)
        rows = lock_rows(due, limit)
        for row in rows:
            row.wake_at = now + timedelta(seconds=CLEAN_AGAIN_SECONDS)
        rows_update(Rollback, rows, ("wake_at",), [row.event_sequence for row in rows])
        aborted: dict[UUID, list[tuple[str, UUID, int]]] = {row.id: [] for row in rows}
        items = RollbackItem.objects.filter(rollback__in=rows, previous__in=_LEASED).only(
            "rollback_id", "keeper", "task_id", "epoch"
        )
        for item in items.order_by("rollback_id", "position"):
            aborted[item.rollback_id].append((item.keeper, item.task_id, item.epoch))
    return Outcome(taken=len(rows), revocations=tuple(revocation_of(row, aborted[row.id]) for row in rows))


def rollbacks_cleaned(*, latencies: Mapping[str, Sequence[float]], now: datetime) -> int:
    """Note what was cleaned up: rollback (`rbk_…`) → how many milliseconds each keeper took to stop.

    Returns how many went on; one that was cleaned before stays as it is.
    """
    told = {from_wire("rbk", name): sorted(round(ms, 3) for ms in took) for name, took in latencies.items()}
    if not told:
        return 0
    with transaction.atomic():
        rows = lock_rows(
            Rollback.objects.filter(pk__in=told, phase=RollbackPhase.CLEANING), skip_locked=False
        )
        drafts: list[EventDraft] = []
        for row in rows:
            row.abort_latencies_ms, row.wake_at = told[row.id], now
            drafts.append(rollback_step(row, Step.CLEAN, ("abort_latencies_ms",)))
        rows_write(rows, ("phase", "abort_latencies_ms", "wake_at"), drafts, now=now)
    return len(rows)


def rollbacks_log(*, now: datetime, limit: int) -> list[RollbackTold]:
    """Complete the rollbacks that are cleaned up; return what is to be counted of them, once."""
    with transaction.atomic():
        rows = lock_rows(Rollback.objects.filter(phase=RollbackPhase.LOGGING, wake_at__lte=now), limit)
        drafts: list[EventDraft] = []
        for row in rows:
            row.completed_at, row.wake_at = now, None
            drafts.append(rollback_step(row, Step.LOG, ("completed_at",)))
        rows_write(rows, ("phase", "completed_at", "wake_at"), drafts, now=now)
        lettered = set(DeadLetter.objects.filter(rollback__in=rows).values_list("rollback_id", flat=True))
    return [
        RollbackTold(
            reason=row.reason,
            size=row.size,
            slashed_units=row.slashed_units,
            released_units=row.released_units,
            wasted_units=row.wasted_units,
            abort_latencies_ms=tuple(row.abort_latencies_ms),
            is_lettered=row.id in lettered,
        )
        for row in rows
    ]


def run_cancel(*, run_id: UUID, project_ids: Collection[UUID] | None, actor: str = "") -> Run:
    """Stop what is not confirmed or being settled; what is goes on to its end. Bonds go back in full.

    What had failed before is settled as a failure first. Asking again is a no-op. Raises RunNotFound,
    RunAlreadyEnded, RunSettling.
    """
    with transaction.atomic():
        now = get_database_now()
        _require_run(run_id, project_ids)
        runs = runs_lock([run_id])
        run = lock_rows(Run.objects.filter(pk=run_id), skip_locked=False)[0]
        if run.cancel_requested_at is not None:
            return run
        if run.status != RunStatus.OPEN:
            raise RunAlreadyEnded(run=str(run), status=run.status)
        cascades = Cascades(runs, now=now, stopping=[run_id])
        cascades.fail(_lock_failures([run_id]))
        cascades.cancel(list(runs.tasks), actor=actor)
        if not cascades.size:
            raise RunSettling(run=str(run))
        run_note_stop(run, tasks=cascades.size, actor=actor, now=now)
        cascades.write(clean_at=now)
        return Run.objects.get(pk=run_id)


def task_cancel(*, task_id: UUID, project_ids: Collection[UUID] | None, actor: str = "") -> Task:
    """Stop one task and everything that stands on it, for good: no retry of an ancestor brings them back.

    What had failed before is settled as a failure first. Asking again is a no-op. Raises TaskNotFound,
    TaskAlreadyEnded, RollbackOfConfirmed, RollbackTooLate.
    """
    with transaction.atomic():
        now = get_database_now()
        run_id = _require_task(task_id, project_ids)
        runs = runs_lock([run_id])
        task = runs.tasks[task_id]
        if task.error_code == CANCELLED_CODE:
            return Task.objects.get(pk=task_id)
        _require_stoppable(task)
        cascades = Cascades(runs, now=now)
        cascades.fail(_lock_failures([run_id]))
        if not cascades.cancel([task_id], actor=actor):
            raise TaskAlreadyEnded(task=str(task), status=task.status)
        cascades.write(clean_at=now)
        return Task.objects.get(pk=task_id)


def dead_letter_replay(
    *, letter_id: UUID, project_ids: Collection[UUID] | None, actor: str = ""
) -> DeadLetter:
    """Open the failed task and what it took along again, its attempts counted afresh; once per letter.

    A run that had ended is open again, and its money is held again. Asking again is a no-op. Raises
    DeadLetterNotFound, RetryNotAllowed, InsufficientFunds.
    """
    with transaction.atomic():
        letter = get_dead_letter(letter_id, project_ids)
        replayed = letters_replay([letter.id], now=get_database_now(), actor=actor)
        for refusal in replayed.refusals.values():
            raise refusal
        return get_dead_letter(letter_id, project_ids)


def dead_letters_replay(
    *, project_ids: Collection[UUID] | None, chosen: LetterFilter, actor: str = "", limit: int = 500
) -> Replayed:
    """Replay every waiting letter that matches, `limit` at most, oldest first; those refused say why."""
    waiting = get_dead_letters(project_ids, replace(chosen, is_waiting=True)).order_by("pk")
    letter_ids = list(waiting.values_list("pk", flat=True)[:limit])
    return letters_replay(letter_ids, now=get_database_now(), actor=actor)


def _apply(run_ids: Sequence[UUID], now: datetime) -> Outcome:
    with collection_paused(), transaction.atomic():
        runs = runs_lock(run_ids)
        failures = _lock_failures(run_ids)
        if not failures:
            return Outcome()
        cascades = Cascades(runs, now=now)
        cascades.fail(failures)
        return Outcome(taken=len(failures)) + cascades.write()


def _lock_failures(run_ids: Sequence[UUID]) -> list[Failure]:
    """Every failure of these runs that nobody has dealt with; their tasks are locked."""
    return lock_rows(Failure.objects.filter(run__in=run_ids, wake_at__isnull=False), skip_locked=False)


def _require_run(run_id: UUID, project_ids: Collection[UUID] | None) -> None:
    runs = Run.objects.filter(pk=run_id)
    if project_ids is not None:
        runs = runs.filter(project_id__in=project_ids)
    if not runs.exists():
        raise RunNotFound(run=to_wire("run", run_id))


def _require_task(task_id: UUID, project_ids: Collection[UUID] | None) -> UUID:
    """The run of a task in one of these projects. Raises TaskNotFound."""
    tasks = Task.objects.filter(pk=task_id)
    if project_ids is not None:
        tasks = tasks.filter(project_id__in=project_ids)
    run_id = tasks.values_list("run_id", flat=True).first()
    if run_id is None:
        raise TaskNotFound(task=to_wire("task", task_id))
    return run_id


def _require_stoppable(task: Task) -> None:
    standing = STANDINGS[task.status]
    if standing is Standing.CONFIRMED:
        raise RollbackOfConfirmed(task=str(task))
    if standing is Standing.DEAD:
        raise TaskAlreadyEnded(task=str(task), status=task.status)
    if task.status == TaskStatus.SUBMITTED:
        raise RollbackTooLate(task=str(task))

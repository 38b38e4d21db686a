"""Firings: ticks laid out ahead, marked when they are due, and opened or refused by the stage above.

The look-ahead moves a job's next fire by compare-and-set and lays its ticks out in the same transaction;
at their time one statement marks all that are due; logs, conditions and linked runs come in already fired.
A firing is unique by job and key, whoever brings it and however often.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Min

from apps.eventlog.data import EventDraft
from apps.eventlog.locking import lock_rows
from apps.eventlog.services import rows_write
from apps.jobs.domain.due import Patience, due, is_over, next_after_refusal
from apps.jobs.domain.instants import format_instant
from apps.jobs.domain.states import FiringStatus, JobStatus
from apps.jobs.domain.values import Fires, FiringKind, Refusal, TriggerKind
from apps.jobs.errors import JobMoved
from apps.jobs.models import Firing, Job
from apps.jobs.writing import draft_of, facts_of, move

_WAITING: Final = (FiringStatus.PENDING, FiringStatus.FIRED)
_OPENED_FIELDS: Final = ("status", "next_fire_at", "fire_count", "last_fired_at", "last_refusal")
#: codes of what opens no run besides money
JOB_ENDED: Final = "job_ended"
JOB_PAUSED: Final = "job_paused"
FIRES_USED_UP: Final = "fires_used_up"

_log = structlog.get_logger("forekeep.jobs")


@dataclass(frozen=True, slots=True, kw_only=True)
class FiringDraft:
    """A firing that somebody saw: a log, a condition that was met, a linked run."""

    job_id: UUID
    key: str
    kind: FiringKind
    due_at: datetime
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A locked job and its firings of now: those that may open a run, and those that may not, with why."""

    job: Job
    firings: tuple[Firing, ...]
    refused: tuple[tuple[Firing, str], ...] = ()


def jobs_look_ahead(
    *,
    now: datetime,
    until: datetime,
    limit: int,
    ids: Collection[UUID] | None = None,
    patience: Patience | None = None,
) -> int:
    """Lay out the ticks of the jobs whose next fire is not after `until`; returns how many jobs.

    A job whose schedule cannot be read any more is paused with the reason and does not hold up the others.
    """
    patience = patience or _patience()
    wanted = Job.objects.filter(status=JobStatus.ACTIVE, next_fire_at__lte=until)
    if ids is not None:
        wanted = wanted.filter(pk__in=ids)
    with transaction.atomic():
        chosen = wanted.order_by("next_fire_at").values("pk")[:limit]
        jobs = lock_rows(wanted.filter(pk__in=chosen))
        waiting = _count_waiting(jobs)
        laid, broken = _lay_out(jobs, waiting, now, until, patience)
        rows = [row for job, fires in laid for row in _ticks_of(job, fires)]
        Firing.objects.bulk_create(rows, ignore_conflicts=True, batch_size=2_000)
        drafts = [draft for job, fires in laid for draft in _advance(job, fires, waiting[job.id])]
        for job, reason in broken:
            move(job, JobStatus.PAUSED)
            drafts.append(draft_of(job, "job.paused", ("status",), reason=reason))
        changed = [*(job for job, _ in laid), *(job for job, _ in broken)]
        rows_write(changed, ("status", "next_fire_at"), drafts, now=now)
    return len(jobs)


def firings_mark_due(*, now: datetime) -> int:
    """Fire every tick that is due, in one statement; returns how many.

    What somebody else holds (a job that is paused takes its ticks back) is left to the next pass.
    """
    due_ticks = Firing.objects.filter(status=FiringStatus.PENDING, due_at__lte=now)
    if connection.features.has_select_for_update_skip_locked:
        free = due_ticks.order_by("pk").select_for_update(skip_locked=True, no_key=True)
        due_ticks = Firing.objects.filter(pk__in=free.values("pk"))
    with transaction.atomic():
        return due_ticks.update(status=FiringStatus.FIRED, fired_at=now)


def firings_add(drafts: Sequence[FiringDraft], *, now: datetime) -> list[UUID]:
    """Take in what fired by itself, each (job, key) once; returns the jobs that have something to open.

    In the caller's transaction. What a paused job gets is kept as refused, so that it can be told why
    nothing ran; an ended job gets nothing.
    """
    jobs = {job.id: job for job in _live_jobs({draft.job_id for draft in drafts})}
    rows = [_fired(draft, jobs[draft.job_id], now) for draft in drafts if draft.job_id in jobs]
    Firing.objects.bulk_create(rows, ignore_conflicts=True, batch_size=2_000)
    return sorted({row.job_id for row in rows if row.status == FiringStatus.FIRED})


def firings_withdraw(job: Job) -> None:
    """Take back the ticks to come of a locked job: its next fire is the first of them again."""
    pending = Firing.objects.filter(job=job, status=FiringStatus.PENDING)
    first = pending.aggregate(at=Min("due_at"))["at"]
    if first is not None:
        pending.delete()
        job.next_fire_at = first if job.next_fire_at is None else min(first, job.next_fire_at)


def firings_take(*, limit: int, ids: Collection[UUID] | None = None) -> list[Taken]:
    """Lock the jobs that have fired, with at most `limit` of their firings. In the caller's transaction.

    The caller opens the runs and hands all of it to `firings_mark_opened`.
    """
    fired = Firing.objects.filter(status=FiringStatus.FIRED)
    if ids is not None:
        fired = fired.filter(job_id__in=ids)
    wanted = list(fired.order_by("due_at", "pk").values_list("job_id", flat=True)[:limit])
    if not wanted:
        return []
    jobs = {job.id: job for job in lock_rows(Job.objects.filter(pk__in=set(wanted)))}
    by_job: dict[UUID, list[Firing]] = defaultdict(list)
    for firing in Firing.objects.filter(job_id__in=jobs, status=FiringStatus.FIRED).order_by("due_at", "pk")[
        :limit
    ]:
        by_job[firing.job_id].append(firing)
    return [_split(jobs[job_id], firings) for job_id, firings in by_job.items()]


def firings_mark_opened(
    *, taken: Sequence[Taken], now: datetime, unpaid: Sequence[tuple[Taken, Refusal]] = ()
) -> None:
    """Count what was opened, say what was refused, complete what is over. In the transaction of the runs.

    The firings of `unpaid` jobs open no run: they are lost, counted by nobody, and the job keeps why.
    """
    alone = _without_waiting([one.job for one in (*taken, *(one for one, _ in unpaid))])
    drafts: list[EventDraft] = []
    for one in taken:
        drafts += _opened(one, now, is_last=one.job.id in alone)
    for one, refusal in unpaid:
        drafts += _unpaid(one, refusal, now, is_last=one.job.id in alone)
    _write_firings(taken, unpaid)
    jobs = [*(one.job for one in taken), *(one.job for one, _ in unpaid)]
    rows_write(jobs, _OPENED_FIELDS, drafts, now=now)


def get_next_due_at() -> datetime | None:
    """When the next tick that is laid out is due: what a precise clock sleeps until."""
    found: datetime | None = Firing.objects.filter(status=FiringStatus.PENDING).aggregate(at=Min("due_at"))[
        "at"
    ]
    return found


def firings_purge(*, now: datetime, keep_seconds: int, limit: int = 10_000) -> int:
    """Forget firings that were dealt with long ago; their runs and events stay. Returns how many."""
    old = Firing.objects.filter(
        status__in=(FiringStatus.OPENED, FiringStatus.REFUSED),
        fired_at__lt=now - timedelta(seconds=keep_seconds),
    )
    deleted, _ = Firing.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:limit])).delete()
    return deleted


def _count_waiting(jobs: Iterable[Job]) -> Counter[UUID]:
    waiting = Firing.objects.filter(job_id__in=[job.id for job in jobs], status__in=_WAITING)
    return Counter(waiting.values_list("job_id", flat=True))


def _lay_out(
    jobs: Sequence[Job], waiting: Mapping[UUID, int], now: datetime, until: datetime, patience: Patience
) -> tuple[list[tuple[Job, Fires]], list[tuple[Job, str]]]:
    laid: list[tuple[Job, Fires]] = []
    broken: list[tuple[Job, str]] = []
    for job in jobs:
        try:
            row = job.due
            if row.fires_left is not None:
                row = replace(row, fires_left=max(0, row.fires_left - waiting[job.id]))
            laid.append((job, due(row, now, patience, until)))
        except Exception as exc:
            _log.exception("a job's schedule cannot be read", job=job.wire_id)
            broken.append((job, f"{type(exc).__name__}: {exc}"[:200]))
    return laid, broken


def _ticks_of(job: Job, fires: Fires) -> list[Firing]:
    return [
        Firing(
            job=job,
            project_id=job.project_id,
            key=tick.key,
            kind=FiringKind.TIME,
            due_at=tick.due_at,
            evidence={"kind": "time", "due_at": format_instant(tick.due_at)},
        )
        for tick in fires.ticks
    ]


def _advance(job: Job, fires: Fires, waiting: int) -> list[EventDraft]:
    """Move a job past its ticks; where all that was left of it has been dropped, it is over."""
    if job.next_fire_at != fires.taken or job.status != JobStatus.ACTIVE:
        raise JobMoved(job=job.wire_id, taken=fires.taken, found=job.next_fire_at)
    job.next_fire_at = fires.next_fire_at
    event_type = "job.scheduled" if fires.ticks else "job.skipped"
    drafts = [draft_of(job, event_type, ("next_fire_at",), **facts_of(fires))]
    if fires.completed and not fires.ticks and not waiting:
        move(job, JobStatus.COMPLETED)
        drafts.append(draft_of(job, "job.completed", ("status", "next_fire_at")))
    return drafts


def _live_jobs(job_ids: Collection[UUID]) -> Iterable[Job]:
    live = Job.objects.filter(pk__in=job_ids, status__in=(JobStatus.ACTIVE, JobStatus.PAUSED))
    return live.only("pk", "status", "project_id")


def _fired(draft: FiringDraft, job: Job, now: datetime) -> Firing:
    is_paused = job.status == JobStatus.PAUSED
    return Firing(
        job_id=job.id,
        project_id=job.project_id,
        key=draft.key,
        kind=draft.kind,
        due_at=draft.due_at,
        status=FiringStatus.REFUSED if is_paused else FiringStatus.FIRED,
        evidence=dict(draft.evidence),
        fired_at=now,
        reason=JOB_PAUSED if is_paused else "",
    )


def _split(job: Job, firings: Sequence[Firing]) -> Taken:
    """What of a job's firings may open a run: none once it has ended, no more than it may still fire."""
    if job.status in (JobStatus.COMPLETED, JobStatus.DELETED, JobStatus.EXPIRED):
        reason = FIRES_USED_UP if job.status == JobStatus.COMPLETED else JOB_ENDED
        return Taken(job=job, firings=(), refused=tuple((firing, reason) for firing in firings))
    left = job.due.fires_left
    kept, surplus = (firings, ()) if left is None else (firings[:left], firings[left:])
    return Taken(job=job, firings=tuple(kept), refused=tuple((each, FIRES_USED_UP) for each in surplus))


def _without_waiting(jobs: Sequence[Job]) -> set[UUID]:
    """The jobs for which nothing waits but what is taken now: no tick to come."""
    pending = Firing.objects.filter(job_id__in=[job.id for job in jobs], status=FiringStatus.PENDING)
    return {job.id for job in jobs} - set(pending.values_list("job_id", flat=True))


def _opened(one: Taken, now: datetime, *, is_last: bool) -> list[EventDraft]:
    job = one.job
    if not one.firings:
        return []
    job.fire_count += len(one.firings)
    job.last_fired_at, job.last_refusal = now, None
    drafts = [draft_of(job, "job.fired", _OPENED_FIELDS, ticks=[firing.key for firing in one.firings])]
    return drafts + _completed(job, now, is_last=is_last)


def _unpaid(one: Taken, refusal: Refusal, now: datetime, *, is_last: bool) -> list[EventDraft]:
    job = one.job
    facts = {
        "reason": refusal.reason,
        "needed_units": str(refusal.needed_units),
        "available_units": str(refusal.available_units),
    }
    job.last_refusal = {**facts, "at": format_instant(now)}
    if is_last and job.status == JobStatus.ACTIVE:
        job.next_fire_at = next_after_refusal(job.due, now)
    ticks = [firing.key for firing in one.firings]
    drafts = [draft_of(job, "job.fire_refused", _OPENED_FIELDS, ticks=ticks, **facts)]
    return drafts + _completed(job, now, is_last=is_last)


def _completed(job: Job, now: datetime, *, is_last: bool) -> list[EventDraft]:
    is_timed = job.trigger_kind == TriggerKind.TIME
    if job.due.fires_left != 0 and not (is_timed and is_last and is_over(job.due, now)):
        return []
    firings_withdraw(job)
    move(job, JobStatus.COMPLETED)
    job.next_fire_at = None
    return [draft_of(job, "job.completed", ("status", "next_fire_at"))]


def _write_firings(taken: Sequence[Taken], unpaid: Sequence[tuple[Taken, Refusal]]) -> None:
    opened = [firing.id for one in taken for firing in one.firings]
    refused: dict[str, list[UUID]] = defaultdict(list)
    for one in (*taken, *(one for one, _ in unpaid)):
        for firing, reason in one.refused:
            refused[reason].append(firing.id)
    for one, refusal in unpaid:
        refused[refusal.reason] += [firing.id for firing in one.firings]
    Firing.objects.filter(pk__in=opened).update(status=FiringStatus.OPENED)
    for reason, ids in refused.items():
        Firing.objects.filter(pk__in=ids).update(status=FiringStatus.REFUSED, reason=reason)


def _patience() -> Patience:
    jobs = settings.FOREKEEP.jobs
    return Patience(grace_seconds=jobs.missed_grace_seconds, burst=jobs.fire_burst)

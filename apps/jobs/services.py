"""What is done to jobs: one use case in one transaction each, every change an event of its row."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q

from apps.accounts.errors import ProjectInactive
from apps.accounts.selectors import get_project
from apps.content.store import ContentStore
from apps.eventlog.data import EventDraft
from apps.eventlog.locking import lock_rows
from apps.eventlog.selectors import get_database_now
from apps.eventlog.services import rows_create, rows_write
from apps.jobs.domain.changes import merge_changes
from apps.jobs.domain.cost import Prices, estimate
from apps.jobs.domain.due import (
    Patience,
    before_expiry,
    due,
    due_by_hand,
    fire_after_pause,
    first_fire,
    is_exhausted,
    refused,
)
from apps.jobs.domain.instants import format_instant
from apps.jobs.domain.states import LIVE, JobStatus
from apps.jobs.domain.timing import check_expiry, start
from apps.jobs.domain.validation import Bounds, definition_from_json
from apps.jobs.domain.values import Fires, JobDefinition, Refusal
from apps.jobs.errors import JobEnded, JobMoved, MaxFiresInvalid
from apps.jobs.models import Job
from apps.jobs.selectors import get_definition, get_job
from apps.jobs.writing import (
    PUBLIC_FIELDS,
    columns_of,
    content_store,
    draft_of,
    facts_of,
    lock_job,
    move,
    require_drills_allowed,
    require_live,
    require_version,
    write_edit,
)
from apps.kernel.trace import current_trace

_FIRING_FIELDS: Final = ("status", "next_fire_at", "fire_count", "last_fired_at", "last_refusal")

_log = structlog.get_logger("forekeep.jobs")


def job_create(
    *,
    project_id: UUID,
    definition: JobDefinition,
    store: ContentStore,
    prices: Prices | None = None,
    gas_price_wei: int | None = None,
    created_by: str = "",
) -> Job:
    """Store the inline scripts, check that all content is there, and start the job.

    Raises ProjectUnknown, ProjectInactive, DrillNotAllowed, InputMissing, ExpiresInPast,
    InstantsInvalid, IntervalLongerThanLife, NeverFires, SecretInPayload, and what the store raises.
    """
    content_store(definition, store)
    with transaction.atomic():
        project = get_project(project_id)
        if not project.is_active:
            raise ProjectInactive()
        require_drills_allowed(definition, project)
        now = get_database_now()
        started = start(definition, now)
        job = Job(
            project=project,
            created_by=created_by,
            trace_id=current_trace().trace_id,
            created_at=now,
            updated_at=now,
            estimated_cost_units=_cost_of(started, prices, gas_price_wei),
            **columns_of(started),
        )
        job.next_fire_at = first_fire(job.due, now)
        rows_create([job], [draft_of(job, "job.created", PUBLIC_FIELDS)], now=now)
    return job


def job_update(
    *,
    job_id: UUID,
    changes: Mapping[str, Any],
    store: ContentStore,
    bounds: Bounds,
    project_ids: frozenset[UUID] | None = None,
    version: int | None = None,
    prices: Prices | None = None,
    gas_price_wei: int | None = None,
) -> Job:
    """Lay the changed fields over the job; what changes nothing writes nothing.

    A new schedule starts now; otherwise the next fire stays. `version` is the one the caller has seen.
    Raises JobNotFound, JobEnded, PreconditionFailed, MaxFiresInvalid, DrillNotAllowed, InputMissing and
    every coded error of a definition.
    """
    seen = get_job(job_id, project_ids)
    require_live(seen)
    before = get_definition(seen)
    after = definition_from_json(merge_changes(before.to_json(), changes), bounds)
    if after == before:
        require_version(seen, version)
        return seen
    content_store(after, store, known=before.content_ids())

    with transaction.atomic():
        job = lock_job(job_id, project_ids)
        require_live(job)
        require_version(job, version)
        # What was merged with has to be what is still there, also where the caller named no version.
        require_version(job, seen.version)
        if after.steps != before.steps:
            require_drills_allowed(after, job.project)
        now = get_database_now()
        started = start(after, now) if after.schedule != before.schedule else after
        if after.expires_at != before.expires_at:
            check_expiry(after.expires_at, now)
        for name, value in columns_of(started).items():
            setattr(job, name, value)
        if gas_price_wei is not None or after.steps != before.steps:
            job.estimated_cost_units = _cost_of(started, prices, gas_price_wei)
        job.next_fire_at = _next_after_edit(job, before, now)
        return write_edit(job, "job.updated", now)


def job_pause(*, job_id: UUID, project_ids: frozenset[UUID] | None = None, version: int | None = None) -> Job:
    """Hold the trigger; a paused job is left as it is. Raises JobNotFound, JobEnded, PreconditionFailed."""
    with transaction.atomic():
        job = lock_job(job_id, project_ids)
        require_version(job, version)
        require_live(job)
        if job.status == JobStatus.PAUSED:
            return job
        move(job, JobStatus.PAUSED)
        return write_edit(job, "job.paused", get_database_now())


def job_resume(
    *, job_id: UUID, project_ids: frozenset[UUID] | None = None, version: int | None = None
) -> Job:
    """Let the trigger go again; what the pause made it miss follows the job's policy.

    An active job is left as it is. A job whose schedule ran out meanwhile is completed. Raises
    JobNotFound, JobEnded (also where it has expired), PreconditionFailed.
    """
    with transaction.atomic():
        job = lock_job(job_id, project_ids)
        require_version(job, version)
        require_live(job)
        if job.status == JobStatus.ACTIVE:
            return job
        now = get_database_now()
        if job.expires_at is not None and job.expires_at <= now:
            raise JobEnded(status=str(JobStatus.EXPIRED))
        job.next_fire_at = fire_after_pause(job.due, now)
        ran_out = job.next_fire_at is None and is_exhausted(job.due, now)
        move(job, JobStatus.COMPLETED if ran_out else JobStatus.ACTIVE)
        return write_edit(job, "job.completed" if ran_out else "job.resumed", now)


def job_delete(
    *, job_id: UUID, project_ids: frozenset[UUID] | None = None, version: int | None = None
) -> Job:
    """End the job and take it out of lists; its history stays, and again is a no-op.

    Raises JobNotFound, PreconditionFailed.
    """
    with transaction.atomic():
        job = lock_job(job_id, project_ids)
        require_version(job, version)
        if job.status == JobStatus.DELETED:
            return job
        move(job, JobStatus.DELETED)
        job.next_fire_at = None
        return write_edit(job, "job.deleted", get_database_now())


def jobs_expire(*, now: datetime, limit: int = 500) -> int:
    """End the jobs whose life is over; returns how many.

    An active job with a tick due before its expiry is left to the firing stage first.
    """
    is_over = Q(expires_at__lte=now) & (
        Q(status=JobStatus.PAUSED)
        | Q(status=JobStatus.ACTIVE) & (Q(next_fire_at=None) | Q(next_fire_at__gte=F("expires_at")))
    )
    with transaction.atomic():
        jobs = lock_rows(Job.objects.filter(is_over), limit)
        for job in jobs:
            move(job, JobStatus.EXPIRED)
            job.next_fire_at = None
        fields = ("status", "next_fire_at")
        rows_write(jobs, fields, [draft_of(job, "job.expired", fields) for job in jobs], now=now)
    return len(jobs)


def jobs_reprice(*, now: datetime, prices: Prices, gas_price_wei: int | None, limit: int = 500) -> int:
    """Price the jobs that were created while no gas price was known; returns how many."""
    if gas_price_wei is None:
        return 0
    with transaction.atomic():
        jobs = lock_rows(Job.objects.filter(status__in=list(LIVE), estimated_cost_units=None), limit)
        for job in jobs:
            job.estimated_cost_units = _cost_of(get_definition(job), prices, gas_price_wei)
        fields = ("estimated_cost_units",)
        rows_write(jobs, fields, [draft_of(job, "job.priced", fields) for job in jobs], now=now)
    return len(jobs)


def jobs_take_due(
    *, now: datetime, limit: int, ids: Collection[UUID] | None = None, patience: Patience | None = None
) -> list[tuple[Job, Fires]]:
    """Lock active jobs whose next fire is due, and say what each fires now. In the caller's transaction.

    The caller opens the runs, one per tick (unique by job and tick key), and hands the list to
    `jobs_mark_fired`; a job may have nothing to fire and still has to be marked. `ids` narrows to some
    jobs. A job whose schedule cannot be read any more is paused here, with the reason, and does not
    hold up the others.
    """
    patience = patience or _patience()
    due_jobs = Job.objects.filter(status=JobStatus.ACTIVE, next_fire_at__lte=now)
    if ids is not None:
        due_jobs = due_jobs.filter(pk__in=ids)
    chosen = due_jobs.order_by("next_fire_at").values("pk")[:limit]
    taken: list[tuple[Job, Fires]] = []
    broken: list[tuple[Job, str]] = []
    for job in lock_rows(due_jobs.filter(pk__in=chosen)):
        try:
            taken.append((job, due(job.due, now, patience)))
        except Exception as exc:
            _log.exception("a job's schedule cannot be read", job=job.wire_id)
            broken.append((job, f"{type(exc).__name__}: {exc}"[:200]))

    for job, _ in broken:
        move(job, JobStatus.PAUSED)
    drafts = [draft_of(job, "job.paused", ("status",), reason=reason) for job, reason in broken]
    rows_write([job for job, _ in broken], ("status",), drafts, now=now)
    return taken


def job_take_by_hand(
    *, job_id: UUID, request_id: UUID, now: datetime, project_ids: frozenset[UUID] | None = None
) -> tuple[Job, Fires]:
    """Lock one job and say what a firing by name fires. In the caller's transaction, like `jobs_take_due`.

    A paused job may be run by name. Raises JobNotFound, JobEnded.
    """
    job = lock_job(job_id, project_ids)
    require_live(job)
    if job.expires_at is not None and job.expires_at <= now:
        raise JobEnded(status=str(JobStatus.EXPIRED))
    return job, due_by_hand(job.due, now, request_id)


def jobs_mark_fired(
    *,
    fired: Sequence[tuple[Job, Fires]],
    now: datetime,
    unpaid: Sequence[tuple[Job, Fires, Refusal]] = (),
) -> None:
    """Advance the taken jobs: next fire, counters, completion. In the transaction that opens their runs.

    The ticks of `unpaid` jobs opened none: they are lost, counted by nobody, and the job keeps why.
    Compare-and-set twice: the row must still stand where its fires were decided (JobMoved), and the
    write is refused where its event sequence has moved (RowsMoved).
    """
    drafts: list[EventDraft] = []
    for job, fires in fired:
        _advance(job, fires)
        if fires.ticks:
            job.last_fired_at, job.last_refusal = now, None
        event_type = "job.fired" if fires.ticks else "job.skipped"
        drafts += _drafts_of_firing(job, event_type, fires, facts_of(fires))
    for job, fires, refusal in unpaid:
        lost = refused(job.due, fires, now)
        _advance(job, lost)
        facts = {
            "reason": refusal.reason,
            "needed_units": str(refusal.needed_units),
            "available_units": str(refusal.available_units),
        }
        job.last_refusal = {**facts, "at": format_instant(now)}
        drafts += _drafts_of_firing(job, "job.fire_refused", lost, {**facts_of(lost), **facts})
    jobs = [*(job for job, _ in fired), *(job for job, _, _ in unpaid)]
    rows_write(jobs, _FIRING_FIELDS, drafts, now=now)


def _advance(job: Job, fires: Fires) -> None:
    if job.next_fire_at != fires.taken or job.status not in LIVE:
        raise JobMoved(job=job.wire_id, taken=fires.taken, found=job.next_fire_at)
    job.next_fire_at = fires.next_fire_at
    job.fire_count += fires.counted


def _drafts_of_firing(job: Job, event_type: str, fires: Fires, facts: dict[str, Any]) -> list[EventDraft]:
    """The firing's event and, where it was the last, the completion's; the row is moved with them."""
    drafts = [draft_of(job, event_type, _FIRING_FIELDS, **facts)]
    if fires.completed:
        move(job, JobStatus.COMPLETED)
        job.next_fire_at = None
        drafts.append(draft_of(job, "job.completed", ("status", "next_fire_at")))
    return drafts


def _next_after_edit(job: Job, before: JobDefinition, now: datetime) -> datetime | None:
    """The next fire of an edited job; `job` has the new fields and still the old next fire."""
    edited = job.due
    if edited.fires_left == 0:
        raise MaxFiresInvalid(
            pointer="/max_fires", reason="it has fired as often already", fired=job.fire_count
        )
    if edited.schedule != before.schedule or job.next_fire_at is None:
        return first_fire(edited, now)
    return before_expiry(edited, job.next_fire_at)


def _patience() -> Patience:
    jobs = settings.FOREKEEP.jobs
    return Patience(grace_seconds=jobs.missed_grace_seconds, burst=jobs.fire_burst)


def _cost_of(definition: JobDefinition, prices: Prices | None, gas_price_wei: int | None) -> int | None:
    if prices is None or gas_price_wei is None:
        return None
    return estimate(definition, gas_price_wei, prices).total_units

"""What is done to jobs: one use case in one transaction each, every change an event of its row."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q

from apps.accounts.errors import ProjectInactive
from apps.accounts.selectors import get_project
from apps.content.store import ContentStore
from apps.eventlog.data import EventDraft
from apps.eventlog.locking import lock_rows
from apps.eventlog.selectors import get_database_now
from apps.eventlog.services import rows_create, rows_write
from apps.jobs.domain.changes import merge_changes
from apps.jobs.domain.cost import Prices, estimate
from apps.jobs.domain.due import before_expiry, fire_after_pause, first_fire, is_exhausted
from apps.jobs.domain.states import LIVE, FiringStatus, JobStatus
from apps.jobs.domain.timing import check_expiry, start
from apps.jobs.domain.validation import Bounds, definition_from_json
from apps.jobs.domain.values import JobDefinition, TriggerKind
from apps.jobs.errors import JobEnded, MaxFiresInvalid
from apps.jobs.firings import firings_withdraw
from apps.jobs.models import Firing, Job
from apps.jobs.selectors import get_definition, get_job
from apps.jobs.writing import (
    PUBLIC_FIELDS,
    columns_of,
    content_store,
    draft_of,
    lock_job,
    move,
    require_drills_allowed,
    require_link,
    require_live,
    require_sources,
    require_version,
    write_edit,
)
from apps.kernel.trace import current_trace


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

    Raises ProjectUnknown, ProjectInactive, DrillNotAllowed, LinkUnknown, InputMissing, ExpiresInPast,
    InstantsInvalid, IntervalLongerThanLife, NeverFires, SecretInPayload, and what the store raises.
    """
    content_store(definition, store)
    with transaction.atomic():
        project = get_project(project_id)
        if not project.is_active:
            raise ProjectInactive()
        require_drills_allowed(definition, project)
        require_link(definition, project, None)
        require_sources(definition, project.id)
        now = get_database_now()
        started = start(definition, now)
        job = Job(
            project=project,
            created_by=created_by,
            trace_id=current_trace().trace_id,
            created_at=now,
            updated_at=now,
            armed_at=now,
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
    Raises JobNotFound, JobEnded, PreconditionFailed, MaxFiresInvalid, DrillNotAllowed, LinkUnknown,
    LinkCycle, InputMissing and every coded error of a definition.
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
        if after.link_job != before.link_job:
            require_link(after, job.project, job_id)
        if after.condition != before.condition:
            require_sources(after, job.project_id)
        now = get_database_now()
        firings_withdraw(job)
        started = start(after, now) if after.schedule != before.schedule else after
        if after.expires_at != before.expires_at:
            check_expiry(after.expires_at, now)
        if after.trigger != before.trigger:
            job.armed_at = now
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
        firings_withdraw(job)
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
        job.armed_at, job.failures_in_row = now, 0
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
        firings_withdraw(job)
        move(job, JobStatus.DELETED)
        job.next_fire_at = None
        return write_edit(job, "job.deleted", get_database_now())


def jobs_expire(*, now: datetime, limit: int = 500) -> int:
    """End the jobs whose life is over; returns how many.

    A job with a firing still to be opened, or a tick due before its expiry, is left to the stages first.
    """
    has_firings = Firing.objects.filter(
        job=OuterRef("pk"), status__in=(FiringStatus.PENDING, FiringStatus.FIRED)
    )
    is_over = Q(expires_at__lte=now) & (
        Q(status=JobStatus.PAUSED)
        | Q(status=JobStatus.ACTIVE) & (Q(next_fire_at=None) | Q(next_fire_at__gte=F("expires_at")))
    )
    with transaction.atomic():
        jobs = lock_rows(Job.objects.filter(is_over).exclude(Exists(has_firings)), limit)
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


def job_take_by_hand(*, job_id: UUID, now: datetime, project_ids: frozenset[UUID] | None = None) -> Job:
    """Lock a job that may be run by name, also while it is paused. In the caller's transaction, which opens
    the run and hands the job to `job_mark_by_hand`. Raises JobNotFound, JobEnded.
    """
    job = lock_job(job_id, project_ids)
    require_live(job)
    if job.expires_at is not None and job.expires_at <= now:
        raise JobEnded(status=str(JobStatus.EXPIRED))
    return job


def job_mark_by_hand(job: Job, *, tick_key: str, now: datetime) -> None:
    """Tell of a firing by name. It uses up one of a manual job's fires, and none of a trigger's."""
    fields = ("status", "next_fire_at", "fire_count", "last_fired_at", "last_refusal")
    is_counted = job.trigger_kind == TriggerKind.MANUAL
    job.fire_count += 1 if is_counted else 0
    job.last_fired_at, job.last_refusal = now, None
    drafts = [draft_of(job, "job.fired", fields, ticks=[tick_key])]
    if is_counted and job.due.fires_left == 0:
        move(job, JobStatus.COMPLETED)
        drafts.append(draft_of(job, "job.completed", ("status", "next_fire_at")))
    rows_write([job], fields, drafts, now=now)


def job_count_runs(job: Job, outcomes: Sequence[tuple[str, bool]]) -> list[EventDraft]:
    """Count ended runs (wire id, whether confirmed; in order) of a locked job; what is to be told of it.

    After `pause_after_failures` failures in a row an active job is paused, with the reason. The caller
    writes status, next fire and count together with these events; nothing changed gives none.
    """
    before, failed = job.failures_in_row, [run for run, is_confirmed in outcomes if not is_confirmed]
    for _, is_confirmed in outcomes:
        job.failures_in_row = 0 if is_confirmed else job.failures_in_row + 1
    if job.failures_in_row == before:
        return []
    facts = {"failed": failed[-10:]}
    if job.status != JobStatus.ACTIVE or job.failures_in_row < job.pause_after_failures:
        return [draft_of(job, "job.failures_counted", ("failures_in_row",), **facts)]
    firings_withdraw(job)
    move(job, JobStatus.PAUSED)
    fields = ("status", "next_fire_at", "failures_in_row")
    return [draft_of(job, "job.paused", fields, reason="failures_in_row", **facts)]


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


def _cost_of(definition: JobDefinition, prices: Prices | None, gas_price_wei: int | None) -> int | None:
    if prices is None or gas_price_wei is None:
        return None
    return estimate(definition, gas_price_wei, prices).total_units

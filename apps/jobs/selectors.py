"""Reading jobs."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from apps.jobs.domain.due import first_fire
from apps.jobs.domain.schedule import next_fires
from apps.jobs.domain.states import FiringStatus, JobStatus
from apps.jobs.domain.timing import anchored
from apps.jobs.domain.validation import Bounds, definition_from_json
from apps.jobs.domain.values import FORMAT, JobDefinition, Schedule
from apps.jobs.errors import JobNotFound
from apps.jobs.models import Firing, Job
from apps.kernel.ids import to_wire

#: what has been stored was checked when it came in; a limit lowered since does not make it unreadable
_STORED = Bounds(script_max_bytes=1 << 40, params_max_bytes=1 << 40, confirmations_max=1 << 20)


def get_jobs(
    project_ids: frozenset[UUID] | None,
    *,
    status: str | None = None,
    trigger_kind: str | None = None,
    search: str = "",
) -> "QuerySet[Job]":
    """The jobs of these projects, of all where None; deleted ones only where asked for by status."""
    jobs = Job.objects.all() if project_ids is None else Job.objects.filter(project_id__in=project_ids)
    jobs = jobs.exclude(status=JobStatus.DELETED) if status is None else jobs.filter(status=status)
    if trigger_kind is not None:
        jobs = jobs.filter(trigger_kind=trigger_kind)
    return jobs.filter(name__icontains=search) if search else jobs


def get_job(job_id: UUID, project_ids: frozenset[UUID] | None = None) -> Job:
    """One job among the visible ones, deleted or not; raise JobNotFound."""
    jobs = Job.objects.filter(pk=job_id)
    job = (jobs if project_ids is None else jobs.filter(project_id__in=project_ids)).first()
    if job is None:
        raise JobNotFound()
    return job


def get_definition(job: Job) -> JobDefinition:
    """The whole definition of a stored job."""
    if job.definition["format"] != FORMAT:
        raise ValueError(f"job {job.id} is stored in format {job.definition['format']}")
    return definition_from_json(
        {
            "name": job.name,
            "trigger_kind": job.trigger_kind,
            "schedule": job.schedule,
            "event": job.event,
            "condition": job.condition,
            "link_job": None if job.link_job_id is None else to_wire("job", job.link_job_id),
            "pause_after_failures": job.pause_after_failures,
            "missed_policy": job.missed_policy,
            "missed_limit": job.missed_limit,
            "recurring": job.recurring,
            "max_fires": job.max_fires,
            "expires_at": None if job.expires_at is None else job.expires_at.isoformat(),
            "speculation": job.speculation,
            "steps": job.definition["steps"],
        },
        _STORED,
    )


def preview(job: Job, count: int, now: datetime) -> tuple[datetime, ...]:
    """The job's next `count` fires if nothing about it changes, by the rule that fires them.

    A paused job is shown as if it were resumed now; an ended or manual one has none.
    """
    if job.status not in (JobStatus.ACTIVE, JobStatus.PAUSED) or job.schedule is None:
        return ()
    due = job.due
    pending = Firing.objects.filter(job=job, status=FiringStatus.PENDING).order_by("due_at")
    laid_out = tuple(pending.values_list("due_at", flat=True)[:count])
    first = job.next_fire_at if job.status == JobStatus.ACTIVE else first_fire(due, now)
    left = count if due.fires_left is None else min(count, due.fires_left)
    if due.schedule is None or first is None:
        return laid_out[:left]
    fires = (*laid_out, first, *next_fires(due.schedule, first, max(0, left - 1)))[:left]
    return tuple(each for each in fires if due.expires_at is None or each < due.expires_at)


def preview_schedule(schedule: Schedule, count: int, now: datetime) -> tuple[datetime, ...]:
    """The next `count` fires of a schedule that no job has yet, as if a job were created now."""
    return next_fires(anchored(schedule, now), now - timedelta(microseconds=1), count)


def check() -> Iterator[str]:
    """What should not be: active jobs that nothing will wake (invariant 18), one line each."""
    waiting = Firing.objects.filter(job=OuterRef("pk"), status__in=(FiringStatus.PENDING, FiringStatus.FIRED))
    live = Job.objects.filter(status=JobStatus.ACTIVE).exclude(Exists(waiting))
    asleep = live.filter(trigger_kind="time", next_fire_at__isnull=True, expires_at__isnull=True)
    for job in asleep.iterator():
        yield f"{job.wire_id} is active and never fires"
    spent = live.filter(
        Q(recurring=False, trigger_kind="manual", fire_count__gte=1) | Q(fire_count__gte=F("max_fires"))
    )
    for job in spent.iterator():
        yield f"{job.wire_id} has fired as often as it ever will and is active"

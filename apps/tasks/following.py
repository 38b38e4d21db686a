"""What an ended run means for its job: failures in a row, the pause after too many, the job it is linked to.

Each ended run is followed once; one that failed and is opened again is followed again at its next end.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.eventlog.data import EventDraft
from apps.eventlog.locking import lock_rows
from apps.eventlog.services import rows_write
from apps.jobs.data import FiringKind, JobStatus, link_tick_key
from apps.jobs.firings import FiringDraft, firings_add
from apps.jobs.models import Job
from apps.jobs.services import job_count_runs
from apps.kernel.ids import to_wire
from apps.kernel.outcome import Outcome
from apps.tasks.data import RunStatus
from apps.tasks.models import Run


def runs_follow(*, now: datetime, limit: int, ids: Sequence[UUID] | None = None) -> Outcome:
    """Count the runs that have ended since, pause jobs that fail again and again, fire linked jobs."""
    ended = Run.objects.filter(followed_at__isnull=True).exclude(status=RunStatus.OPEN)
    if ids is not None:
        ended = ended.filter(pk__in=ids)
    with transaction.atomic():
        wanted = set(ended.order_by("pk").values_list("job_id", flat=True)[:limit])
        if not wanted:
            return Outcome()
        jobs = {job.id: job for job in lock_rows(Job.objects.filter(pk__in=wanted))}
        runs = list(ended.filter(job_id__in=jobs).order_by("finished_at", "pk")[:limit])
        _count(jobs, runs, now)
        fired = firings_add([_link(jobs[run.job_id], run, now) for run in _linked(jobs, runs)], now=now)
        Run.objects.filter(pk__in=[run.id for run in runs]).update(followed_at=now)
    return Outcome(taken=len(runs), pokes=frozenset({"fire"}) if fired else frozenset())


def _count(jobs: dict[UUID, Job], runs: Sequence[Run], now: datetime) -> None:
    by_job: dict[UUID, list[Run]] = defaultdict(list)
    for run in runs:
        if run.status != RunStatus.CANCELLED:
            by_job[run.job_id].append(run)
    changed: list[Job] = []
    drafts: list[EventDraft] = []
    for job_id, ended in by_job.items():
        outcomes = [(to_wire("run", run.id), run.status == RunStatus.CONFIRMED) for run in ended]
        told = job_count_runs(jobs[job_id], outcomes)
        if told:
            changed.append(jobs[job_id])
            drafts += told
    rows_write(changed, ("status", "next_fire_at", "failures_in_row"), drafts, now=now)


def _linked(jobs: dict[UUID, Job], runs: Iterable[Run]) -> Iterable[Run]:
    """The confirmed runs whose job names another to fire; a deleted job fires none."""
    for run in runs:
        job = jobs[run.job_id]
        if run.status == RunStatus.CONFIRMED and job.link_job_id and job.status != JobStatus.DELETED:
            yield run


def _link(job: Job, run: Run, now: datetime) -> FiringDraft:
    evidence: dict[str, Any] = {
        "kind": "link",
        "job": to_wire("job", job.id),
        "run": to_wire("run", run.id),
    }
    assert job.link_job_id is not None
    return FiringDraft(
        job_id=job.link_job_id,
        key=link_tick_key(run.id),
        kind=FiringKind.LINK,
        due_at=run.finished_at or now,
        evidence=evidence,
    )

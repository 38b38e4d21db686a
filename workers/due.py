"""Which rows each stage would take now: what the sweep asks and what isolation walks through."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import Q

from apps.attestation.data import RoundStatus
from apps.attestation.models import Round
from apps.chains.data import OutboundStatus
from apps.chains.models import Outbound
from apps.chains.selectors import is_poll_due
from apps.execution.models import OPEN_STATUSES, Assignment
from apps.jobs.data import FiringStatus, JobStatus
from apps.jobs.models import Firing, Job
from apps.proofs.selectors import get_due_tasks as get_tasks_to_prove
from apps.rollback.selectors import get_due_failures
from apps.settlement.selectors import get_due_tasks as get_tasks_to_submit
from apps.settlement.selectors import get_ended_batches
from apps.tasks.data import RunStatus, TaskStatus
from apps.tasks.models import Run, Task

DueRows = Callable[[datetime, int], list[Any]]


def _tasks(*statuses: TaskStatus) -> DueRows:
    def due(now: datetime, limit: int) -> list[Any]:
        rows = Task.objects.filter(status__in=statuses, wake_at__lte=now, is_failing=False).order_by("pk")
        return list(rows.values_list("pk", flat=True)[:limit])

    return due


def _jobs_ahead(now: datetime, limit: int) -> list[Any]:
    """Jobs whose next tick nobody has laid out although less is left than a sweep may take."""
    jobs = settings.FOREKEEP.jobs
    margin = timedelta(seconds=max(1, jobs.look_ahead_seconds - jobs.sweep_seconds))
    rows = Job.objects.filter(status=JobStatus.ACTIVE, next_fire_at__lte=now + margin).order_by("pk")
    return list(rows.values_list("pk", flat=True)[:limit])


def _jobs_fired(now: datetime, limit: int) -> list[Any]:
    is_due = Q(status=FiringStatus.FIRED) | Q(status=FiringStatus.PENDING, due_at__lte=now)
    return list(Firing.objects.filter(is_due).values_list("job_id", flat=True).distinct()[:limit])


def _runs_ended(now: datetime, limit: int) -> list[Any]:
    ended = Run.objects.filter(followed_at__isnull=True).exclude(status=RunStatus.OPEN).order_by("pk")
    return list(ended.values_list("pk", flat=True)[:limit])


def _rounds(field: str) -> DueRows:
    def due(now: datetime, limit: int) -> list[Any]:
        rows = Round.objects.filter(Q(**{f"{field}__lte": now}), status=RoundStatus.OPEN).order_by("pk")
        return list(rows.values_list("pk", flat=True)[:limit])

    return due


def _leases(now: datetime, limit: int) -> list[Any]:
    rows = Assignment.objects.filter(status__in=OPEN_STATUSES, resend_at__lte=now).order_by("pk")
    return list(rows.values_list("pk", flat=True)[:limit])


def _outbounds(*statuses: OutboundStatus) -> DueRows:
    def due(now: datetime, limit: int) -> list[Any]:
        rows = Outbound.objects.filter(status__in=statuses, wake_at__lte=now).order_by("pk")
        return list(rows.values_list("pk", flat=True)[:limit])

    return due


def _batches(now: datetime, limit: int) -> list[Any]:
    """Batches whose transaction has ended; with `limit` 1, also whether the chain is to be looked at."""
    ended = get_ended_batches(limit=limit)
    return ended or ([None] if limit == 1 and is_poll_due(now) else [])


DUE: Final[Mapping[str, DueRows]] = {
    "schedule": _jobs_ahead,
    "fire": _jobs_fired,
    "admit": _tasks(TaskStatus.DISCOVERED, TaskStatus.WAITING),
    "assign": _tasks(TaskStatus.SCHEDULED),
    "attest": _tasks(TaskStatus.EXECUTED),
    "tally": _rounds("wake_at"),
    "prove": get_tasks_to_prove,
    "submit": get_tasks_to_submit,
    "broadcast": _outbounds(OutboundStatus.SIGNED),
    "confirm": _batches,
    "rollback": get_due_failures,
    "follow": _runs_ended,
    "leases": _leases,
    "rounds": _rounds("resend_at"),
}

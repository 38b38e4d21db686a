"""Reading leases."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Count

from apps.execution.data import AssignmentStatus
from apps.execution.domain.scoring import BACKLOG_SECONDS, compute_room, compute_window
from apps.execution.models import OPEN_STATUSES, Assignment
from apps.keepers.selectors import get_assignable_keepers
from apps.tasks.data import TaskStatus
from apps.tasks.models import Task


def count_open_leases() -> Counter[str]:
    """Keeper → open leases, in one query."""
    rows = Assignment.objects.filter(status__in=OPEN_STATUSES).values("keeper_id").annotate(n=Count("pk"))
    return Counter({row["keeper_id"]: row["n"] for row in rows.order_by()})


def get_backlogged_keepers(now: datetime) -> frozenset[str]:
    """Keepers with an offer they have not begun on for a while: their queue is long, or they are gone."""
    since = now - timedelta(seconds=BACKLOG_SECONDS)
    rows = Assignment.objects.filter(status=AssignmentStatus.OFFERED, offered_at__lt=since)
    return frozenset(rows.values_list("keeper_id", flat=True).distinct().order_by())


def get_failed_keepers(tasks: Sequence[Task]) -> Mapping[UUID, frozenset[str]]:
    """Task → the keepers whose lease on it failed or expired, in one query (none for first attempts)."""
    again = [task.id for task in tasks if task.epoch]
    found: defaultdict[UUID, set[str]] = defaultdict(set)
    if again:
        ended = [AssignmentStatus.FAILED, AssignmentStatus.EXPIRED, AssignmentStatus.RETURNED]
        rows = Assignment.objects.filter(task_id__in=again, status__in=ended)
        for task_id, keeper in rows.values_list("task_id", "keeper_id"):
            found[task_id].add(keeper)
    return {task_id: frozenset(keepers) for task_id, keepers in found.items()}


def get_held_tasks(tasks: Sequence[Task]) -> set[UUID]:
    """The tasks among these that a live lease holds."""
    again = [task.id for task in tasks if task.epoch]
    if not again:
        return set()
    live = Assignment.objects.filter(task_id__in=again, status__in=OPEN_STATUSES)
    return set(live.values_list("task_id", flat=True))


def is_assignment_due(now: datetime) -> bool:
    """Whether scheduled tasks wait, and a keeper has worked off half of what it may hold."""
    if not Task.objects.filter(status=TaskStatus.SCHEDULED, wake_at__lte=now).exists():
        return False
    open_leases, backlogged = count_open_leases(), get_backlogged_keepers(now)
    return any(
        2 * compute_room(keeper, open_leases[keeper.address]) >= compute_window(keeper)
        for keeper in get_assignable_keepers()
        if keeper.address not in backlogged
    )

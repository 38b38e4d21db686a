"""Reading rounds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db.models import Count

from apps.attestation.data import ItemVerdict, RoundStatus
from apps.attestation.models import Round, RoundItem
from apps.keepers.selectors import get_keepers
from apps.tasks.data import TaskStatus
from apps.tasks.models import Task


def count_open_rounds() -> Counter[str]:
    """Performer → open rounds, in one query."""
    rows = Round.objects.filter(status=RoundStatus.OPEN).values("performer").annotate(n=Count("pk"))
    return Counter({row["performer"]: row["n"] for row in rows.order_by()})


def count_waiting(now: datetime) -> Mapping[str, int]:
    """Performer → executed tasks that wait for a shared round, in one query."""
    rows = Task.objects.filter(status=TaskStatus.EXECUTED, wake_at__lte=now, is_solo=False)
    counted = rows.values("performer").annotate(n=Count("pk")).order_by()
    return {row["performer"]: row["n"] for row in counted}


def count_staked_keepers() -> int:
    """How many keepers the hub's registry may count as active, online or not."""
    return get_keepers().filter(stake_units__gt=0).count()


def get_tasks_in_rounds(tasks: Sequence[Task]) -> set[UUID]:
    """The tasks among these that an open round holds."""
    again = [task.id for task in tasks if task.rounds]
    if not again:
        return set()
    held = RoundItem.objects.filter(task_id__in=again, verdict=ItemVerdict.OPEN)
    return set(held.values_list("task_id", flat=True))


def is_attestation_due(now: datetime) -> bool:
    """Whether an executed task waits for a round."""
    return Task.objects.filter(status=TaskStatus.EXECUTED, wake_at__lte=now).exists()

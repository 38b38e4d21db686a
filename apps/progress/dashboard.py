"""What the admin's first page shows: the unfinished tasks of open runs by status, and what needs a look."""

from typing import Any, Final

from django.db.models import Count, Min
from django.http import HttpRequest
from django.urls import reverse

from apps.execution.models import OPEN_STATUSES, Assignment
from apps.keepers.models import Keeper
from apps.progress.domain.words import TASK_WORDS
from apps.rollback.data import LetterFilter
from apps.rollback.selectors import get_dead_letters
from apps.settlement.data import BatchStatus
from apps.settlement.models import Batch
from apps.speculation.selectors import get_units_at_risk
from apps.tasks.data import UNFINISHED, RunStatus, TaskStatus
from apps.tasks.models import Run, Task

_IN_ORDER: Final = tuple(status for status in TaskStatus if status in UNFINISHED)


def fill(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's dashboard callback: `queue`, one line per unfinished status, and `facts`. Eight queries."""
    tasks = reverse("admin:tasks_task_changelist")
    context["queue"] = [
        {
            "status": str(status),
            "symbol": TASK_WORDS[status][0],
            "meaning": TASK_WORDS[status][1],
            "runs": runs,
            "tasks": count,
            "oldest": oldest,
            "url": f"{tasks}?status__exact={status}",
        }
        for status, runs, count, oldest in _count_queue()
    ]
    runs = reverse("admin:tasks_run_changelist")
    context["facts"] = [
        {
            "name": "Open runs",
            "value": Run.objects.filter(status=RunStatus.OPEN).count(),
            "url": f"{runs}?status__exact=open",
        },
        {
            "name": "Open leases",
            "value": Assignment.objects.filter(status__in=OPEN_STATUSES).count(),
            "url": reverse("admin:execution_assignment_changelist"),
        },
        {
            "name": "Batches on their way",
            "value": Batch.objects.filter(status=BatchStatus.SUBMITTED).count(),
            "url": f"{reverse('admin:settlement_batch_changelist')}?status__exact=submitted",
        },
        {
            "name": "Tasks set aside",
            "value": Task.objects.filter(status__in=UNFINISHED, stage_errors__gt=0).count(),
            "url": tasks,
        },
        {
            "name": "Units at risk",
            "value": get_units_at_risk(),
            "url": "/rollbacks",
        },
        {
            "name": "Dead letters waiting",
            "value": get_dead_letters(None, LetterFilter(is_waiting=True)).count(),
            "url": "/dead-letters",
        },
        {
            "name": "Keepers online",
            "value": Keeper.objects.filter(online=True).count(),
            "url": "/keepers",
        },
    ]
    return context


def _count_queue() -> list[tuple[TaskStatus, int, int, Any]]:
    rows = (
        Task.objects.filter(status__in=UNFINISHED, run__status=RunStatus.OPEN)
        .values_list("status")
        .annotate(runs=Count("run_id", distinct=True), tasks=Count("pk"), oldest=Min("run__opened_at"))
        .order_by()
    )
    found = {status: (runs, tasks, oldest) for status, runs, tasks, oldest in rows}
    return [(status, *found.get(status, (0, 0, None))) for status in _IN_ORDER]

"""Reading commitments, decisions and the breaker."""

from datetime import datetime
from uuid import UUID

from django.db.models import Count, Q, Sum

from apps.speculation.data import CommitmentStatus
from apps.speculation.domain.breaker import (
    Breaker,
    BreakerStatus,
    BreakerTerms,
    Outcomes,
    compute_window_start,
)
from apps.speculation.domain.case import Check
from apps.speculation.models import OPEN_COMMITMENTS, Commitment, Decision
from apps.tasks.data import TaskStatus

#: refusals that something outside the run may cure
_CURED_OUTSIDE = (Check.BOND, Check.LEASE, Check.REPUTATION, Check.ROLLBACK_RATE)
#: tasks woken at once when stake or trials are free again
_WOKEN = 100


def count_outcomes(breaker: Breaker, *, now: datetime, terms: BreakerTerms) -> Outcomes:
    """How the commitments that count now fared: only those that ran ahead, in one query.

    Half-open, those opened since; else those ended in the window.
    """
    since = compute_window_start(breaker, now=now, terms=terms)
    ahead = Commitment.objects.exclude(depth=0)
    if breaker.status is BreakerStatus.HALF_OPEN:
        ahead = ahead.filter(opened_at__gte=since)
    else:
        ahead = ahead.filter(Q(ended_at__gte=since) | Q(opened_at__gte=since))
    ended = Q(ended_at__gte=since)
    undone = Q(status__in=(CommitmentStatus.FAILED, CommitmentStatus.ROLLED_BACK))
    counted = ahead.aggregate(
        opened=Count("pk", filter=Q(opened_at__gte=since)),
        ended=Count("pk", filter=ended),
        undone=Count("pk", filter=ended & undone),
    )
    return Outcomes(opened=counted["opened"], ended=counted["ended"], undone=counted["undone"])


def get_units_at_risk() -> int:
    """The bonds of all open commitments together."""
    open_rows = Commitment.objects.filter(status__in=OPEN_COMMITMENTS)
    return int(open_rows.aggregate(total=Sum("bond_units"))["total"] or 0)


def get_tasks_to_ask_again() -> list[UUID]:
    """Some tasks that wait for stake, reputation, the breaker or the backlog, oldest first."""
    backlog = Q(refusal=Check.ENABLED, content__checks__0__observed__switched_off_by="backlog")
    rows = Decision.objects.filter(
        Q(refusal__in=_CURED_OUTSIDE) | backlog,
        verdict="wait",
        task__status=TaskStatus.WAITING,
        task__is_failing=False,
    )
    return list(rows.order_by("task_id").values_list("task_id", flat=True)[:_WOKEN])

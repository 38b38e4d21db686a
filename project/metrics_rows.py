"""Gauges that rows know best: read when somebody scrapes, by any one process, and kept nowhere."""

from collections.abc import Iterator

import structlog
from django.db import DatabaseError
from django.db.models import Count
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from apps.proofs.selectors import count_unfinished
from apps.rollback.data import LetterFilter
from apps.rollback.selectors import get_dead_letters
from apps.speculation.models import OPEN_COMMITMENTS, Commitment
from apps.speculation.selectors import get_units_at_risk
from apps.tasks.data import UNFINISHED, TaskStatus
from apps.tasks.models import Task

_log = structlog.get_logger("forekeep.web")


class RowGauges(Collector):
    """What is going on now, in five queries; nothing where the database is away."""

    def collect(self) -> Iterator[Metric]:
        """The gauges as the rows stand."""
        try:
            yield from list(_read())
        except DatabaseError as exc:
            _log.warning("gauges cannot be read", error=type(exc).__name__)


def _read() -> Iterator[Metric]:
    waiting = GaugeMetricFamily("forekeep_tasks", "Unfinished tasks by status", labels=["status"])
    rows = Task.objects.filter(status__in=UNFINISHED).values_list("status").annotate(n=Count("pk"))
    counts = dict(rows.order_by())
    for status in TaskStatus:
        if status in UNFINISHED:
            waiting.add_metric([str(status)], counts.get(status, 0))
    yield waiting
    at_risk = get_units_at_risk()
    yield GaugeMetricFamily("forekeep_stake_at_risk_units", "Units bound to open commitments", value=at_risk)
    commitments = Commitment.objects.filter(status__in=OPEN_COMMITMENTS).count()
    yield GaugeMetricFamily("forekeep_commitments_open", "Commitments that have not ended", value=commitments)
    proofs = count_unfinished()
    yield GaugeMetricFamily("forekeep_proofs_unfinished", "Proofs that have not ended", value=proofs)
    letters = get_dead_letters(None, LetterFilter(is_waiting=True)).count()
    yield GaugeMetricFamily("forekeep_dead_letters_waiting", "Dead letters to be replayed", value=letters)

"""Webhooks and alerts: the doors of the queue `notices`, away from the stages.

Beat starts `sweep` each second; it collects what is new and sends what is due. Passes may run beside each
other: the rows are claimed. A slow receiver holds up one thread of this worker for at most one time-out.
"""

from typing import Final

from django.conf import settings

from apps.eventlog.selectors import get_database_now
from apps.notices.selectors import is_alert_due, is_collect_due, is_delivery_due
from apps.notices.services import (
    AppriseSender,
    alerts_purge,
    alerts_send,
    deliveries_purge,
    deliveries_send,
    notices_collect,
    webhook_sender,
)
from project.celery import app
from project.metrics import ALERTS, WEBHOOK_DELIVERIES

#: passes of one sweep; what is left is the next one's
_PASSES: Final = 20


@app.task(name="workers.notices.sweep", soft_time_limit=120, time_limit=180)
def sweep() -> None:
    """Collect what is new, then send what is due."""
    for _ in range(_PASSES):
        if not is_collect_due() or not notices_collect(now=get_database_now()):
            break
    webhooks()
    alerts()


def webhooks() -> None:
    """Send due deliveries, set after set."""
    for _ in range(_PASSES):
        if not is_delivery_due(get_database_now()):
            return
        told = deliveries_send(now=get_database_now(), sender=webhook_sender())
        for outcome, count in told.outcomes.items():
            WEBHOOK_DELIVERIES.labels(outcome=outcome).inc(count)
        if not told.taken:
            return


def alerts() -> None:
    """Send due alerts, set after set."""
    for _ in range(_PASSES):
        if not is_alert_due(get_database_now()):
            return
        told = alerts_send(now=get_database_now(), sender=AppriseSender())
        for outcome, count in told.outcomes.items():
            ALERTS.labels(outcome=outcome).inc(count)
        if not told.taken:
            return


@app.task(name="workers.notices.purge", soft_time_limit=60, time_limit=90)
def purge() -> None:
    """Forget deliveries and alerts whose time is over."""
    keep_days, now = settings.FOREKEEP.notices.keep_days, get_database_now()
    deliveries_purge(now=now, keep_days=keep_days)
    alerts_purge(now=now, keep_days=keep_days)

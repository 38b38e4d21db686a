"""Alerts on their way: claimed, handed to apprise outside of any transaction, written as they are taken.

At least once: a sender that is killed between the service's answer and its own note has the alert sent again.
"""

import random
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F

from apps.eventlog.locking import lock_rows
from apps.eventlog.selectors import get_database_now
from apps.kernel.errors import DomainError
from apps.notices.apprising import make_apprise
from apps.notices.collecting import TELEGRAM
from apps.notices.data import (
    ALERT_TABLE,
    OPEN_ALERTS,
    SEALED_AS,
    AlertSender,
    AlertStatus,
    OutgoingAlert,
    Told,
)
from apps.notices.domain.retrying import compute_wait
from apps.notices.domain.targets import MAIL, mail_url, telegram_url
from apps.notices.models import Alert, AlertTarget
from apps.vault.sealing import unseal

#: what apprise may take for one alert before another sender takes it up
_LEASE: Final = timedelta(seconds=120)
_AT_ONCE: Final = 8
_OPEN: Final = [str(status) for status in OPEN_ALERTS]
_ENDED: Final = [str(status) for status in AlertStatus if status not in OPEN_ALERTS]
_random: Final = random.Random(secrets.randbits(128))
_log: Final = structlog.get_logger("forekeep.notices")


class AppriseSender:
    """Hands alerts to apprise, a few at once. It says no more than whether the service took one."""

    def send(self, alerts: Sequence[OutgoingAlert]) -> Iterable[tuple[OutgoingAlert, str]]:
        """Every alert with the code of what went wrong, empty where nothing did."""
        if not alerts:
            return
        with ThreadPoolExecutor(min(_AT_ONCE, len(alerts)), thread_name_prefix="alert") as pool:
            under_way = {pool.submit(_notify, alert): alert for alert in alerts}
            for done in as_completed(under_way):
                yield under_way[done], done.result()


def alerts_send(*, now: datetime, sender: AlertSender, limit: int = 32) -> Told:
    """Send at most `limit` due alerts and write what came of each."""
    claimed, unusable = _claim(now, limit)
    outcomes: Counter[str] = Counter()
    for alert, error in unusable:
        outcomes[_record(alert, error, is_final=True)] += 1
    for alert, error in sender.send(claimed):
        outcomes[_record(alert, error)] += 1
    return Told(taken=len(claimed) + len(unusable), outcomes=outcomes)


def alerts_purge(*, now: datetime, keep_days: int, limit: int = 5_000) -> int:
    """Forget alerts that ended long ago; returns how many."""
    old = Alert.objects.filter(created_at__lt=now - timedelta(days=keep_days), status__in=_ENDED)
    ids = list(old.order_by("created_at").values_list("pk", flat=True)[:limit])
    return Alert.objects.filter(pk__in=ids).delete()[0]


def _claim(now: datetime, limit: int) -> tuple[list[OutgoingAlert], list[tuple[OutgoingAlert, str]]]:
    """Take due alerts; those that cannot be addressed come apart, with why."""
    due = Alert.objects.filter(next_at__lte=now, status__in=_OPEN)
    with transaction.atomic():
        chosen = due.order_by("next_at").values("pk")[:limit]
        rows = lock_rows(due.filter(pk__in=list(chosen.values_list("pk", flat=True))))
        targets = AlertTarget.objects.in_bulk([row.target_id for row in rows if row.target_id])
        off = [row.id for row in rows if row.target_id and not targets[row.target_id].is_active]
        Alert.objects.filter(pk__in=off).update(status=AlertStatus.CANCELLED.value, next_at=None)
        taken = [row for row in rows if row.id not in set(off)]
        for row in taken:
            _move(row, AlertStatus.SENDING)
        Alert.objects.filter(pk__in=[row.id for row in taken]).update(
            status=AlertStatus.SENDING.value, attempts=F("attempts") + 1, next_at=now + _LEASE
        )
    sendable, unusable = [], []
    for row in taken:
        url, error = _address(row, targets)
        outgoing = OutgoingAlert(
            alert=row.id, attempt=row.attempts + 1, title=row.title, body=row.body, url=url
        )
        if error:
            unusable.append((outgoing, error))
        else:
            sendable.append(outgoing)
    return sendable, unusable


def _address(row: Alert, targets: dict[object, AlertTarget]) -> tuple[str, str]:
    """Where an alert goes, or the code of why it cannot."""
    notices = settings.FOREKEEP.notices
    try:
        if row.target_id is None:
            if row.channel == TELEGRAM:
                token = notices.telegram_token
                return (telegram_url(token, row.receiver), "") if token else ("", "not_set_up")
            return (mail_url(notices.mail_url, row.receiver), "") if notices.mail_url else ("", "not_set_up")
        url = unseal(targets[row.target_id].url, SEALED_AS)
    except DomainError as exc:
        return "", exc.code
    if not url.startswith(f"{MAIL}:") or url.startswith(f"{MAIL}://"):
        return url, ""
    if not notices.mail_url:
        return "", "not_set_up"
    return mail_url(notices.mail_url, url.partition(":")[2]), ""


def _notify(alert: OutgoingAlert) -> str:
    try:
        carrier = make_apprise()
        if not carrier.add(alert.url):
            return "address_unreadable"
        return "" if carrier.notify(title=alert.title, body=alert.body) else "not_taken"
    except Exception as exc:
        # what apprise raises may hold the address, and that its token: its kind is all that is kept
        _log.warning("an alert could not be sent", error=type(exc).__name__)
        return "not_taken"


def _record(alert: OutgoingAlert, error: str, *, is_final: bool = False) -> str:
    """Write what came of one claim; returns the outcome's name."""
    most = settings.FOREKEEP.notices.attempts
    with transaction.atomic():
        now = get_database_now()
        rows = lock_rows(Alert.objects.filter(pk=alert.alert), skip_locked=False)
        if not rows or rows[0].status != AlertStatus.SENDING or rows[0].attempts != alert.attempt:
            return "late"
        row = rows[0]
        row.last_error, row.next_at = error, None
        if not error:
            row.status, row.sent_at = _move(row, AlertStatus.SENT), now
        elif is_final or row.attempts >= most:
            row.status = _move(row, AlertStatus.FAILED)
        else:
            row.status = _move(row, AlertStatus.PENDING)
            row.next_at = now + compute_wait(row.attempts, _random.random())
        row.save(update_fields=("status", "next_at", "last_error", "sent_at"))
        if row.target_id is not None:
            seen = {"last_error": error} if error else {"last_error": "", "last_sent_at": now}
            AlertTarget.objects.filter(pk=row.target_id).update(**seen)
        return "retried" if row.next_at is not None else str(row.status)


def _move(row: Alert, target: AlertStatus) -> AlertStatus:
    return ALERT_TABLE.move(id=str(row), current=AlertStatus(row.status), target=target)

"""Deliveries on their way: claimed in one transaction, sent outside of any, written as answers come.

A claim is a status, a number that only grows and a time by which it is over. Whoever is killed while sending
leaves a claim that lapses, and the message goes out again under the same id; what a slow sender then says of
the old claim goes into the log and changes nothing else.
"""

import random
import secrets as entropy
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Q, Window
from django.db.models.functions import RowNumber

from apps.eventlog.locking import lock_rows
from apps.eventlog.selectors import get_database_now
from apps.eventlog.services import rows_write
from apps.kernel.ids import new_id
from apps.notices.data import (
    DELIVERY_TABLE,
    OPEN,
    SEALED_AS,
    Answer,
    DeliveryStatus,
    Outgoing,
    Told,
    Verdict,
    WebhookSender,
)
from apps.notices.domain.retrying import LEASE_SLACK_SECONDS, is_failing_too_long, judge
from apps.notices.domain.signing import sign_headers
from apps.notices.models import Delivery, DeliveryAttempt, Endpoint
from apps.notices.writing import deliveries_cancel, endpoints_off
from apps.vault.sealing import unseal

#: how many requests one endpoint gets at once
AT_ONCE: Final = 4
_ANSWER_CHARACTERS: Final = 500
_OPEN: Final = [str(status) for status in OPEN]
_random: Final = random.Random(entropy.randbits(128))


def deliveries_send(*, now: datetime, sender: WebhookSender, limit: int = 64) -> Told:
    """Send at most `limit` due deliveries and write what came of each."""
    claimed = _claim(now, limit)
    outcomes: Counter[str] = Counter()
    for answered in sender.send(claimed):
        outcomes.update(_record(answered))
    return Told(taken=len(claimed), outcomes=outcomes)


def _claim(now: datetime, limit: int) -> list[Outgoing]:
    """Take due deliveries, at most `AT_ONCE` of an endpoint under way; one claimer per endpoint at a time."""
    notices = settings.FOREKEEP.notices
    lease = timedelta(seconds=notices.timeout_seconds + LEASE_SLACK_SECONDS)
    due = Delivery.objects.filter(next_at__lte=now, status__in=_OPEN)
    with transaction.atomic():
        with_work = Endpoint.objects.filter(pk__in=due.values("endpoint_id"))
        endpoints = {row.id: row for row in lock_rows(with_work)}
        off = [row.id for row in endpoints.values() if not row.is_active]
        if off:
            deliveries_cancel(off)
        chosen = _choose(due, [key for key in endpoints if key not in set(off)], now, limit)
        rows = lock_rows(due.filter(pk__in=chosen))
        spent = [row for row in rows if _tries(row) >= notices.attempts]
        _give_up(spent)
        taken = [row for row in rows if _tries(row) < notices.attempts]
        for row in taken:
            row.status = _move(row, DeliveryStatus.SENDING)
        Delivery.objects.filter(pk__in=[row.id for row in taken]).update(
            status=DeliveryStatus.SENDING.value, attempts=F("attempts") + 1, next_at=now + lease
        )
    return [_outgoing(row, endpoints[row.endpoint_id], now) for row in taken]


def _choose(due: Any, endpoint_ids: Sequence[UUID], now: datetime, limit: int) -> list[UUID]:
    """The longest due of each endpoint, as many as it has room for."""
    if not endpoint_ids:
        return []
    under_way = Delivery.objects.filter(
        endpoint_id__in=endpoint_ids, status=DeliveryStatus.SENDING.value, next_at__gt=now
    )
    busy = dict(under_way.values_list("endpoint_id").annotate(n=Count("pk")).order_by())
    place = Window(RowNumber(), partition_by=F("endpoint_id"), order_by=("next_at", "pk"))
    ranked = due.filter(endpoint_id__in=endpoint_ids).annotate(place=place).filter(place__lte=AT_ONCE)
    found = ranked.order_by("place", "next_at").values_list("pk", "endpoint_id", "place")
    fitting = [key for key, endpoint, rank in found if rank + busy.get(endpoint, 0) <= AT_ONCE]
    return fitting[:limit]


def _give_up(rows: Sequence[Delivery]) -> None:
    """A last try whose sender never came back: nothing more is tried by itself."""
    for row in rows:
        _move(row, DeliveryStatus.SENDING)
    Delivery.objects.filter(pk__in=[row.id for row in rows]).update(
        status=DeliveryStatus.FAILED.value, next_at=None, last_error="interrupted"
    )


def _outgoing(row: Delivery, endpoint: Endpoint, now: datetime) -> Outgoing:
    secrets = [unseal(endpoint.secret, SEALED_AS)]
    if endpoint.previous_secret and endpoint.previous_until and endpoint.previous_until > now:
        secrets.append(unseal(endpoint.previous_secret, SEALED_AS))
    signed = sign_headers(str(row), row.body, secrets, now)
    headers = {"Content-Type": "application/json", "User-Agent": "Forekeep-Webhooks/1", **signed}
    return Outgoing(
        delivery=row.id,
        attempt=row.attempts + 1,
        url=endpoint.url,
        body=row.body.encode(),
        headers=headers,
    )


def _record(answered: Sequence[tuple[Outgoing, Answer]]) -> Counter[str]:
    """Write what came of claims: the log, the deliveries, and how their endpoints are doing."""
    notices = settings.FOREKEEP.notices
    by_id = {outgoing.delivery: (outgoing, answer) for outgoing, answer in answered}
    outcomes: Counter[str] = Counter()
    with transaction.atomic():
        now = get_database_now()
        theirs = Delivery.objects.filter(pk__in=by_id).values("endpoint_id")
        endpoints = lock_rows(Endpoint.objects.filter(pk__in=theirs), skip_locked=False)
        rows = lock_rows(Delivery.objects.filter(pk__in=by_id), skip_locked=False)
        verdicts: dict[UUID, Verdict] = {}
        for row in rows:
            outgoing, answer = by_id[row.id]
            if row.status != DeliveryStatus.SENDING or row.attempts != outgoing.attempt:
                outcomes["late"] += 1
                continue
            verdict = judge(
                answer, tries=_tries(row), most=notices.attempts, fraction=_random.random(), now=now
            )
            verdicts[row.id] = verdict
            _apply(row, verdict, answer, now)
            outcomes[str(verdict.status) if verdict.next_at is None else "retried"] += 1
        _log(rows, by_id, now)
        _judge_endpoints(endpoints, rows, verdicts, now)
    return outcomes


def _apply(row: Delivery, verdict: Verdict, answer: Answer, now: datetime) -> None:
    row.status = _move(row, verdict.status)
    row.next_at, row.last_status, row.last_error = verdict.next_at, answer.status, verdict.error[:64]
    if verdict.status is DeliveryStatus.DELIVERED:
        row.delivered_at = now
    row.save(update_fields=("status", "next_at", "last_status", "last_error", "delivered_at"))


def _log(rows: Sequence[Delivery], by_id: Mapping[UUID, tuple[Outgoing, Answer]], now: datetime) -> None:
    tries = [
        DeliveryAttempt(
            id=new_id(),
            delivery_id=row.id,
            number=by_id[row.id][0].attempt,
            at=now - timedelta(milliseconds=by_id[row.id][1].took_ms),
            status=by_id[row.id][1].status,
            error=by_id[row.id][1].error[:64],
            took_ms=by_id[row.id][1].took_ms,
            answer=by_id[row.id][1].text[:_ANSWER_CHARACTERS].replace("\0", "\ufffd"),
        )
        for row in rows
    ]
    DeliveryAttempt.objects.bulk_create(tries, ignore_conflicts=True)


def _judge_endpoints(
    endpoints: Sequence[Endpoint], rows: Sequence[Delivery], verdicts: Mapping[UUID, Verdict], now: datetime
) -> None:
    """Remember since when an endpoint only fails; switch off one that is gone or has failed for days."""
    gone, failing = [], []
    for endpoint in endpoints:
        mine = [verdicts[row.id] for row in rows if row.endpoint_id == endpoint.id and row.id in verdicts]
        if not mine or not endpoint.is_active:
            continue
        is_well = any(verdict.status is DeliveryStatus.DELIVERED for verdict in mine)
        since = None if is_well else endpoint.failing_since or now
        if since != endpoint.failing_since:
            Endpoint.objects.filter(pk=endpoint.pk).update(failing_since=since)
            endpoint.failing_since = since
        if any(verdict.is_gone for verdict in mine):
            gone.append(endpoint)
        elif is_failing_too_long(since, now):
            failing.append(endpoint)
    drafts = [*endpoints_off(gone, "gone", now=now), *endpoints_off(failing, "failing", now=now)]
    rows_write([*gone, *failing], ("is_active", "disabled_reason", "failing_since"), drafts, now=now)


def deliveries_purge(*, now: datetime, keep_days: int, limit: int = 5_000) -> int:
    """Forget deliveries that ended long ago, their logs with them; returns how many."""
    old = Delivery.objects.filter(created_at__lt=now - timedelta(days=keep_days)).filter(~Q(status__in=_OPEN))
    ids = list(old.order_by("created_at").values_list("pk", flat=True)[:limit])
    DeliveryAttempt.objects.filter(delivery_id__in=ids).delete()
    return Delivery.objects.filter(pk__in=ids).delete()[0]


def _tries(row: Delivery) -> int:
    return row.attempts - row.attempts_before


def _move(row: Delivery, target: DeliveryStatus) -> DeliveryStatus:
    return DELIVERY_TABLE.move(id=str(row), current=DeliveryStatus(row.status), target=target)

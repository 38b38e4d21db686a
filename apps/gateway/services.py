"""Idempotency: the same key gets the same answer, however often and however concurrently it comes.

`idempotency_begin` commits a row that only one request can insert. The work and
`idempotency_finish` then share one transaction, so there is never work without its stored answer. A
request whose process died is taken over after `web.idempotency_in_flight_seconds` by compare-and-set
on its attempt; the dead one, should it still live, finds its attempt gone and rolls back.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from apps.gateway.data import IdempotentRequest, StoredAnswer
from apps.gateway.errors import IdempotencyInFlight, IdempotencyMismatch
from apps.gateway.models import IdempotencyRecord
from apps.kernel.ids import new_id


def idempotency_begin(
    *, request: IdempotentRequest, now: datetime, in_flight_seconds: int
) -> UUID | StoredAnswer:
    """Claim the key: the attempt to work under, or the answer that was given before.

    Raises IdempotencyMismatch for another body, IdempotencyInFlight while another request works.
    """
    attempt = new_id()
    if _insert(request, attempt, now):
        return attempt
    record = IdempotencyRecord.objects.filter(caller=request.caller, key=request.key).first()
    if record is None:
        raise IdempotencyInFlight(retry_after_seconds=1)
    if record.body_sha256 != request.body_sha256:
        raise IdempotencyMismatch()
    if record.status is not None:
        return StoredAnswer(
            status=record.status, body=record.body, location=record.location, etag=record.etag
        )
    left = record.started_at + timedelta(seconds=in_flight_seconds) - now
    if left > timedelta() or not _take_over(record, attempt, now):
        raise IdempotencyInFlight(retry_after_seconds=max(1, round(left.total_seconds())))
    return attempt


def idempotency_finish(*, request: IdempotentRequest, attempt: UUID, answer: StoredAnswer) -> None:
    """Store the answer; called in the transaction of the work it answers.

    Raises IdempotencyInFlight where the attempt was taken over: the work must roll back.
    """
    written = _records(request, attempt).update(
        status=answer.status, body=answer.body, location=answer.location, etag=answer.etag
    )
    if not written:
        raise IdempotencyInFlight(retry_after_seconds=1)


def idempotency_abandon(*, request: IdempotentRequest, attempt: UUID) -> None:
    """Free the key again: nothing was done under this attempt."""
    _records(request, attempt).delete()


def idempotency_purge(*, now: datetime, keep_seconds: int) -> int:
    """Delete answers older than `keep_seconds`; returns how many."""
    oldest = now - timedelta(seconds=keep_seconds)
    deleted, _ = IdempotencyRecord.objects.filter(started_at__lt=oldest).delete()
    return deleted


def _insert(request: IdempotentRequest, attempt: UUID, now: datetime) -> bool:
    try:
        with transaction.atomic():
            IdempotencyRecord.objects.create(
                caller=request.caller,
                key=request.key,
                body_sha256=request.body_sha256,
                attempt=attempt,
                started_at=now,
            )
    except IntegrityError:
        return False
    return True


def _take_over(record: IdempotencyRecord, attempt: UUID, now: datetime) -> bool:
    unfinished = IdempotencyRecord.objects.filter(pk=record.pk, attempt=record.attempt, status=None)
    return unfinished.update(attempt=attempt, started_at=now) == 1


def _records(request: IdempotentRequest, attempt: UUID) -> "QuerySet[IdempotencyRecord]":
    return IdempotencyRecord.objects.filter(
        caller=request.caller, key=request.key, attempt=attempt, status=None
    )

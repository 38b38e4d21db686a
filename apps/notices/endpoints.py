"""Webhooks: made, changed, given another secret, switched off, tried, replayed.

A secret is in the answer that makes it and sealed in the row; nobody reads it again.
"""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F

from apps.egress.guard import check_url
from apps.eventlog.locking import lock_rows
from apps.eventlog.selectors import get_database_now
from apps.eventlog.services import rows_create, rows_write
from apps.kernel.errors import DomainError
from apps.kernel.ids import new_id
from apps.kernel.trace import current_trace
from apps.notices.data import REPLAYABLE, SEALED_AS, DeliveryFilter, DeliveryStatus
from apps.notices.domain.event_types import TEST_TYPE, WEBHOOK_TYPES, require_types
from apps.notices.domain.payloads import trial_body
from apps.notices.domain.retrying import OLD_SECRET_LIVES
from apps.notices.domain.signing import SECRET_BYTES, make_secret
from apps.notices.errors import (
    DeliveryOpen,
    DeliveryUnknown,
    EndpointInactive,
    EndpointInvalid,
    EndpointsTooMany,
)
from apps.notices.models import ENDPOINT_FIELDS, Delivery, Endpoint
from apps.notices.selectors import choose_deliveries
from apps.notices.writing import (
    MOST,
    cursor_ensure,
    deliveries_cancel,
    draft_of,
    endpoints_off,
    lock_endpoint,
)
from apps.vault.sealing import seal

#: how many one call replays
REPLAY_MOST: Final = 500
_URL_MAX: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedSecret:
    """A webhook and the secret just made for it."""

    endpoint: Endpoint
    secret: str = field(repr=False)


def endpoint_create(
    *, project_id: UUID | None, url: str, description: str = "", event_types: Sequence[str] = ()
) -> IssuedSecret:
    """Make a webhook that is told of what happens from now on.

    Raises EndpointInvalid, EventTypeUnknown, EndpointsTooMany.
    """
    types = require_types(event_types, WEBHOOK_TYPES, "/event_types")
    secret = make_secret(secrets.token_bytes(SECRET_BYTES))
    with transaction.atomic():
        if Endpoint.objects.filter(project=project_id, deleted_at=None).count() >= MOST:
            raise EndpointsTooMany(most=MOST)
        now = get_database_now()
        row = Endpoint(
            id=new_id(),
            project_id=project_id,
            url=_require_url(url),
            description=description,
            secret=seal(secret, SEALED_AS),
            event_types=list(types),
            after_number=cursor_ensure(),
            created_at=now,
        )
        rows_create([row], [draft_of(row, "webhook.created", ENDPOINT_FIELDS, host=_host(row))], now=now)
    return IssuedSecret(endpoint=row, secret=secret)


def endpoint_update(
    *,
    endpoint_id: UUID,
    project_ids: Collection[UUID] | None = None,
    version: int | None = None,
    **wanted: Any,
) -> Endpoint:
    """Change `url`, `description`, `event_types` or `is_active`.

    Switching off ends what is still to be sent; it can be replayed. Switched on again it is told of what
    happens from then on. Raises EndpointUnknown, EndpointInvalid, EventTypeUnknown, PreconditionFailed.
    """
    with transaction.atomic():
        row = lock_endpoint(endpoint_id, project_ids, version)
        now = get_database_now()
        if "url" in wanted:
            row.url, row.failing_since = _require_url(wanted["url"]), None
        if "event_types" in wanted:
            row.event_types = list(require_types(wanted["event_types"], WEBHOOK_TYPES, "/event_types"))
        row.description = wanted.get("description", row.description)
        is_active = wanted.get("is_active", row.is_active)
        if is_active and not row.is_active:
            row.after_number, row.failing_since, row.disabled_reason = cursor_ensure(), None, ""
        if row.is_active and not is_active:
            row.disabled_reason = "by_hand"
            deliveries_cancel([row.id])
        row.is_active = is_active
        changed = ("description", "event_types", "is_active", "disabled_reason")
        drafts = [draft_of(row, "webhook.updated", changed, host=_host(row))]
        rows_write([row], (*changed, "url", "after_number", "failing_since"), drafts, now=now)
    return row


def endpoint_rotate_secret(*, endpoint_id: UUID, project_ids: Collection[UUID] | None = None) -> IssuedSecret:
    """Make another secret; both sign for 24 hours. Raises EndpointUnknown."""
    secret = make_secret(secrets.token_bytes(SECRET_BYTES))
    with transaction.atomic():
        row = lock_endpoint(endpoint_id, project_ids)
        now = get_database_now()
        row.previous_secret, row.previous_until = row.secret, now + OLD_SECRET_LIVES
        row.secret = seal(secret, SEALED_AS)
        fields = ("secret", "previous_secret", "previous_until")
        drafts = [draft_of(row, "webhook.key_rotated", (), old_until=row.previous_until)]
        rows_write([row], fields, drafts, now=now)
    return IssuedSecret(endpoint=row, secret=secret)


def endpoint_delete(
    *, endpoint_id: UUID, project_ids: Collection[UUID] | None = None, version: int | None = None
) -> None:
    """Take a webhook out; its log stays for its time. Raises EndpointUnknown, PreconditionFailed."""
    with transaction.atomic():
        row = lock_endpoint(endpoint_id, project_ids, version)
        now = get_database_now()
        row.is_active, row.deleted_at = False, now
        row.secret = row.previous_secret = ""
        deliveries_cancel([row.id])
        changed = ("is_active", "deleted_at")
        drafts = [draft_of(row, "webhook.deleted", changed)]
        rows_write([row], (*changed, "secret", "previous_secret"), drafts, now=now)


def endpoint_disable(*, endpoint_id: UUID, reason: str = "by_operator") -> Endpoint:
    """Switch a webhook off; again is a no-op. Raises EndpointUnknown."""
    with transaction.atomic():
        row = lock_endpoint(endpoint_id, None)
        if row.is_active:
            now = get_database_now()
            drafts = endpoints_off([row], reason, now=now)
            rows_write([row], ("is_active", "disabled_reason", "failing_since"), drafts, now=now)
    return row


def endpoint_test(*, endpoint_id: UUID, project_ids: Collection[UUID] | None = None) -> Delivery:
    """Have a `webhook.test` sent. Raises EndpointUnknown, EndpointInactive."""
    with transaction.atomic():
        row = lock_endpoint(endpoint_id, project_ids)
        _require_active(row)
        now, event_id = get_database_now(), new_id()
        return Delivery.objects.create(
            endpoint=row,
            event_id=event_id,
            event_type=TEST_TYPE,
            body=trial_body(row.id, event_id, now),
            next_at=now,
            created_at=now,
            trace_id=current_trace().trace_id,
        )


def delivery_replay(*, delivery_id: UUID, project_ids: Collection[UUID] | None = None) -> Delivery:
    """Send an ended delivery again under its old id, its tries counted afresh.

    Raises DeliveryUnknown, DeliveryOpen, EndpointInactive.
    """
    with transaction.atomic():
        found = Delivery.objects.filter(pk=delivery_id, endpoint__deleted_at=None)
        if project_ids is not None:
            found = found.filter(endpoint__project_id__in=project_ids)
        endpoint_id = found.values_list("endpoint_id", flat=True).first()
        if endpoint_id is None:
            raise DeliveryUnknown()
        _require_active(lock_endpoint(endpoint_id, project_ids))
        rows = lock_rows(Delivery.objects.filter(pk=delivery_id), skip_locked=False)
        if not rows:
            raise DeliveryUnknown()
        if rows[0].status not in REPLAYABLE:
            raise DeliveryOpen(status=rows[0].status)
        _replay([delivery_id])
    return Delivery.objects.get(pk=delivery_id)


def deliveries_replay(
    *,
    endpoint_id: UUID,
    chosen: DeliveryFilter,
    project_ids: Collection[UUID] | None = None,
    limit: int = REPLAY_MOST,
) -> int:
    """Send the ended deliveries that match again, oldest first; those that failed or were cancelled where no
    status is named. Returns how many. Raises EndpointUnknown, EndpointInactive.
    """
    with transaction.atomic():
        row = lock_endpoint(endpoint_id, project_ids)
        _require_active(row)
        words = [chosen.status] if chosen.status else [DeliveryStatus.FAILED, DeliveryStatus.CANCELLED]
        ended = [str(word) for word in words if word in REPLAYABLE]
        rows = choose_deliveries(Delivery.objects.filter(endpoint=row, status__in=ended), chosen)
        ids = list(rows.order_by("pk").values_list("pk", flat=True)[: min(limit, REPLAY_MOST)])
        return _replay(ids)


def _replay(ids: Sequence[UUID]) -> int:
    """Ended deliveries of a locked endpoint are pending again; what moved meanwhile is left alone."""
    ended = Delivery.objects.filter(pk__in=ids, status__in=[str(word) for word in REPLAYABLE])
    return ended.update(
        status=DeliveryStatus.PENDING.value,
        next_at=get_database_now(),
        attempts_before=F("attempts"),
        last_error="",
    )


def _require_active(row: Endpoint) -> None:
    if not row.is_active:
        raise EndpointInactive(reason=row.disabled_reason)


def _host(row: Endpoint) -> str:
    return urlsplit(row.url).hostname or ""


def _require_url(url: str) -> str:
    """The URL where the guarded client would ask it; raise EndpointInvalid."""
    try:
        check_url(url, settings.FOREKEEP.egress.allow)
    except DomainError as exc:
        reason = exc.fields.get("reason") or exc.title
        raise EndpointInvalid(pointer="/url", reason=reason) from None
    if len(url) > _URL_MAX or urlsplit(url).fragment:
        raise EndpointInvalid(pointer="/url", reason="a shorter URL without a fragment is expected")
    return url

"""How the rows of webhooks and targets are locked, told of and switched off."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import QuerySet

from apps.eventlog.data import EventDraft
from apps.eventlog.locking import lock_rows
from apps.eventlog.selectors import get_horizon
from apps.kernel.errors import PreconditionFailed
from apps.notices.data import OPEN, OPEN_ALERTS, AlertStatus, DeliveryStatus
from apps.notices.errors import EndpointUnknown, TargetUnknown
from apps.notices.models import Alert, AlertTarget, Delivery, Endpoint, NoticeCursor

M = TypeVar("M", Endpoint, AlertTarget)

#: how many of each a project may have
MOST = 50


def cursor_ensure() -> int:
    """Where reading stands; it begins with what happens from now on. Returns the store's horizon."""
    horizon = get_horizon()
    NoticeCursor.objects.get_or_create(pk=1, defaults={"sequence_number": horizon})
    return horizon


def lock_endpoint(
    endpoint_id: UUID, project_ids: Collection[UUID] | None, version: int | None = None
) -> Endpoint:
    """One webhook, locked. Raises EndpointUnknown, PreconditionFailed."""
    rows = Endpoint.objects.filter(pk=endpoint_id, deleted_at=None)
    found = lock_rows(_among(rows, project_ids), skip_locked=False)
    if not found:
        raise EndpointUnknown()
    _require_version(found[0], version)
    return found[0]


def lock_target(
    target_id: UUID, project_ids: Collection[UUID] | None, version: int | None = None
) -> AlertTarget:
    """One alert target, locked. Raises TargetUnknown, PreconditionFailed."""
    rows = AlertTarget.objects.filter(pk=target_id, deleted_at=None)
    found = lock_rows(_among(rows, project_ids), skip_locked=False)
    if not found:
        raise TargetUnknown()
    _require_version(found[0], version)
    return found[0]


def draft_of(row: Endpoint | AlertTarget, event: str, fields: Sequence[str], **facts: Any) -> EventDraft:
    """The event of a change of these columns."""
    payload = {"set": row.get_json_fields(fields), **facts}
    return EventDraft(row=row, type=event, payload=payload, project_id=row.project_id)


def deliveries_cancel(endpoint_ids: Collection[UUID]) -> int:
    """End what is still to be sent to endpoints that are off; returns how many."""
    rows = Delivery.objects.filter(endpoint_id__in=endpoint_ids, status__in=[str(word) for word in OPEN])
    return rows.update(status=DeliveryStatus.CANCELLED.value, next_at=None)


def alerts_cancel(target_ids: Collection[UUID]) -> int:
    """End what is still to be sent to targets that are off; returns how many."""
    rows = Alert.objects.filter(target_id__in=target_ids, status__in=[str(word) for word in OPEN_ALERTS])
    return rows.update(status=AlertStatus.CANCELLED.value, next_at=None)


def endpoints_off(rows: Sequence[Endpoint], reason: str, *, now: datetime) -> list[EventDraft]:
    """Switch locked endpoints off and end what is to be sent to them; the events, for the caller to write."""
    for row in rows:
        row.is_active, row.disabled_reason, row.failing_since = False, reason, None
    if rows:
        deliveries_cancel([row.id for row in rows])
    fields = ("is_active", "disabled_reason")
    return [draft_of(row, "webhook.disabled", fields, reason=reason) for row in rows]


def _among(rows: "QuerySet[M, M]", project_ids: Collection[UUID] | None) -> "QuerySet[M, M]":
    return rows if project_ids is None else rows.filter(project_id__in=project_ids)


def _require_version(row: Endpoint | AlertTarget, version: int | None) -> None:
    if version is not None and version != row.event_sequence:
        raise PreconditionFailed(expected=version, found=row.event_sequence)

"""Reading webhooks, their deliveries and alert targets; what there is to do now."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from apps.eventlog.selectors import get_horizon
from apps.notices.data import DeliveryFilter
from apps.notices.errors import DeliveryUnknown, EndpointUnknown, TargetUnknown
from apps.notices.models import Alert, AlertTarget, Delivery, Endpoint, NoticeCursor

Ids = Collection[UUID] | None


def get_endpoints(project_ids: Ids) -> QuerySet[Endpoint, Endpoint]:
    """The webhooks of these projects; None for all, the operator's own among them."""
    rows = Endpoint.objects.filter(deleted_at=None)
    return rows if project_ids is None else rows.filter(project_id__in=project_ids)


def get_endpoint(endpoint_id: UUID, project_ids: Ids) -> Endpoint:
    """One webhook; raise EndpointUnknown."""
    row = get_endpoints(project_ids).filter(pk=endpoint_id).first()
    if row is None:
        raise EndpointUnknown()
    return row


def get_deliveries(
    endpoint_id: UUID | None, project_ids: Ids, chosen: DeliveryFilter
) -> QuerySet[Delivery, Delivery]:
    """The deliveries of one webhook, or of all that are visible."""
    rows = Delivery.objects.filter(endpoint__deleted_at=None)
    if endpoint_id is not None:
        rows = rows.filter(endpoint_id=endpoint_id)
    if project_ids is not None:
        rows = rows.filter(endpoint__project_id__in=project_ids)
    if chosen.status is not None:
        rows = rows.filter(status=chosen.status)
    return choose_deliveries(rows, chosen)


def get_delivery(delivery_id: UUID, project_ids: Ids) -> Delivery:
    """One delivery; raise DeliveryUnknown."""
    row = get_deliveries(None, project_ids, DeliveryFilter()).filter(pk=delivery_id).first()
    if row is None:
        raise DeliveryUnknown()
    return row


def choose_deliveries(
    rows: QuerySet[Delivery, Delivery], chosen: DeliveryFilter
) -> QuerySet[Delivery, Delivery]:
    """Of a set of deliveries those with this type and of this time."""
    if chosen.event_type:
        rows = rows.filter(event_type=chosen.event_type)
    if chosen.since is not None:
        rows = rows.filter(created_at__gte=chosen.since)
    if chosen.until is not None:
        rows = rows.filter(created_at__lt=chosen.until)
    return rows


def get_targets(project_ids: Ids) -> QuerySet[AlertTarget, AlertTarget]:
    """The alert targets of these projects; None for all."""
    rows = AlertTarget.objects.filter(deleted_at=None)
    return rows if project_ids is None else rows.filter(project_id__in=project_ids)


def get_target(target_id: UUID, project_ids: Ids) -> AlertTarget:
    """One alert target; raise TargetUnknown."""
    row = get_targets(project_ids).filter(pk=target_id).first()
    if row is None:
        raise TargetUnknown()
    return row


def is_collect_due() -> bool:
    """Whether there are events nobody has looked at."""
    read = NoticeCursor.objects.filter(pk=1).values_list("sequence_number", flat=True).first()
    return read is None or get_horizon() > read


def is_delivery_due(now: datetime) -> bool:
    """Whether a delivery is to be sent now."""
    return Delivery.objects.filter(next_at__lte=now).exists()


def is_alert_due(now: datetime) -> bool:
    """Whether an alert is to be sent now."""
    return Alert.objects.filter(next_at__lte=now).exists()

"""Reading events. A reader that keeps the last number it got from `get_events` never misses one."""

from collections.abc import Sequence
from uuid import UUID

from django.db.models import QuerySet

from apps.eventlog.clock import get_database_now
from apps.eventlog.models import Event
from apps.eventlog.ordering import get_horizon
from apps.eventlog.verification import chain_verify

__all__ = ["chain_verify", "events_query", "get_database_now", "get_events", "get_horizon"]


def get_events(
    *,
    run_id: UUID | None = None,
    aggregate: tuple[str, str] | None = None,
    project_ids: Sequence[UUID] | None = None,
    event_type: str | None = None,
    trace_id: str | None = None,
    after: int = 0,
    limit: int = 500,
) -> list[Event]:
    """Events numbered above `after`, oldest first, at most `limit`; never one with a gap still open below.

    `aggregate` is (type, id) with the id as stored: a UUID's hex digits, or an address.
    """
    horizon = get_horizon()
    if horizon <= after:
        return []
    events = events_query(
        run_id=run_id,
        aggregate=aggregate,
        project_ids=project_ids,
        event_type=event_type,
        trace_id=trace_id,
    )
    events = events.filter(sequence_number__gt=after, sequence_number__lte=horizon)
    return list(events.order_by("sequence_number")[:limit])


def events_query(
    *,
    run_id: UUID | None = None,
    aggregate: tuple[str, str] | None = None,
    project_ids: Sequence[UUID] | None = None,
    event_type: str | None = None,
    trace_id: str | None = None,
) -> QuerySet[Event, Event]:
    """The events that match every filter given. For a stream use `get_events`: this knows no horizon."""
    events = Event.objects.all()
    if run_id is not None:
        events = events.filter(run_id=run_id)
    if aggregate is not None:
        events = events.filter(aggregate_type=aggregate[0], aggregate_id=aggregate[1])
    if project_ids is not None:
        events = events.filter(project_id__in=project_ids)
    if event_type is not None:
        events = events.filter(event_type=event_type)
    if trace_id is not None:
        events = events.filter(trace_id=trace_id)
    return events

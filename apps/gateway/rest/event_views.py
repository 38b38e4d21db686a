"""/events: the event store as its projects' members read it. Here because eventlog lies below the gateway."""

import re
from typing import Any, Final

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from apps.eventlog.models import Event
from apps.eventlog.selectors import events_query, get_horizon
from apps.gateway.errors import FilterInvalid
from apps.gateway.rest.permissions import scope
from apps.gateway.rest.schema import PROJECT
from apps.gateway.rest.scoping import get_project_ids
from apps.kernel.ids import from_wire, to_wire

_AGGREGATE: Final = re.compile(r"([a-z_]{1,32}):([A-Za-z0-9_.\-]{1,64})")
_TYPE: Final = re.compile(r"[a-z0-9_.]{1,64}")
_TRACE: Final = re.compile(r"[0-9a-f]{32}")
_NUMBER: Final = re.compile(r"[0-9]{1,18}")


class AggregateOut(serializers.Serializer[Any]):
    """What an event happened to, and the event's place in its chain."""

    type = serializers.CharField(source="aggregate_type", help_text="`job`, `run`, `task`, `keeper`, …")
    id = serializers.CharField(source="aggregate_id", help_text="32 hex digits, or a keeper's address")
    sequence = serializers.IntegerField(source="aggregate_sequence", help_text="From 1, without a gap")


class EventOut(serializers.ModelSerializer[Event]):
    """An event as it is shown: enough to check its hash chain and to replay it."""

    id = serializers.SerializerMethodField(help_text="`evt_…`")
    aggregate = AggregateOut(source="*", read_only=True)
    type = serializers.CharField(source="event_type", read_only=True)
    run = serializers.SerializerMethodField(help_text="`run_…` or null")
    project = serializers.SerializerMethodField(help_text="`proj_…` or null")

    class Meta:
        model = Event
        fields = (
            "id",
            "sequence_number",
            "aggregate",
            "type",
            "payload",
            "metadata",
            "run",
            "project",
            "trace_id",
            "span_id",
            "created_at",
            "previous_hash",
            "hash",
        )
        read_only_fields = fields

    def get_id(self, event: Event) -> str:
        """`evt_…`"""
        return to_wire("evt", event.event_id)

    def get_run(self, event: Event) -> str | None:
        """`run_…` or null"""
        return to_wire("run", event.run_id) if event.run_id else None

    def get_project(self, event: Event) -> str | None:
        """`proj_…` or null"""
        return to_wire("proj", event.project_id) if event.project_id else None


def _query(name: str, text: str, kind: Any = str, enum: list[str] | None = None) -> OpenApiParameter:
    return OpenApiParameter(name, kind, OpenApiParameter.QUERY, description=text, enum=enum)


class EventList(GenericAPIView[Event]):
    """The events of the caller's projects (of everything, for an operator)."""

    permission_classes = [scope("events:read")]
    serializer_class = EventOut

    @property
    def page_ordering(self) -> str:
        """Oldest first, as a stream is read; newest first with `order=desc`."""
        order = self.request.query_params.get("order", "asc")
        if order not in ("asc", "desc"):
            raise FilterInvalid(parameter="order", reason="asc or desc expected")
        return "pk" if order == "asc" else "-pk"

    @extend_schema(
        operation_id="events_list",
        responses=EventOut(many=True),
        parameters=[
            PROJECT,
            _query("run", "`run_…`"),
            _query("task", "`task_…`: short for `aggregate=task:…`"),
            _query("aggregate", "`<type>:<id>` as an event shows them, such as `keeper:0x…`"),
            _query("type", "Such as `task.confirmed`"),
            _query("trace", "A trace id, 32 hex digits"),
            _query("after", "Only events with a greater `sequence_number`", OpenApiTypes.INT64),
            _query("order", "Oldest (`asc`, the default) or newest (`desc`) first", enum=["asc", "desc"]),
        ],
    )
    def get(self, request: Request) -> Response:
        """List events by sequence number.

        Whoever asks again with `after` set to the last `sequence_number` it got never misses an event.
        """
        page = self.paginate_queryset(_filtered(request))
        return self.get_paginated_response(EventOut(page, many=True).data)


def _filtered(request: Request) -> QuerySet[Event, Event]:
    given = request.query_params
    project_ids = get_project_ids(request)
    events = events_query(
        run_id=from_wire("run", given["run"]) if given.get("run") else None,
        aggregate=_read_aggregate(request),
        project_ids=None if project_ids is None else sorted(project_ids),
        event_type=_read(request, "type", _TYPE, "letters, digits, _ and . expected"),
        trace_id=_read(request, "trace", _TRACE, "32 hex digits expected"),
    )
    after = _read(request, "after", _NUMBER, "a sequence number expected")
    return events.filter(sequence_number__gt=int(after or 0), sequence_number__lte=get_horizon())


def _read_aggregate(request: Request) -> tuple[str, str] | None:
    task, named = request.query_params.get("task"), request.query_params.get("aggregate")
    if task:
        return ("task", from_wire("task", task).hex)
    if not named:
        return None
    match = _AGGREGATE.fullmatch(named)
    if match is None:
        raise FilterInvalid(parameter="aggregate", reason="<type>:<id> expected")
    return (match[1], match[2])


def _read(request: Request, name: str, form: re.Pattern[str], reason: str) -> str | None:
    text = request.query_params.get(name)
    if not text:
        return None
    if form.fullmatch(text) is None:
        raise FilterInvalid(parameter=name, reason=reason)
    return text

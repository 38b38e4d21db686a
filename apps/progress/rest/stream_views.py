"""Server-sent events of one run, or of the caller's projects.

The door itself is an ordinary view, so that authentication, scopes and rate limits are those of every
other route; only the body is asynchronous and is sent by the server's event loop.
"""

import json
from typing import Any
from uuid import UUID

from django.conf import settings
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.eventlog.selectors import get_horizon
from apps.gateway.rest.authentication import caller_of
from apps.gateway.rest.permissions import scope
from apps.gateway.rest.schema import PROJECT
from apps.gateway.rest.scoping import get_project_ids
from apps.kernel.ids import from_wire
from apps.progress.rest.filters import read_position
from apps.progress.rest.forms import FrameOut
from apps.progress.selectors import get_run
from apps.progress.streams.response import EventStreamResponse
from apps.progress.streams.slots import SLOTS
from apps.progress.streams.tail import StreamScope
from apps.progress.streams.wire import stream_body
from apps.tasks.data import RunStatus

_POSITION = [
    OpenApiParameter("Last-Event-ID", int, OpenApiParameter.HEADER, description="the last `id` received"),
    OpenApiParameter("after", int, OpenApiParameter.QUERY, description="the same, for a first connection"),
]
_ANSWER = {(200, "text/event-stream"): FrameOut}


class EventStreamRenderer(BaseRenderer):
    """Lets a browser's `Accept: text/event-stream` in; only problems are rendered by it, as JSON."""

    media_type = "text/event-stream"
    format = "event-stream"
    charset = None

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        """A problem's JSON."""
        return json.dumps(data).encode()


class _Stream(APIView):
    """An endless answer."""

    renderer_classes = [EventStreamRenderer]

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """There is one form, whatever the caller accepts."""
        return super().perform_content_negotiation(request, force=True)

    def answer(
        self, request: Request, stream: StreamScope, *, after: int, is_run_ended: bool = False
    ) -> EventStreamResponse:
        """The stream; raise TooManyStreams."""
        slot = SLOTS.acquire(caller_of(request).id, limit=settings.FOREKEEP.progress.streams_per_caller)
        return EventStreamResponse(stream_body(stream, after=after, is_run_ended=is_run_ended, slot=slot))


class RunStream(_Stream):
    """One run, live."""

    permission_classes = [scope("runs:read")]

    @extend_schema(operation_id="runs_stream", parameters=_POSITION, responses=_ANSWER)
    def get(self, request: Request, run_id: str) -> EventStreamResponse:
        """The run's events as they happen, from its first or from a position; ends with the run."""
        run = get_run(from_wire("run", run_id), get_project_ids(request))
        return self.answer(
            request,
            StreamScope(run_id=run.id),
            after=read_position(request) or 0,
            is_run_ended=run.status != RunStatus.OPEN,
        )


class EventStream(_Stream):
    """The caller's projects, live."""

    permission_classes = [scope("events:read")]

    @extend_schema(operation_id="events_stream", parameters=[PROJECT, *_POSITION], responses=_ANSWER)
    def get(self, request: Request) -> EventStreamResponse:
        """The projects' events as they happen, from now or from a position."""
        project_ids: frozenset[UUID] | None = get_project_ids(request)
        after = read_position(request)
        return self.answer(
            request,
            StreamScope(project_ids=project_ids),
            after=get_horizon() if after is None else after,
        )

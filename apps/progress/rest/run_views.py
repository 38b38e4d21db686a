"""/runs: what fired, how far it is, and stopping it; /jobs/{id}/run-now, which opens one."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.eventlog.selectors import events_query, get_horizon
from apps.gateway.rest.authentication import caller_of
from apps.gateway.rest.event_views import EventOut
from apps.gateway.rest.filters import read_id, read_status
from apps.gateway.rest.idempotency import Idempotent
from apps.gateway.rest.permissions import scope
from apps.gateway.rest.schema import PROJECT
from apps.gateway.rest.scoping import get_project_ids
from apps.kernel.ids import from_wire, to_wire
from apps.progress.rest.forms import RunDetailOut, RunOut
from apps.progress.selectors import get_run, get_run_document, get_run_summaries, get_runs
from apps.rollback.services import run_cancel
from apps.tasks.data import RunStatus
from apps.tasks.models import Run
from apps.tasks.services import run_now

_JOB = OpenApiParameter("job", str, OpenApiParameter.QUERY, description="`job_…`")
_STATUS = OpenApiParameter("status", str, OpenApiParameter.QUERY, enum=[str(each) for each in RunStatus])


class RunList(GenericAPIView[Run]):
    """The caller's runs."""

    permission_classes = [scope("runs:read")]
    serializer_class = RunOut

    @extend_schema(operation_id="runs_list", parameters=[PROJECT, _JOB, _STATUS], responses=RunOut(many=True))
    def get(self, request: Request) -> Response:
        """List runs, newest first."""
        runs = get_runs(
            get_project_ids(request),
            job_id=read_id(request, "job", "job"),
            status=read_status(request, "status", RunStatus),
        )
        return self.get_paginated_response(get_run_summaries(self.paginate_queryset(runs) or []))


class RunDetail(APIView):
    """One run."""

    permission_classes = [scope("runs:read")]

    @extend_schema(operation_id="runs_retrieve", responses=RunDetailOut)
    def get(self, request: Request, run_id: str) -> Response:
        """Show a run with all its tasks: leases, votes, settlements, times."""
        return Response(get_run_document(from_wire("run", run_id), get_project_ids(request)))


class RunEvents(GenericAPIView[Any]):
    """What happened in one run."""

    permission_classes = [scope("runs:read")]
    serializer_class = EventOut
    page_ordering = "pk"

    @extend_schema(operation_id="runs_events", responses=EventOut(many=True))
    def get(self, request: Request, run_id: str) -> Response:
        """List the run's events, oldest first."""
        run = get_run(from_wire("run", run_id), get_project_ids(request))
        events = events_query(run_id=run.id).filter(sequence_number__lte=get_horizon())
        page = self.paginate_queryset(events)
        return self.get_paginated_response(EventOut(page, many=True).data)


class RunCancel(Idempotent, APIView):
    """Stopping a run."""

    permission_classes = [scope("runs:write")]

    @extend_schema(operation_id="runs_cancel", request=None, responses={202: RunOut})
    def post(self, request: Request, run_id: str) -> Response:
        """Stop what has not reached its settlement; what has goes on to its end."""
        run = run_cancel(
            run_id=from_wire("run", run_id),
            project_ids=_listed(request),
            actor=caller_of(request).name,
        )
        return _accepted(run, request)


class JobRunNow(Idempotent, APIView):
    """Starting a job by hand."""

    permission_classes = [scope("runs:write")]

    @extend_schema(operation_id="jobs_run_now", request=None, responses={202: RunOut})
    def post(self, request: Request, job_id: str) -> Response:
        """Open a run of the job at once; its own schedule is not touched."""
        return _accepted(run_now(job_id=from_wire("job", job_id), project_ids=_listed(request)), request)


def _listed(request: Request) -> list[Any] | None:
    project_ids = get_project_ids(request)
    return None if project_ids is None else sorted(project_ids)


def _accepted(run: Run, request: Request) -> Response:
    seen = get_run(run.id, get_project_ids(request))
    body = get_run_summaries([seen])[0]
    location = f"/api/v1/runs/{to_wire('run', run.id)}"
    return Response(body, status=status.HTTP_202_ACCEPTED, headers={"Location": location})

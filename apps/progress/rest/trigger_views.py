"""/jobs/{id}/dry-run, /jobs/dry-run, /jobs/{id}/why and /jobs/{id}/firings."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.gateway.rest.filters import read_status
from apps.gateway.rest.permissions import scope
from apps.gateway.rest.scoping import get_project, get_project_ids
from apps.jobs.data import FiringStatus, definition_from_json
from apps.jobs.models import Job
from apps.jobs.rest.examples import CREATE
from apps.jobs.rest.serializers import JobCreateBody
from apps.jobs.selectors import get_job
from apps.jobs.terms import get_bounds, get_store
from apps.kernel.ids import from_wire
from apps.kernel.reading import FieldInvalid
from apps.progress.dry_run import dry_run_body, dry_run_job
from apps.progress.rest.trigger_forms import DryRunOut, FiringOut, WhyOut
from apps.progress.why import firing_documents, get_firings, get_why

_STATUS = OpenApiParameter("status", str, OpenApiParameter.QUERY, enum=[str(each) for each in FiringStatus])


class JobDryRun(APIView):
    """A job, tried without firing it."""

    permission_classes = [scope("jobs:read")]

    @extend_schema(operation_id="jobs_dry_run", request=None, responses=DryRunOut)
    def post(self, request: Request, job_id: str) -> Response:
        """Tell what the job would do if it fired now; nothing is stored or sent."""
        return Response(dry_run_job(_visible(request, job_id)))


class BodyDryRun(APIView):
    """A job that does not exist, tried."""

    permission_classes = [scope("jobs:write")]

    @extend_schema(
        operation_id="jobs_dry_run_body", request=JobCreateBody, responses=DryRunOut, examples=CREATE
    )
    def post(self, request: Request) -> Response:
        """Check a job as creating it would, and tell what it would do; nothing is stored."""
        if not isinstance(request.data, dict):
            raise FieldInvalid(pointer="", reason="an object is expected")
        project = get_project(request)
        body = {name: value for name, value in request.data.items() if name != "project"}
        definition = definition_from_json(body, get_bounds())
        return Response(dry_run_body(project_id=project.id, definition=definition, store=get_store()))


class JobWhy(APIView):
    """Why a job did not fire."""

    permission_classes = [scope("jobs:read")]

    @extend_schema(operation_id="jobs_why", responses=WhyOut)
    def get(self, request: Request, job_id: str) -> Response:
        """Tell why the job did not fire, or what its trigger saw."""
        return Response(get_why(_visible(request, job_id)))


class JobFirings(GenericAPIView[Any]):
    """What fired, and what came of it."""

    permission_classes = [scope("jobs:read")]
    serializer_class = FiringOut

    @extend_schema(operation_id="jobs_firings", parameters=[_STATUS], responses=FiringOut(many=True))
    def get(self, request: Request, job_id: str) -> Response:
        """List the job's firings, newest first."""
        firings = get_firings(_visible(request, job_id), status=read_status(request, "status", FiringStatus))
        return self.get_paginated_response(firing_documents(self.paginate_queryset(firings) or []))


def _visible(request: Request, job_id: str) -> Job:
    return get_job(from_wire("job", job_id), get_project_ids(request))

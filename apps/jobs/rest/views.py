"""/jobs: create, list, show, change, pause, resume, delete, preview, estimate."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from apps.eventlog.selectors import get_database_now
from apps.gateway.rest.authentication import caller_of
from apps.gateway.rest.etags import etag_of, read_match, require_match
from apps.gateway.rest.idempotency import Idempotent
from apps.gateway.rest.permissions import scope, scopes
from apps.gateway.rest.schema import IF_MATCH, PROJECT
from apps.gateway.rest.scoping import get_project, get_project_ids
from apps.jobs.domain.cost import estimate
from apps.jobs.domain.schedule import get_zone
from apps.jobs.domain.states import JobStatus
from apps.jobs.domain.timing import schedule_from_json
from apps.jobs.domain.validation import definition_from_json
from apps.jobs.domain.values import CronSchedule, TriggerKind
from apps.jobs.errors import (
    ZoneUnknown,
)
from apps.jobs.models import Job
from apps.jobs.rest.examples import CHANGE, CREATE, FIRES, PREVIEW
from apps.jobs.rest.serializers import (
    EstimateOut,
    JobChangeBody,
    JobCreateBody,
    JobOut,
    JobRow,
    PreviewBody,
    PreviewOut,
    SchedulePreviewBody,
)
from apps.jobs.selectors import get_definition, get_job, get_jobs, preview, preview_schedule
from apps.jobs.services import job_create, job_delete, job_pause, job_resume, job_update
from apps.jobs.terms import get_bounds, get_gas_price_wei, get_prices, get_store
from apps.kernel.ids import from_wire
from apps.kernel.reading import FieldInvalid, Reading, placed

_COUNT_MAX: Final = 100
_ORDERINGS: Final = {"created_at": "pk", "-created_at": "-pk"}
_FILTERS: Final = [
    PROJECT,
    OpenApiParameter(
        "status", str, enum=[str(each) for each in JobStatus], description="deleted ones only so"
    ),
    OpenApiParameter("trigger_kind", str, enum=[str(each) for each in TriggerKind]),
    OpenApiParameter("search", str, description="a part of the name, whatever its case"),
    OpenApiParameter("ordering", str, enum=sorted(_ORDERINGS), description="newest first if absent"),
]


class JobList(Idempotent, GenericAPIView[Job]):
    """The caller's jobs."""

    permission_classes = [scopes("jobs:read", "jobs:write")]
    serializer_class = JobRow

    @extend_schema(operation_id="jobs_list", parameters=_FILTERS, responses=JobRow(many=True))
    def get(self, request: Request) -> Response:
        """List jobs, newest first. Deleted ones are left out unless `status=deleted` asks for them."""
        wanted = request.query_params
        jobs = get_jobs(
            get_project_ids(request),
            status=_one_of(request, "status", JobStatus),
            trigger_kind=_one_of(request, "trigger_kind", TriggerKind),
            search=wanted.get("search", "").replace("\0", ""),
        )
        self.page_ordering = _ORDERINGS[_one_of(request, "ordering", _ORDERINGS) or "-created_at"]
        page = self.paginate_queryset(jobs.defer("definition"))
        return self.get_paginated_response(JobRow(page, many=True).data)

    @extend_schema(
        operation_id="jobs_create", request=JobCreateBody, responses={201: JobOut}, examples=CREATE
    )
    def post(self, request: Request) -> Response:
        """Create a job. A script given as `script_source` is stored and kept by its CID.

        The job is active at once: its first fire is in `next_fire_at`. Inputs are uploaded to
        `/content` first and named by CID.
        """
        project = get_project(request)
        body = {name: value for name, value in _body(request).items() if name != "project"}
        job = job_create(
            project_id=project.id,
            definition=definition_from_json(body, get_bounds()),
            store=get_store(),
            prices=get_prices(),
            gas_price_wei=get_gas_price_wei(),
            created_by=caller_of(request).id,
        )
        return _answer(job, status.HTTP_201_CREATED, location=f"/api/v1/jobs/{job.wire_id}")


class JobAlias(JobList):
    """The path the seeds name."""

    http_method_names = ["post", "options"]

    @extend_schema(
        operation_id="jobs_create_alias", request=JobCreateBody, responses={201: JobOut}, examples=CREATE
    )
    def post(self, request: Request) -> Response:
        """The same as `POST /api/v1/jobs`."""
        return super().post(request)


class JobDetail(GenericAPIView[Job]):
    """One job."""

    permission_classes = [scopes("jobs:read", "jobs:write")]
    serializer_class = JobOut

    @extend_schema(operation_id="jobs_retrieve", responses=JobOut)
    def get(self, request: Request, job_id: str) -> Response:
        """Show one job with its steps; also a deleted one."""
        return _answer(_visible(request, job_id))

    @extend_schema(
        operation_id="jobs_update",
        request=JobChangeBody,
        responses=JobOut,
        parameters=[IF_MATCH],
        examples=CHANGE,
    )
    def patch(self, request: Request, job_id: str) -> Response:
        """Change what is named; a null goes back to the default, `steps` are replaced as a whole.

        A changed schedule starts anew; otherwise the next fire stays where it is.
        """
        job = _visible(request, job_id)
        edited = job_update(
            job_id=job.id,
            changes=_body(request),
            store=get_store(),
            bounds=get_bounds(),
            project_ids=get_project_ids(request),
            version=require_match(request, job),
            prices=get_prices(),
            gas_price_wei=get_gas_price_wei(),
        )
        return _answer(edited)

    @extend_schema(operation_id="jobs_delete", responses={204: None}, parameters=[IF_MATCH])
    def delete(self, request: Request, job_id: str) -> Response:
        """End the job. Its runs and events stay; deleting it again changes nothing."""
        job_delete(job_id=_id(job_id), project_ids=get_project_ids(request), version=read_match(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


class JobPause(GenericAPIView[Job]):
    """The trigger, held."""

    permission_classes = [scope("jobs:write")]
    serializer_class = JobOut

    @extend_schema(operation_id="jobs_pause", request=None, responses=JobOut, parameters=[IF_MATCH])
    def post(self, request: Request, job_id: str) -> Response:
        """Pause the job: its trigger fires nothing until it is resumed. Again changes nothing."""
        project_ids = get_project_ids(request)
        return _answer(job_pause(job_id=_id(job_id), project_ids=project_ids, version=read_match(request)))


class JobResume(GenericAPIView[Job]):
    """The trigger, let go."""

    permission_classes = [scope("jobs:write")]
    serializer_class = JobOut

    @extend_schema(operation_id="jobs_resume", request=None, responses=JobOut, parameters=[IF_MATCH])
    def post(self, request: Request, job_id: str) -> Response:
        """Resume a paused job. What the pause made it miss follows its `missed_policy`."""
        project_ids = get_project_ids(request)
        return _answer(job_resume(job_id=_id(job_id), project_ids=project_ids, version=read_match(request)))


class JobPreview(GenericAPIView[Job]):
    """The next fires of a job."""

    permission_classes = [scope("jobs:read")]
    serializer_class = PreviewOut

    @extend_schema(operation_id="jobs_preview", request=PreviewBody, responses=PreviewOut, examples=FIRES)
    def post(self, request: Request, job_id: str) -> Response:
        """The next `count` fires if nothing about the job changes, by the rule that will fire them."""
        reading = Reading(_body(request), "", {"count", "zone"})
        job = _visible(request, job_id)
        fires = preview(job, _count(reading), get_database_now())
        return _fires(reading, fires, get_definition(job).schedule)


class SchedulePreview(GenericAPIView[Job]):
    """The next fires of a schedule that no job has yet."""

    permission_classes = [scope("jobs:read")]
    serializer_class = PreviewOut

    @extend_schema(
        operation_id="jobs_preview_schedule",
        request=SchedulePreviewBody,
        responses=PreviewOut,
        examples=PREVIEW,
    )
    def post(self, request: Request) -> Response:
        """The next `count` fires of a schedule, in UTC and in its zone, were a job created with it now."""
        reading = Reading(_body(request), "", {"schedule", "count", "zone"})
        schedule = schedule_from_json(reading.require("schedule"))
        return _fires(reading, preview_schedule(schedule, _count(reading), get_database_now()), schedule)


class JobEstimate(GenericAPIView[Job]):
    """The price of a job that does not exist yet."""

    permission_classes = [scope("jobs:read")]
    serializer_class = EstimateOut

    @extend_schema(
        operation_id="jobs_estimate", request=JobCreateBody, responses=EstimateOut, examples=CREATE
    )
    def post(self, request: Request) -> Response:
        """What one run would cost at most, at the gas price of now.

        Fee = (off-chain part + execution gas + settlement gas share) × 1.2. 409 `price_unknown` where
        the chain names no price. Nothing is stored.
        """
        body = {name: value for name, value in _body(request).items() if name != "project"}
        found = estimate(definition_from_json(body, get_bounds()), get_gas_price_wei(), get_prices())
        return Response(EstimateOut(found).data)


def _visible(request: Request, job_id: str) -> Job:
    return get_job(_id(job_id), get_project_ids(request))


def _id(job_id: str) -> Any:
    return from_wire("job", job_id)


def _body(request: Request) -> dict[str, Any]:
    if not isinstance(request.data, dict):
        raise FieldInvalid(pointer="", reason="an object is expected")
    return request.data


def _count(reading: Reading) -> int:
    return reading.number("count", 5, FieldInvalid, low=1, high=_COUNT_MAX)


def _one_of(request: Request, name: str, known: Any) -> str | None:
    given = request.query_params.get(name)
    if given is not None and given not in [str(each) for each in known]:
        raise FieldInvalid(
            parameter=name, reason=f"one of {', '.join(str(each) for each in known)} is expected"
        )
    return given


def _fires(reading: Reading, fires: Sequence[datetime], schedule: Any) -> Response:
    own = schedule.zone if isinstance(schedule, CronSchedule) else "UTC"
    name = reading.text("zone", own)
    try:
        zone = get_zone(name)
    except ZoneUnknown as exc:
        raise placed(exc, "/zone") from None
    shown = [{"at": fire, "local": fire.astimezone(zone).isoformat()} for fire in fires]
    return Response(PreviewOut({"zone": name, "fires": shown}).data)


def _answer(job: Job, code: int = status.HTTP_200_OK, location: str | None = None) -> Response:
    headers = {"ETag": etag_of(job)} | ({"Location": location} if location else {})
    return Response(JobOut(job).data, status=code, headers=headers)

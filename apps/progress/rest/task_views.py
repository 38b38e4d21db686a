"""/tasks: single steps of runs, their outputs and packages, and stopping one."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.content.selectors import get_content
from apps.gateway.rest.authentication import caller_of
from apps.gateway.rest.filters import read_id, read_status
from apps.gateway.rest.idempotency import Idempotent
from apps.gateway.rest.permissions import scope
from apps.gateway.rest.schema import PROJECT
from apps.gateway.rest.scoping import get_project_ids
from apps.kernel.ids import from_wire
from apps.progress.documents import task_summary
from apps.progress.errors import OutputNotReady, PackageNotReady
from apps.progress.rest.forms import TaskDetailOut, TaskOut
from apps.progress.selectors import get_task, get_task_document, get_tasks
from apps.rollback.services import task_cancel
from apps.tasks.data import TaskStatus
from apps.tasks.models import Task

_RUN = OpenApiParameter("run", str, OpenApiParameter.QUERY, description="`run_…`")
_STATUS = OpenApiParameter("status", str, OpenApiParameter.QUERY, enum=[str(each) for each in TaskStatus])
_PERFORMER = OpenApiParameter("performer", str, OpenApiParameter.QUERY, description="a keeper's address")


class TaskList(GenericAPIView[Task]):
    """The caller's tasks."""

    permission_classes = [scope("tasks:read")]
    serializer_class = TaskOut

    @extend_schema(
        operation_id="tasks_list",
        parameters=[PROJECT, _RUN, _STATUS, _PERFORMER],
        responses=TaskOut(many=True),
    )
    def get(self, request: Request) -> Response:
        """List tasks, newest first."""
        tasks = get_tasks(
            get_project_ids(request),
            run_id=read_id(request, "run", "run"),
            status=read_status(request, "status", TaskStatus),
            performer=request.query_params.get("performer") or None,
        )
        page = self.paginate_queryset(tasks) or []
        return self.get_paginated_response([task_summary(task) for task in page])


class TaskDetail(APIView):
    """One task."""

    permission_classes = [scope("tasks:read")]

    @extend_schema(operation_id="tasks_retrieve", responses=TaskDetailOut)
    def get(self, request: Request, task_id: str) -> Response:
        """Show a task: leases, votes, settlement, times."""
        return Response(get_task_document(from_wire("task", task_id), get_project_ids(request)))


class TaskCancel(Idempotent, APIView):
    """Stopping a task."""

    permission_classes = [scope("runs:write")]

    @extend_schema(operation_id="tasks_cancel", request=None, responses={202: TaskOut})
    def post(self, request: Request, task_id: str) -> Response:
        """Stop the task and everything that stands on it, for good; nobody is slashed for it.

        409 `rollback_of_confirmed`, `rollback_too_late` where it is being settled, `task_ended` where it
        has ended some other way. Asking again is a no-op.
        """
        project_ids = get_project_ids(request)
        task = task_cancel(
            task_id=from_wire("task", task_id), project_ids=project_ids, actor=caller_of(request).name
        )
        return Response(
            task_summary(get_task(task.id, project_ids)),
            status=status.HTTP_202_ACCEPTED,
            headers={"Location": f"/api/v1/tasks/{task}"},
        )


class _TaskContent(APIView):
    """A JSON content that belongs to a task, verified against its CID."""

    permission_classes = [scope("tasks:read")]

    def answer(self, request: Request, cid: str) -> HttpResponse:
        """The content's bytes as they were stored."""
        headers = {"ETag": f'"{cid}"', "X-Content-CID": cid, "X-Content-Type-Options": "nosniff"}
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return HttpResponse(status=304, headers=headers)
        return HttpResponse(get_content(cid), content_type="application/json", headers=headers)


class TaskOutput(_TaskContent):
    """What the task's script printed."""

    @extend_schema(operation_id="tasks_output", responses={200: OpenApiTypes.OBJECT})
    def get(self, request: Request, task_id: str) -> HttpResponse:
        """The task's JSON output; 409 while there is none."""
        task = _task(request, task_id)
        if not task.output_cid:
            raise OutputNotReady(task=task_id, status=task.status)
        return self.answer(request, task.output_cid)


class TaskPackage(_TaskContent):
    """What the performer signed for."""

    @extend_schema(operation_id="tasks_package", responses={200: OpenApiTypes.OBJECT})
    def get(self, request: Request, task_id: str) -> HttpResponse:
        """The package of task, action, proof of execution and signature; 409 while there is none."""
        task = _task(request, task_id)
        if not task.package_cid:
            raise PackageNotReady(task=task_id, status=task.status)
        return self.answer(request, task.package_cid)


def _task(request: Any, task_id: str) -> Task:
    return get_task(from_wire("task", task_id), get_project_ids(request))

"""/rollbacks and /dead-letters: what failed, what that undid, and trying it again; what a stop would do."""

from datetime import UTC, datetime
from typing import Any, Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.gateway.errors import FilterInvalid
from apps.gateway.rest.authentication import caller_of
from apps.gateway.rest.filters import read_flag, read_id, read_status
from apps.gateway.rest.idempotency import Idempotent
from apps.gateway.rest.permissions import scope
from apps.gateway.rest.schema import PROJECT
from apps.gateway.rest.scoping import get_project_ids
from apps.kernel.ids import from_wire, to_wire
from apps.rollback.data import LetterFilter
from apps.rollback.documents import (
    figures_document,
    get_rollback_documents,
    letter_document,
    refusal_document,
    rollback_summary,
)
from apps.rollback.models import DeadLetter, Rollback
from apps.rollback.rest.forms import (
    CancelPreviewOut,
    DeadLetterOut,
    LettersIn,
    ReplayedOut,
    RollbackDetailOut,
    RollbackFiguresOut,
    RollbackOut,
)
from apps.rollback.selectors import (
    get_dead_letter,
    get_dead_letters,
    get_rollback,
    get_rollback_figures,
    get_rollbacks,
    run_cancel_preview,
    task_cancel_preview,
)
from apps.rollback.services import dead_letter_replay, dead_letters_replay
from apps.tasks.data import FailureReason, TaskStatus


def _query(name: str, text: str, kind: Any = str, words: Any = None) -> OpenApiParameter:
    enum = [str(word) for word in words] if words else None
    return OpenApiParameter(name, kind, OpenApiParameter.QUERY, description=text, enum=enum)


_RUN: Final = _query("run", "`run_…`")
_TASK: Final = _query("task", "`task_…`")
_REASON: Final = _query("reason", "why it failed", words=FailureReason)
_STAGE: Final = _query("stage", "the status in which it failed", words=TaskStatus)
_WAITING: Final = _query(
    "waiting", "`true`: only those that nothing brings back by itself and nobody has replayed", bool
)
_SINCE: Final = _query("since", "only what was detected at or after this time", OpenApiTypes.DATETIME)
_UNTIL: Final = _query("until", "only what was detected before this time", OpenApiTypes.DATETIME)


class RollbackList(GenericAPIView[Rollback]):
    """The rollbacks of the caller's projects."""

    permission_classes = [scope("runs:read")]
    serializer_class = RollbackOut

    @extend_schema(
        operation_id="rollbacks_list",
        parameters=[PROJECT, _RUN, _TASK, _REASON],
        responses=RollbackOut(many=True),
    )
    def get(self, request: Request) -> Response:
        """List rollbacks, newest first; those of one `run` with what each did to every task.

        Those of one `task` are the ones it was part of, as their root or not.
        """
        run_id = read_id(request, "run", "run")
        rows = get_rollbacks(
            get_project_ids(request),
            run_id=run_id,
            task_id=read_id(request, "task", "task"),
            reason=read_status(request, "reason", FailureReason),
        )
        page = self.paginate_queryset(rows) or []
        shown = [rollback_summary(row) for row in page] if run_id is None else get_rollback_documents(page)
        return self.get_paginated_response(shown)


class RollbackFigures(APIView):
    """What rollbacks took, in figures."""

    permission_classes = [scope("runs:read")]

    @extend_schema(
        operation_id="rollbacks_figures", parameters=[PROJECT, _SINCE, _UNTIL], responses=RollbackFiguresOut
    )
    def get(self, request: Request) -> Response:
        """Count the rollbacks of a time: how many and why, how deep, what they cost, what came back."""
        figures = get_rollback_figures(
            get_project_ids(request), since=_read_time(request, "since"), until=_read_time(request, "until")
        )
        return Response(figures_document(figures))


class RollbackDetail(APIView):
    """One rollback."""

    permission_classes = [scope("runs:read")]

    @extend_schema(operation_id="rollbacks_retrieve", responses=RollbackDetailOut)
    def get(self, request: Request, rollback_id: str) -> Response:
        """Show a rollback: its root, the way from there to every task it changed, and what each lost."""
        row = get_rollback(from_wire("rbk", rollback_id), get_project_ids(request))
        (document,) = get_rollback_documents([row])
        return Response(document)


class DeadLetterList(GenericAPIView[DeadLetter]):
    """The dead letters of the caller's projects."""

    permission_classes = [scope("runs:read")]
    serializer_class = DeadLetterOut

    @extend_schema(
        operation_id="dead_letters_list",
        parameters=[PROJECT, _RUN, _TASK, _REASON, _STAGE, _WAITING],
        responses=DeadLetterOut(many=True),
    )
    def get(self, request: Request) -> Response:
        """List failed attempts, newest first."""
        chosen = LetterFilter(
            run_id=read_id(request, "run", "run"),
            task_id=read_id(request, "task", "task"),
            reason=read_status(request, "reason", FailureReason),
            stage=read_status(request, "stage", TaskStatus) or "",
            is_waiting=read_flag(request, "waiting"),
        )
        page = self.paginate_queryset(get_dead_letters(get_project_ids(request), chosen)) or []
        return self.get_paginated_response([letter_document(row) for row in page])


class DeadLetterDetail(APIView):
    """One dead letter."""

    permission_classes = [scope("runs:read")]

    @extend_schema(operation_id="dead_letters_retrieve", responses=DeadLetterOut)
    def get(self, request: Request, letter_id: str) -> Response:
        """Show a failed attempt: where it failed, why, and what it took along."""
        return Response(
            letter_document(get_dead_letter(from_wire("dl", letter_id), get_project_ids(request)))
        )


class DeadLetterReplay(Idempotent, APIView):
    """Trying one failed task again."""

    permission_classes = [scope("runs:write")]

    @extend_schema(operation_id="dead_letters_replay", request=None, responses={202: DeadLetterOut})
    def post(self, request: Request, letter_id: str) -> Response:
        """Open the task and what it took along again, its attempts counted afresh; asking again is a no-op.

        A run that had ended is open again, and its money is held again. 409 `retry_not_allowed` where the
        task was tried again since or its run was stopped, `insufficient_funds` where the run cannot be paid.
        """
        project_ids = get_project_ids(request)
        letter = dead_letter_replay(
            letter_id=from_wire("dl", letter_id), project_ids=project_ids, actor=caller_of(request).name
        )
        location = f"/api/v1/runs/{to_wire('run', letter.run_id)}"
        document = letter_document(get_dead_letter(letter.id, project_ids))
        return Response(document, status=status.HTTP_202_ACCEPTED, headers={"Location": location})


class DeadLettersReplay(Idempotent, APIView):
    """Trying many failed tasks again."""

    permission_classes = [scope("runs:write")]

    @extend_schema(
        operation_id="dead_letters_replay_many",
        parameters=[PROJECT],
        request=LettersIn,
        responses={202: ReplayedOut},
        examples=[
            OpenApiExample("All that timed out", value={"reason": "timeout"}, request_only=True),
            OpenApiExample(
                "All of a run", value={"run": "run_019ac0de8f007a3b9c1d2e3f40516273"}, request_only=True
            ),
        ],
    )
    def post(self, request: Request) -> Response:
        """Replay the waiting dead letters that match, oldest first, at most 500; those refused say why."""
        body = LettersIn(data=request.data)
        body.is_valid(raise_exception=True)
        replayed = dead_letters_replay(
            project_ids=get_project_ids(request), chosen=body.get_filter(), actor=caller_of(request).name
        )
        refusals = [refusal_document(*refused) for refused in replayed.refusals.items()]
        return Response({"count": replayed.count, "refusals": refusals}, status=status.HTTP_202_ACCEPTED)


class RunCancelPreview(APIView):
    """What stopping a run would do."""

    permission_classes = [scope("runs:read")]

    @extend_schema(operation_id="runs_cancel_preview", responses=CancelPreviewOut)
    def get(self, request: Request, run_id: str) -> Response:
        """Tell what `POST /runs/{id}/cancel` would end, give back and waste, if it came now."""
        radius = run_cancel_preview(run_id=from_wire("run", run_id), project_ids=get_project_ids(request))
        return Response(radius.to_json())


class TaskCancelPreview(APIView):
    """What stopping a task would do."""

    permission_classes = [scope("tasks:read")]

    @extend_schema(operation_id="tasks_cancel_preview", responses=CancelPreviewOut)
    def get(self, request: Request, task_id: str) -> Response:
        """Tell what `POST /tasks/{id}/cancel` would end, give back and waste, if it came now."""
        radius = task_cancel_preview(task_id=from_wire("task", task_id), project_ids=get_project_ids(request))
        return Response(radius.to_json())


def _read_time(request: Request, name: str) -> datetime | None:
    """An RFC 3339 time from the query; None without one. Raises FilterInvalid."""
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise FilterInvalid(parameter=name, reason="a time with its zone expected, such as 2026-01-31T12:00:00Z")

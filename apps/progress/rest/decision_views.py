"""/tasks/{id}/decision: why a task may run ahead, or has to wait."""

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.gateway.rest.permissions import scope
from apps.gateway.rest.scoping import get_project_ids
from apps.kernel.ids import from_wire
from apps.progress.rest.ahead_forms import DecisionOut
from apps.progress.selectors import get_decision_document


class TaskDecision(APIView):
    """The latest decision about a task."""

    permission_classes = [scope("tasks:read")]

    @extend_schema(operation_id="tasks_decision", responses=DecisionOut)
    def get(self, request: Request, task_id: str) -> Response:
        """All ten checks: what was seen, what is allowed, what would flip each.

        404 `decision_not_found` where none was asked, as for steps that stand alone.
        """
        return Response(get_decision_document(from_wire("task", task_id), get_project_ids(request)))

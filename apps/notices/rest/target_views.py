"""/alert-targets: where a project's alerts go. A target's URL is written and never read."""

from typing import Final

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from apps.gateway.rest.etags import etag_of, require_match
from apps.gateway.rest.idempotency import Idempotent
from apps.gateway.rest.permissions import scopes
from apps.gateway.rest.schema import IF_MATCH, PROJECT
from apps.gateway.rest.scoping import get_project, get_project_ids
from apps.kernel.ids import from_wire
from apps.notices.models import Alert, AlertTarget
from apps.notices.rest.forms import AlertOut, TargetChange, TargetIn, TargetOut
from apps.notices.selectors import get_target, get_targets
from apps.notices.services import target_create, target_delete, target_test, target_update

_SCOPES: Final = scopes("webhooks:read", "webhooks:write")
_NEW: Final = [
    OpenApiExample(
        "A Telegram chat",
        value={"label": "on call", "url": "tgram://<bot token>/<chat>", "event_types": ["run.failed"]},
        request_only=True,
    ),
    OpenApiExample(
        "A mailbox, through the operator's mail server",
        value={"label": "team", "url": "mailto:team@example.com"},
        request_only=True,
    ),
]
_CHANGE: Final = [OpenApiExample("Quiet", value={"is_active": False}, request_only=True)]


class TargetList(Idempotent, GenericAPIView[AlertTarget]):
    """The alert targets of the caller's projects."""

    permission_classes = [_SCOPES]
    serializer_class = TargetOut

    @extend_schema(operation_id="alert_targets_list", responses=TargetOut(many=True), parameters=[PROJECT])
    def get(self, request: Request) -> Response:
        """List alert targets, newest first."""
        page = self.paginate_queryset(get_targets(get_project_ids(request)))
        return self.get_paginated_response(TargetOut(page, many=True).data)

    @extend_schema(
        operation_id="alert_targets_create",
        request=TargetIn,
        responses={201: TargetOut},
        parameters=[PROJECT],
        examples=_NEW,
    )
    def post(self, request: Request) -> Response:
        """Make an alert target. Its URL is one of apprise's for a public service, or a mail address."""
        body = TargetIn(data=request.data)
        body.is_valid(raise_exception=True)
        values = dict(body.validated_data)
        values.pop("project", None)
        row = target_create(project_id=get_project(request).id, **values)
        location = f"/api/v1/alert-targets/{row}"
        return Response(
            TargetOut(row).data,
            status=status.HTTP_201_CREATED,
            headers={"Location": location, "ETag": etag_of(row)},
        )


class TargetDetail(GenericAPIView[AlertTarget]):
    """One alert target."""

    permission_classes = [_SCOPES]
    serializer_class = TargetOut

    @extend_schema(operation_id="alert_targets_retrieve", responses=TargetOut)
    def get(self, request: Request, target_id: str) -> Response:
        """Show one alert target."""
        return _answer(get_target(from_wire("alt", target_id), get_project_ids(request)))

    @extend_schema(
        operation_id="alert_targets_update",
        request=TargetChange,
        responses=TargetOut,
        parameters=[IF_MATCH],
        examples=_CHANGE,
    )
    def patch(self, request: Request, target_id: str) -> Response:
        """Change an alert target."""
        project_ids = get_project_ids(request)
        row = get_target(from_wire("alt", target_id), project_ids)
        version = require_match(request, row)
        body = TargetChange(data=request.data)
        body.is_valid(raise_exception=True)
        return _answer(
            target_update(target_id=row.id, project_ids=project_ids, version=version, **body.validated_data)
        )

    @extend_schema(operation_id="alert_targets_delete", responses={204: None}, parameters=[IF_MATCH])
    def delete(self, request: Request, target_id: str) -> Response:
        """Take an alert target out."""
        project_ids = get_project_ids(request)
        row = get_target(from_wire("alt", target_id), project_ids)
        target_delete(target_id=row.id, project_ids=project_ids, version=require_match(request, row))
        return Response(status=status.HTTP_204_NO_CONTENT)


class TargetTest(Idempotent, GenericAPIView[Alert]):
    """An alert to try a target with."""

    permission_classes = [_SCOPES]
    serializer_class = AlertOut

    @extend_schema(operation_id="alert_targets_test", request=None, responses={202: AlertOut})
    def post(self, request: Request, target_id: str) -> Response:
        """Have a test alert sent; the target's `last_sent_at` and `last_error` tell what became of it."""
        row = target_test(target_id=from_wire("alt", target_id), project_ids=get_project_ids(request))
        return Response(AlertOut(row).data, status=status.HTTP_202_ACCEPTED)


def _answer(row: AlertTarget) -> Response:
    return Response(TargetOut(row).data, headers={"ETag": etag_of(row)})

"""/webhooks: who is told, the secret that signs, the log of what was sent, and sending it again."""

from typing import Any, Final

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.data import Scope
from apps.gateway.errors import ScopeMissing
from apps.gateway.rest.authentication import caller_of
from apps.gateway.rest.etags import etag_of, require_match
from apps.gateway.rest.filters import read_status
from apps.gateway.rest.idempotency import Idempotent
from apps.gateway.rest.permissions import scopes
from apps.gateway.rest.schema import IF_MATCH, PROJECT
from apps.gateway.rest.scoping import get_project, get_project_ids
from apps.kernel.ids import from_wire
from apps.notices.data import DeliveryFilter, DeliveryStatus
from apps.notices.models import Delivery, Endpoint
from apps.notices.rest.forms import (
    DeliveryDetailOut,
    DeliveryOut,
    IssuedWebhookOut,
    ReplayedOut,
    ReplayIn,
    WebhookChange,
    WebhookIn,
    WebhookOut,
)
from apps.notices.selectors import get_deliveries, get_delivery, get_endpoint, get_endpoints
from apps.notices.services import (
    IssuedSecret,
    deliveries_replay,
    delivery_replay,
    endpoint_create,
    endpoint_delete,
    endpoint_rotate_secret,
    endpoint_test,
    endpoint_update,
)

_SCOPES: Final = scopes("webhooks:read", "webhooks:write")
_STATUS: Final = OpenApiParameter(
    "status", str, OpenApiParameter.QUERY, enum=[str(word) for word in DeliveryStatus]
)
_TYPE: Final = OpenApiParameter("type", str, OpenApiParameter.QUERY, description="Such as `run.failed`")
_NEW: Final = [
    OpenApiExample(
        "Told of runs that fail and of what is rolled back",
        value={
            "url": "https://hooks.example.com/forekeep",
            "description": "on call",
            "event_types": ["run.failed", "rollback.*"],
        },
        request_only=True,
    )
]
_CHANGE: Final = [
    OpenApiExample("Switched on again", value={"is_active": True}, request_only=True),
    OpenApiExample("Told of everything", value={"event_types": []}, request_only=True),
]
_REPLAY: Final = [
    OpenApiExample("All that failed in an outage", value={"status": "failed"}, request_only=True)
]


class WebhookList(Idempotent, GenericAPIView[Endpoint]):
    """The webhooks of the caller's projects."""

    permission_classes = [_SCOPES]
    serializer_class = WebhookOut

    def get_kept_body(self, data: Any) -> Any:
        """The secret is stored nowhere in the clear: a replayed answer has none."""
        return {**data, "secret": None} if "secret" in data else data

    @extend_schema(operation_id="webhooks_list", responses=WebhookOut(many=True), parameters=[PROJECT])
    def get(self, request: Request) -> Response:
        """List webhooks, newest first."""
        page = self.paginate_queryset(get_endpoints(get_project_ids(request)))
        return self.get_paginated_response(WebhookOut(page, many=True).data)

    @extend_schema(
        operation_id="webhooks_create",
        request=WebhookIn,
        responses={201: IssuedWebhookOut},
        parameters=[PROJECT],
        examples=_NEW,
    )
    def post(self, request: Request) -> Response:
        """Make a webhook that is told of what happens from now on. The answer holds its secret, once.

        Messages are signed as Standard Webhooks has it: `webhook-id`, `webhook-timestamp` and
        `webhook-signature`.
        """
        body = WebhookIn(data=request.data)
        body.is_valid(raise_exception=True)
        values = dict(body.validated_data)
        values.pop("project", None)
        is_operator = values.pop("is_operator")
        if is_operator and not caller_of(request).is_operator:
            reason = "only an operator is told of what belongs to no project"
            raise ScopeMissing(pointer="/is_operator", needed=Scope.OPERATOR.value, reason=reason)
        project_id = None if is_operator else get_project(request).id
        return _issued(endpoint_create(project_id=project_id, **values), status.HTTP_201_CREATED)


class WebhookDetail(GenericAPIView[Endpoint]):
    """One webhook."""

    permission_classes = [_SCOPES]
    serializer_class = WebhookOut

    @extend_schema(operation_id="webhooks_retrieve", responses=WebhookOut)
    def get(self, request: Request, webhook_id: str) -> Response:
        """Show one webhook."""
        return _answer(get_endpoint(from_wire("whk", webhook_id), get_project_ids(request)))

    @extend_schema(
        operation_id="webhooks_update",
        request=WebhookChange,
        responses=WebhookOut,
        parameters=[IF_MATCH],
        examples=_CHANGE,
    )
    def patch(self, request: Request, webhook_id: str) -> Response:
        """Change where it goes, what it is told of, or whether it is told at all."""
        project_ids = get_project_ids(request)
        row = get_endpoint(from_wire("whk", webhook_id), project_ids)
        version = require_match(request, row)
        body = WebhookChange(data=request.data)
        body.is_valid(raise_exception=True)
        return _answer(
            endpoint_update(
                endpoint_id=row.id, project_ids=project_ids, version=version, **body.validated_data
            )
        )

    @extend_schema(operation_id="webhooks_delete", responses={204: None}, parameters=[IF_MATCH])
    def delete(self, request: Request, webhook_id: str) -> Response:
        """Take a webhook out; what is still to be sent is not."""
        project_ids = get_project_ids(request)
        row = get_endpoint(from_wire("whk", webhook_id), project_ids)
        version = require_match(request, row)
        endpoint_delete(endpoint_id=row.id, project_ids=project_ids, version=version)
        return Response(status=status.HTTP_204_NO_CONTENT)


class WebhookRotate(Idempotent, GenericAPIView[Endpoint]):
    """Another secret."""

    permission_classes = [_SCOPES]
    serializer_class = IssuedWebhookOut

    def get_kept_body(self, data: Any) -> Any:
        """A replayed answer has no secret."""
        return {**data, "secret": None} if "secret" in data else data

    @extend_schema(operation_id="webhooks_rotate_secret", request=None, responses=IssuedWebhookOut)
    def post(self, request: Request, webhook_id: str) -> Response:
        """Make another secret. For 24 hours messages carry a signature of the old one as well."""
        project_ids = get_project_ids(request)
        return _issued(
            endpoint_rotate_secret(endpoint_id=from_wire("whk", webhook_id), project_ids=project_ids),
            status.HTTP_200_OK,
        )


class WebhookTest(Idempotent, GenericAPIView[Delivery]):
    """A message to try a webhook with."""

    permission_classes = [_SCOPES]
    serializer_class = DeliveryOut

    @extend_schema(operation_id="webhooks_test", request=None, responses={202: DeliveryOut})
    def post(self, request: Request, webhook_id: str) -> Response:
        """Have a `webhook.test` sent; `Location` tells what became of it."""
        row = endpoint_test(endpoint_id=from_wire("whk", webhook_id), project_ids=get_project_ids(request))
        return _accepted(row)


class DeliveryList(GenericAPIView[Delivery]):
    """What was sent to a webhook, and what is to be."""

    permission_classes = [_SCOPES]
    serializer_class = DeliveryOut

    @extend_schema(
        operation_id="webhooks_deliveries_list",
        responses=DeliveryOut(many=True),
        parameters=[_STATUS, _TYPE],
    )
    def get(self, request: Request, webhook_id: str) -> Response:
        """List deliveries, newest first."""
        project_ids = get_project_ids(request)
        row = get_endpoint(from_wire("whk", webhook_id), project_ids)
        chosen = DeliveryFilter(
            status=read_status(request, "status", DeliveryStatus),
            event_type=request.query_params.get("type", "")[:64],
        )
        page = self.paginate_queryset(get_deliveries(row.id, project_ids, chosen).defer("body"))
        return self.get_paginated_response(DeliveryOut(page, many=True).data)


class DeliveriesReplay(Idempotent, GenericAPIView[Delivery]):
    """Sending many deliveries again."""

    permission_classes = [_SCOPES]
    serializer_class = ReplayedOut

    @extend_schema(
        operation_id="webhooks_deliveries_replay_many",
        request=ReplayIn,
        responses={202: ReplayedOut},
        examples=_REPLAY,
    )
    def post(self, request: Request, webhook_id: str) -> Response:
        """Send the ended deliveries that match again, oldest first, at most 500, each under its old id."""
        body = ReplayIn(data=request.data)
        body.is_valid(raise_exception=True)
        given = dict(body.validated_data)
        chosen = DeliveryFilter(
            status=DeliveryStatus(given["status"]) if "status" in given else None,
            event_type=given.get("event_type", ""),
            since=given.get("since"),
            until=given.get("until"),
        )
        count = deliveries_replay(
            endpoint_id=from_wire("whk", webhook_id), chosen=chosen, project_ids=get_project_ids(request)
        )
        return Response({"count": count}, status=status.HTTP_202_ACCEPTED)


class DeliveryDetail(GenericAPIView[Delivery]):
    """One delivery."""

    permission_classes = [_SCOPES]
    serializer_class = DeliveryDetailOut

    @extend_schema(operation_id="deliveries_retrieve", responses=DeliveryDetailOut)
    def get(self, request: Request, delivery_id: str) -> Response:
        """Show what is sent, and every try with the beginning of its answer."""
        row = get_delivery(from_wire("dlv", delivery_id), get_project_ids(request))
        return Response(DeliveryDetailOut(row).data)


class DeliveryReplay(Idempotent, GenericAPIView[Delivery]):
    """Sending one delivery again."""

    permission_classes = [_SCOPES]
    serializer_class = DeliveryOut

    @extend_schema(operation_id="deliveries_replay", request=None, responses={202: DeliveryOut})
    def post(self, request: Request, delivery_id: str) -> Response:
        """Send an ended delivery again under its old id, its tries counted afresh."""
        return _accepted(
            delivery_replay(delivery_id=from_wire("dlv", delivery_id), project_ids=get_project_ids(request))
        )


def _answer(row: Endpoint) -> Response:
    return Response(WebhookOut(row).data, headers={"ETag": etag_of(row)})


def _issued(issued: IssuedSecret, code: int) -> Response:
    data = {**WebhookOut(issued.endpoint).data, "secret": issued.secret}
    headers = {"ETag": etag_of(issued.endpoint), "Cache-Control": "no-store"}
    if code == status.HTTP_201_CREATED:
        headers["Location"] = f"/api/v1/webhooks/{issued.endpoint}"
    return Response(data, status=code, headers=headers)


def _accepted(row: Delivery) -> Response:
    location = f"/api/v1/deliveries/{row}"
    return Response(DeliveryOut(row).data, status=status.HTTP_202_ACCEPTED, headers={"Location": location})

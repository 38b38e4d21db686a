"""/keys: issue, list and revoke API keys. A secret is in the answer that issues it and nowhere else."""

from typing import Any, Final

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.data import NAME_MAX
from apps.accounts.models import ApiKey
from apps.accounts.selectors import get_key, get_keys
from apps.accounts.services import api_key_create, api_key_revoke
from apps.gateway.rest.authentication import caller_of
from apps.gateway.rest.idempotency import Idempotent
from apps.gateway.rest.permissions import scopes
from apps.gateway.rest.schema import PROJECT
from apps.gateway.rest.scoping import get_project, get_project_ids
from apps.kernel.ids import from_wire, to_wire


class KeyOut(serializers.ModelSerializer[ApiKey]):
    """A key as it is shown: never its secret, nor its hash."""

    id = serializers.CharField(source="wire_id", read_only=True)
    project = serializers.SerializerMethodField(help_text="`proj_…`, null for an operator's key")
    scopes = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = ApiKey
        fields = (
            "id",
            "project",
            "name",
            "prefix",
            "scopes",
            "rate_limit_per_minute",
            "created_at",
            "expires_at",
            "revoked_at",
            "last_used_at",
        )
        read_only_fields = fields

    def get_project(self, key: ApiKey) -> str | None:
        """`proj_…`, null for an operator's key."""
        return to_wire("proj", key.project_id) if key.project_id else None


class IssuedKeyOut(KeyOut):
    """A key just issued, with its secret."""

    secret = serializers.CharField(
        read_only=True, allow_null=True, help_text="Shown once; null when replayed"
    )

    class Meta(KeyOut.Meta):
        fields = (*KeyOut.Meta.fields, "secret")  # type: ignore[assignment]


class KeyIn(serializers.Serializer[Any]):
    """A new key."""

    project = serializers.CharField(required=False, help_text="`proj_…`; needed where the caller has several")
    is_operator = serializers.BooleanField(default=False, help_text="A key of the operator, of no project")
    name = serializers.CharField(max_length=NAME_MAX)
    scopes = serializers.ListField(child=serializers.CharField(max_length=40), min_length=1, max_length=40)
    rate_limit_per_minute = serializers.IntegerField(min_value=1, required=False)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)


_NEW: Final = [
    OpenApiExample(
        "A key that may run jobs and look at what came of them",
        value={"name": "nightly", "scopes": ["jobs:read", "runs:read", "runs:write"]},
        request_only=True,
    )
]


class KeyList(Idempotent, GenericAPIView[ApiKey]):
    """The keys of the caller's projects."""

    permission_classes = [scopes("keys:read", "keys:write")]
    serializer_class = KeyOut

    def get_kept_body(self, data: Any) -> Any:
        """The secret is stored nowhere: a replayed answer has none."""
        return {**data, "secret": None} if "secret" in data else data

    @extend_schema(operation_id="keys_list", responses=KeyOut(many=True), parameters=[PROJECT])
    def get(self, request: Request) -> Response:
        """List keys, newest first."""
        page = self.paginate_queryset(get_keys(get_project_ids(request)))
        return self.get_paginated_response(KeyOut(page, many=True).data)

    @extend_schema(
        operation_id="keys_create",
        request=KeyIn,
        responses={201: IssuedKeyOut},
        parameters=[PROJECT],
        examples=_NEW,
    )
    def post(self, request: Request) -> Response:
        """Issue a key that holds at most what the caller does."""
        body = KeyIn(data=request.data)
        body.is_valid(raise_exception=True)
        values = dict(body.validated_data)
        values.pop("project", None)
        project_id = None if values.pop("is_operator") else get_project(request).id
        held = caller_of(request).scopes_in(project_id)
        issued = api_key_create(project_id=project_id, held=held, **values)
        data = {**KeyOut(get_key(issued.id)).data, "secret": issued.secret}
        location = f"/api/v1/keys/{data['id']}"
        return Response(
            data, status=status.HTTP_201_CREATED, headers={"Location": location, "Cache-Control": "no-store"}
        )


class KeyDetail(GenericAPIView[ApiKey]):
    """One key."""

    permission_classes = [scopes("keys:read", "keys:write")]
    serializer_class = KeyOut

    @extend_schema(operation_id="keys_retrieve", responses=KeyOut)
    def get(self, request: Request, key_id: str) -> Response:
        """Show one key."""
        return Response(KeyOut(get_key(from_wire("key", key_id), get_project_ids(request))).data)


class KeyRevoke(GenericAPIView[ApiKey]):
    """The end of a key."""

    permission_classes = [scopes("keys:read", "keys:write")]
    serializer_class = KeyOut

    @extend_schema(operation_id="keys_revoke", request=None, responses=KeyOut)
    def post(self, request: Request, key_id: str) -> Response:
        """Revoke a key; doing so again changes nothing."""
        key = api_key_revoke(key_id=from_wire("key", key_id), project_ids=get_project_ids(request))
        return Response(KeyOut(key).data)

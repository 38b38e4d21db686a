"""/secrets: put, list, delete. A value goes in and never comes out."""

from typing import Final

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from apps.gateway.rest.permissions import scopes
from apps.gateway.rest.schema import PROJECT
from apps.gateway.rest.scoping import get_project, get_project_ids
from apps.kernel.reading import Reading
from apps.vault.domain.names import NAME_PATTERN, require_name, require_value
from apps.vault.models import Secret
from apps.vault.rest.serializers import SecretIn, SecretOut
from apps.vault.selectors import get_secrets
from apps.vault.services import secret_delete, secret_put

_SCOPES: Final = scopes("secrets:read", "secrets:write")
_NAME: Final = OpenApiParameter(
    "name",
    {"type": "string", "pattern": f"^{NAME_PATTERN}$"},
    OpenApiParameter.PATH,
    description='What jobs refer to it by: `{"secret": "price_feed"}`',
)
_PUT: Final = [OpenApiExample("A token", value={"value": "the token of the feed"}, request_only=True)]


class SecretList(GenericAPIView[Secret]):
    """The secrets of the caller's projects, by name."""

    permission_classes = [_SCOPES]
    serializer_class = SecretOut

    @extend_schema(operation_id="secrets_list", responses=SecretOut(many=True), parameters=[PROJECT])
    def get(self, request: Request) -> Response:
        """List secrets, newest first. Their values are shown to nobody."""
        page = self.paginate_queryset(get_secrets(get_project_ids(request)))
        return self.get_paginated_response(SecretOut(page, many=True).data)


class SecretDetail(GenericAPIView[Secret]):
    """One secret."""

    permission_classes = [_SCOPES]
    serializer_class = SecretOut

    @extend_schema(
        operation_id="secrets_put",
        request=SecretIn,
        responses={200: SecretOut, 201: SecretOut},
        parameters=[_NAME, PROJECT],
        examples=_PUT,
    )
    def put(self, request: Request, name: str) -> Response:
        """Keep a value under a name, in place of the one before; doing so again is the same.

        201 where there was none, 200 where there was. Jobs use the new value from their next request on.
        """
        body = Reading(request.data, "", {"project", "value"})
        require_name(name, "")
        value = require_value(body.require("value"))
        secret, is_new = secret_put(get_project(request).id, name, value)
        code = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
        return Response(SecretOut(secret).data, status=code)

    @extend_schema(operation_id="secrets_delete", responses={204: None}, parameters=[_NAME, PROJECT])
    def delete(self, request: Request, name: str) -> Response:
        """Forget a secret; what refers to its name fails from now on."""
        secret_delete(get_project(request).id, name)
        return Response(status=status.HTTP_204_NO_CONTENT)

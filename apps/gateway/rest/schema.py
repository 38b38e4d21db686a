"""What the OpenAPI document says of every route: how to authenticate, and how an error looks."""

from typing import Any, Final

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter

PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "RFC 9457 problem details",
    "required": ["type", "title", "status", "code", "trace_id", "errors"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "example": "/problems/scope_missing"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable, to be switched on"},
        "detail": {"type": "string"},
        "trace_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer into the body"},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}

#: For views whose edits take `If-Match`: `@extend_schema(parameters=[IF_MATCH])`.
IF_MATCH: Final = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="The ETag the edit is based on; 412 where it is stale",
)
#: For lists and for callers with several projects.
PROJECT: Final = OpenApiParameter(
    "project", str, OpenApiParameter.QUERY, description="`proj_…`; needed where the caller has several"
)
_IDEMPOTENCY_KEY: Final = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER, description="The same key gives the same answer"
)


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The two headers an API key may come in."""

    target_class = "apps.gateway.rest.authentication.ApiKeyAuthentication"
    name = ["apiKey", "apiKeyHeader"]

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, Any]]:
        """Bearer, or X-API-Key."""
        return [
            {"type": "http", "scheme": "bearer", "bearerFormat": "fk_<prefix>_<secret>"},
            {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        ]


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The session cookie of a logged-in person."""

    target_class = "apps.gateway.rest.authentication.SessionCaller"
    name = "session"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        """A cookie."""
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}


class GatewaySchema(AutoSchema):
    """Adds the idempotency header to the routes that honour it."""

    def get_override_parameters(self) -> list[Any]:
        """The `Idempotency-Key` of an Idempotent view's POST."""
        is_idempotent = self.method == "POST" and hasattr(self.view, "get_kept_body")
        return [_IDEMPOTENCY_KEY] if is_idempotent else []


def add_problems(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """drf-spectacular's last step: every operation may answer with a problem."""
    result.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM
    answer = {
        "description": "A problem",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for path in result.get("paths", {}).values():
        for operation in path.values():
            if isinstance(operation, dict) and "responses" in operation:
                operation["responses"].setdefault("default", answer)
    return result

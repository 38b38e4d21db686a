"""What the OpenAPI document says of every route: how to authenticate, and how an error looks."""

import re
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


#: the aliases' paths begin with another word than what they are about
_TAGS: Final = {"api": "jobs", "keeper": "keepers"}
_SENTENCE: Final = re.compile(r"(?<=[^.])[.;:](?:\s|$)")


class GatewaySchema(AutoSchema):
    """Adds each route's summary, and the idempotency header to the routes that honour it."""

    def get_summary(self) -> str | None:
        """The first sentence of what the method says of itself."""
        described = str(self.get_description() or "").split("\n\n")[0].replace("\n", " ")
        return _SENTENCE.split(described, maxsplit=1)[0].strip() or None

    def get_tags(self) -> list[str]:
        """By the path's first word; an alias stands beside what it is an alias of."""
        return [_TAGS.get(tag, tag) for tag in super().get_tags()]

    def get_override_parameters(self) -> list[Any]:
        """The `Idempotency-Key` of an Idempotent view's POST."""
        is_idempotent = self.method == "POST" and hasattr(self.view, "get_kept_body")
        return [_IDEMPOTENCY_KEY] if is_idempotent else []


#: what fields of these names look like, for the examples of answers
_CID: Final = "bafkreigsq65x7hivvpofw3uyknrghakxis3o6ioi6pedt7cdjstq3dx6te"
_ADDRESS: Final = "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"
_ID: Final = "01a21861bf79729fba7d3ea4f9bbc59a"
_LOOKS_LIKE: Final[dict[str, Any]] = {
    "project": f"proj_{_ID}",
    "job": f"job_{_ID}",
    "run": f"run_{_ID}",
    "task": f"task_{_ID}",
    "transaction": f"txn_{_ID}",
    "performer": _ADDRESS,
    "keeper": _ADDRESS,
    "address": _ADDRESS,
    "cid": _CID,
    "output_cid": _CID,
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "created_by": "key_" + _ID,
    "name": "Price report",
    "slug": "price-report",
    "step": "load",
    "step_key": "load",
    "zone": "Europe/Berlin",
    "estimated_cost_units": "390001",
    "gas_price_wei": "1000000000",
}
#: `id` of the documents whose names begin so
_IDS: Final = {
    "Project": "proj",
    "Job": "job",
    "Run": "run",
    "Task": "task",
    "Key": "key",
    "IssuedKey": "key",
    "Secret": "sec",
}


def add_examples(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """One of drf-spectacular's last steps: fields whose type says little look like what they hold."""
    for component, schema in result.get("components", {}).get("schemas", {}).items():
        for name, field in schema.get("properties", {}).items():
            if field.get("type") != "string" or field.keys() & {"enum", "format", "example"}:
                continue
            looks_like = _LOOKS_LIKE.get(name)
            if name == "id":
                kinds = [kind for start, kind in _IDS.items() if component.startswith(start)]
                looks_like = f"{kinds[0]}_{_ID}" if kinds else None
            elif looks_like is None and name.endswith("_units"):
                looks_like = "100000000000"
            if looks_like is not None:
                field["example"] = looks_like
    return result


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

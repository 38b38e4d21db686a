"""Cursor pages: `{data, has_more, next_cursor}`, newest first by primary key, limit 1 to 100.

The cursor is the last row's key, so a page neither skips nor repeats a row while others are added.
"""

import base64
import binascii
from typing import Any, ClassVar
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from apps.gateway.errors import CursorInvalid, LimitInvalid


class CursorPages(BasePagination):
    """DRF's pagination by cursor; a view may set `page_ordering = "pk"` for oldest first."""

    default_limit: ClassVar[int] = 20
    max_limit: ClassVar[int] = 100

    def __init__(self) -> None:
        self._next_cursor: str | None = None

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        """The rows of the page asked for by `?limit=` and `?cursor=`. Raises LimitInvalid, CursorInvalid."""
        limit = self._read_limit(request)
        ordering = getattr(view, "page_ordering", "-pk")
        after = request.query_params.get("cursor")
        if after:
            side = "pk__lt" if ordering.startswith("-") else "pk__gt"
            queryset = queryset.filter(**{side: _read_cursor(after, queryset)})
        rows = list(queryset.order_by(ordering)[: limit + 1])
        page = rows[:limit]
        self._next_cursor = _write_cursor(page[-1].pk) if len(rows) > limit else None
        return page

    def get_paginated_response(self, data: Any) -> Response:
        """The page around its serialized rows."""
        return Response(
            {"data": data, "has_more": self._next_cursor is not None, "next_cursor": self._next_cursor}
        )

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The OpenAPI form of a page."""
        return {
            "type": "object",
            "required": ["data", "has_more", "next_cursor"],
            "properties": {
                "data": schema,
                "has_more": {"type": "boolean"},
                "next_cursor": {"type": "string", "nullable": True},
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """The OpenAPI form of the two query parameters."""
        limit = {"type": "integer", "minimum": 1, "maximum": self.max_limit, "default": self.default_limit}
        return [
            {"name": "limit", "required": False, "in": "query", "schema": limit},
            {"name": "cursor", "required": False, "in": "query", "schema": {"type": "string"}},
        ]

    def _read_limit(self, request: Request) -> int:
        text = request.query_params.get("limit", str(self.default_limit))
        if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= self.max_limit):
            raise LimitInvalid(minimum=1, maximum=self.max_limit)
        return int(text)


def _write_cursor(key: Any) -> str:
    text = key.hex if isinstance(key, UUID) else str(key)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(cursor: str, queryset: "QuerySet[Any]") -> Any:
    try:
        text = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)).decode()
        key = queryset.model._meta.pk.to_python(text)
    except (ValueError, binascii.Error, ValidationError):
        raise CursorInvalid() from None
    if key is None or "\x00" in text:
        raise CursorInvalid()
    return key

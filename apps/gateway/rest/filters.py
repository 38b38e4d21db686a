"""Reading the query parameters of lists."""

from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from rest_framework.request import Request

from apps.gateway.errors import FilterInvalid
from apps.kernel.errors import Invalid
from apps.kernel.ids import from_wire

S = TypeVar("S", bound=StrEnum)


def read_id(request: Request, name: str, kind: str) -> UUID | None:
    """A wire id from the query; None without one. Raises FilterInvalid."""
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        return from_wire(kind, text)
    except Invalid:
        raise FilterInvalid(parameter=name, reason=f"{kind}_… expected") from None


def read_status(request: Request, name: str, statuses: type[S]) -> S | None:
    """One of an enumeration's words from the query; None without one. Raises FilterInvalid."""
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        return statuses(text)
    except ValueError:
        accepted = ", ".join(statuses)
        raise FilterInvalid(parameter=name, reason=f"one of {accepted} expected") from None


def read_flag(request: Request, name: str) -> bool | None:
    """`true` or `false` from the query; None without one. Raises FilterInvalid."""
    text = request.query_params.get(name)
    if not text:
        return None
    if text not in ("true", "false"):
        raise FilterInvalid(parameter=name, reason="true or false expected")
    return text == "true"

"""Reading the query parameters of lists and streams."""

from enum import StrEnum
from typing import Final, TypeVar
from uuid import UUID

from rest_framework.request import Request

from apps.gateway.errors import FilterInvalid
from apps.kernel.errors import Invalid
from apps.kernel.ids import from_wire
from apps.progress.errors import StreamPositionInvalid

S = TypeVar("S", bound=StrEnum)

_MAX_SEQUENCE: Final = (1 << 63) - 1


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
    """A status from the query; None without one. Raises FilterInvalid."""
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        return statuses(text)
    except ValueError:
        accepted = ", ".join(statuses)
        raise FilterInvalid(parameter=name, reason=f"one of {accepted} expected") from None


def read_position(request: Request) -> int | None:
    """Where a stream begins: `Last-Event-ID`, else `?after=`; None where neither is given.

    The header wins: it is what a browser sends when it resumes. Raises StreamPositionInvalid.
    """
    text = request.headers.get("Last-Event-ID") or request.query_params.get("after")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= _MAX_SEQUENCE):
        raise StreamPositionInvalid(value=text[:40])
    return int(text)

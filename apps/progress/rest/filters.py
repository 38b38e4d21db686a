"""Reading where a stream begins."""

from typing import Final

from rest_framework.request import Request

from apps.progress.errors import StreamPositionInvalid

_MAX_SEQUENCE: Final = (1 << 63) - 1


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

"""ETags: a row's version in quotes; `If-Match` on edits."""

import re
from typing import Any, Final

from rest_framework.request import Request

from apps.gateway.errors import EtagInvalid
from apps.kernel.errors import PreconditionFailed

_ETAG: Final = re.compile(r'(?:W/)?"v(\d{1,18})"')


def version_of(row: Any) -> int:
    """A row's version: its own `version` where it has one, else its event sequence."""
    return int(getattr(row, "version", None) or row.event_sequence)


def etag_of(row: Any) -> str:
    """The ETag of a row as it is now: `"v3"`."""
    return f'"v{version_of(row)}"'


def read_match(request: Request) -> int | None:
    """The version named by `If-Match`; None without one or for `*`. Raises EtagInvalid."""
    text = request.headers.get("If-Match", "").strip()
    if text in ("", "*"):
        return None
    match = _ETAG.fullmatch(text)
    if match is None:
        raise EtagInvalid()
    return int(match[1])


def require_match(request: Request, row: Any) -> int | None:
    """Raise PreconditionFailed (412) where `If-Match` names another version; returns the version named.

    Hand it on to the service, which checks it again under the lock.
    """
    expected = read_match(request)
    if expected is not None and expected != version_of(row):
        raise PreconditionFailed(expected=expected, found=version_of(row))
    return expected

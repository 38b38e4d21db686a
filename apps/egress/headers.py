"""What may be sent as headers, and what is kept of those that come back."""

import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from apps.egress.data import Request
from apps.egress.errors import HeaderRefused, MethodRefused

METHODS: Final = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
RETRY_AFTER_MAX_SECONDS: Final = 86_400.0
#: Longer validators are not worth keeping.
_VALIDATOR_MAX: Final = 512

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_VALUE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]{0,8190}")
#: The connection's own; whoever sets them could end one request inside another.
_OWNED: Final = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-version",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers as they may be sent. Raises HeaderRefused."""
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise HeaderRefused(name="")
        lowered = name.lower()
        if lowered in _OWNED or lowered.startswith("proxy-") or not _VALUE.fullmatch(value):
            raise HeaderRefused(name=name)
    return dict(headers)


def headers_of(request: Request) -> dict[str, str]:
    """A request's headers with its conditions. Raises HeaderRefused, MethodRefused."""
    if request.method not in METHODS:
        raise MethodRefused(allowed=METHODS)
    conditions = {"If-None-Match": request.etag, "If-Modified-Since": request.last_modified}
    return check_headers({**request.headers, **{name: value for name, value in conditions.items() if value}})


def validator_of(value: str | None) -> str | None:
    """An ETag or a date worth sending back; None where it could not be."""
    return value if value and len(value) <= _VALIDATOR_MAX and _VALUE.fullmatch(value) else None


def retry_after_of(value: str | None) -> float | None:
    """Seconds of a `Retry-After`, given as a number or a date, at most a day."""
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), RETRY_AFTER_MAX_SECONDS)
    try:
        seconds = parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_MAX_SECONDS)

"""Instants as RFC 3339 text in UTC, the one form that is stored, hashed and used in tick keys."""

import re
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

_RFC3339: Final = re.compile(
    r"^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,6})?([Zz]|[+-]\d{2}:\d{2})$", re.ASCII
)
_FIRST_YEAR: Final = 2000
_LAST_YEAR: Final = 2199


def format_instant(instant: datetime) -> str:
    """`2026-11-20T06:45:00Z`, with six digits of a second only where it has a fraction."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_instant(text: object) -> datetime | None:
    """The UTC instant of an RFC 3339 text with an offset; None for anything else.

    Only years 2000-2199 are taken, so that no sum of an instant and an interval overflows.
    """
    if not isinstance(text, str) or not _RFC3339.match(text):
        return None
    try:
        instant = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return instant if _FIRST_YEAR <= instant.year <= _LAST_YEAR else None


def time_tick_key(due_at: datetime) -> str:
    """The key of a scheduled tick: `time:<RFC 3339 UTC>`."""
    return f"time:{format_instant(due_at)}"


def manual_tick_key(request_id: UUID) -> str:
    """The key of a manual tick: `manual:<32 hex digits>`."""
    return f"manual:{request_id.hex}"


def link_tick_key(run_id: UUID) -> str:
    """The key of a tick that another job's run makes: `link:<32 hex digits>`."""
    return f"link:{run_id.hex}"

"""One trace id from the first request to the chain (W3C trace context).

The truth is `traceparent`; `X-Trace-ID: tgrx-frnt-<uuid>` is accepted and echoed, its uuid's 32 hex
digits being the trace id.
"""

import os
import re
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final
from uuid import UUID

_TRACEPARENT: Final = re.compile(r"^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$")
_LEGACY_PREFIX: Final = "tgrx-frnt-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Where a piece of work stands: its trace (32 hex digits) and its span (16)."""

    trace_id: str
    span_id: str

    @property
    def traceparent(self) -> str:
        """The W3C header value, sampled."""
        return f"00-{self.trace_id}-{self.span_id}-01"

    @property
    def legacy_id(self) -> str:
        """The `X-Trace-ID` form."""
        return f"{_LEGACY_PREFIX}{UUID(hex=self.trace_id)}"

    def child(self) -> "Trace":
        """A new span in the same trace."""
        return Trace(trace_id=self.trace_id, span_id=os.urandom(8).hex())


_current: ContextVar[Trace | None] = ContextVar("forekeep_trace", default=None)


def new_trace() -> Trace:
    """A fresh trace."""
    return Trace(trace_id=os.urandom(16).hex(), span_id=os.urandom(8).hex())


def trace_from_headers(traceparent: str | None, legacy: str | None) -> Trace:
    """The caller's trace where it sent a valid one, else a fresh trace."""
    match = _TRACEPARENT.match(traceparent or "")
    if match and match[1] != "0" * 32 and match[2] != "0" * 16:
        return Trace(trace_id=match[1], span_id=match[2]).child()
    if legacy and legacy.startswith(_LEGACY_PREFIX):
        try:
            return Trace(trace_id=UUID(legacy.removeprefix(_LEGACY_PREFIX)).hex, span_id=os.urandom(8).hex())
        except ValueError:
            pass
    return new_trace()


def trace_of(trace_id: str) -> Trace:
    """A new span in a stored trace."""
    return Trace(trace_id=trace_id, span_id=os.urandom(8).hex())


def current_trace() -> Trace:
    """The trace of the running request, message or command; made on first use."""
    trace = _current.get()
    if trace is None:
        trace = new_trace()
        _current.set(trace)
    return trace


def set_current_trace(trace: Trace | None) -> None:
    """Bind the trace of the request, message or command that starts here."""
    _current.set(trace)

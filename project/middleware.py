"""One trace per request: taken from the caller or made here, bound to every log line, echoed."""

import time
from collections.abc import Callable

import structlog
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from apps.eventlog.domain.actor import set_current_actor
from apps.kernel.trace import set_current_trace, trace_from_headers
from project.metrics import REQUEST_SECONDS, REQUESTS_TOTAL

_log = structlog.get_logger("forekeep.web")


class TraceMiddleware:
    """Bind the caller's `traceparent` or `X-Trace-ID`, echo both, log the request as one line."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Run the request inside its trace."""
        trace = trace_from_headers(request.headers.get("traceparent"), request.headers.get("X-Trace-ID"))
        set_current_trace(trace)
        set_current_actor()
        structlog.contextvars.clear_contextvars()
        started = time.perf_counter()
        response = self._get_response(request)
        duration = time.perf_counter() - started
        route = _route_of(request)
        REQUESTS_TOTAL.labels(method=request.method, route=route, status=response.status_code).inc()
        REQUEST_SECONDS.labels(route=route).observe(duration)
        response.headers["traceparent"] = trace.traceparent
        response.headers["X-Trace-ID"] = trace.legacy_id
        _log.info(
            "request",
            method=request.method,
            path=request.path,
            status=response.status_code,
            duration_seconds=round(duration, 4),
        )
        return response


def _route_of(request: HttpRequest) -> str:
    """The route's pattern, never the path: paths hold ids."""
    match = request.resolver_match
    return match.route if match and match.route else "unmatched"

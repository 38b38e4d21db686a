"""The one map from errors to HTTP: RFC 9457 problem details for everything that goes wrong."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from apps.accounts.errors import Unauthenticated
from apps.gateway.errors import TooManyRequests
from apps.kernel.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, PreconditionFailed
from apps.kernel.trace import current_trace
from project.logging import redact_text

PROBLEM_JSON: Final = "application/problem+json"

#: The most specific class wins.
STATUS_OF: Final[Mapping[type[DomainError], int]] = {
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    PreconditionFailed: 412,
    Invalid: 422,
    TooManyRequests: 429,
    DomainError: 422,
}

#: Codes whose status is not that of their class.
STATUS_OF_CODE: Final[Mapping[str, int]] = {
    "content_store_full": 503,
    "content_too_large": 413,
    "content_unavailable": 503,
    "script_too_large": 413,
    "registry_unreachable": 503,
}

_FRAMEWORK: Final[Mapping[type[Exception], tuple[int, str, str]]] = {
    exceptions.ParseError: (400, "body_malformed", "The body is not valid JSON"),
    exceptions.NotAuthenticated: (401, Unauthenticated.code, Unauthenticated.title),
    exceptions.AuthenticationFailed: (401, Unauthenticated.code, Unauthenticated.title),
    exceptions.PermissionDenied: (403, Forbidden.code, Forbidden.title),
    PermissionDenied: (403, Forbidden.code, Forbidden.title),
    exceptions.NotFound: (404, NotFound.code, NotFound.title),
    Http404: (404, NotFound.code, NotFound.title),
    exceptions.MethodNotAllowed: (405, "method_not_allowed", "This method is not allowed here"),
    exceptions.NotAcceptable: (406, "not_acceptable", "Only JSON is served here"),
    RequestDataTooBig: (413, "body_too_large", "The body is too large"),
    exceptions.UnsupportedMediaType: (415, "media_type_unsupported", "Only application/json is read here"),
    OperationalError: (503, "database_unavailable", "The database cannot answer now; try again"),
}
_RETRY_SECONDS: Final = 2
_UNEXPECTED: Final = "Something went wrong here; the trace id finds it in the log"

_log = structlog.get_logger("forekeep.errors")


def problem_response(exc: Exception, context: Mapping[str, Any]) -> Response:
    """DRF's exception handler: every exception becomes a problem, in JSON wherever it happened; an unknown
    one is logged and a 500.
    """
    request = context.get("request")
    if request is not None:
        request.accepted_renderer, request.accepted_media_type = JSONRenderer(), PROBLEM_JSON
    if isinstance(exc, DomainError):
        return _of_domain(exc)
    if isinstance(exc, exceptions.ValidationError):
        errors = list(_flatten(exc.get_full_details(), ""))
        return _response(422, "validation_failed", "The input is not valid", errors=errors)
    for kind in type(exc).__mro__:
        if kind in _FRAMEWORK:
            status, code, title = _FRAMEWORK[kind]
            if status >= 500:
                _log.error(code, exc_info=exc)
            detail = redact_text(str(exc.detail)) if isinstance(exc, exceptions.ParseError) else ""
            return _response(status, code, title, detail=detail, headers=_headers_of(exc, status))
    if isinstance(exc, exceptions.APIException):
        return _response(exc.status_code, str(exc.default_code), str(exc.default_detail))
    _log.exception("unexpected error", view=type(context.get("view")).__name__, exc_info=exc)
    return _response(500, "internal_error", _UNEXPECTED)


def status_of(exc: DomainError) -> int:
    """The HTTP status of a domain error: by its code where listed, else by its nearest listed class."""
    if exc.code in STATUS_OF_CODE:
        return STATUS_OF_CODE[exc.code]
    return next(STATUS_OF[kind] for kind in type(exc).__mro__ if kind in STATUS_OF)


def problem_body(
    status: int, code: str, title: str, *, detail: str = "", errors: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    """The members of a problem."""
    body: dict[str, Any] = {
        "type": f"/problems/{code}",
        "title": title,
        "status": status,
        "code": code,
        "trace_id": current_trace().trace_id,
        "errors": errors or [],
    }
    return {**body, "detail": detail} if detail else body


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400."""
    return _page(request, 400, "bad_request", "The request cannot be read")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403."""
    return _page(request, 403, Forbidden.code, Forbidden.title)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form without its token."""
    return _page(request, 403, "csrf_failed", "The form's token is missing or wrong")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404."""
    return _page(request, 404, NotFound.code, NotFound.title)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500."""
    return _page(request, 500, "internal_error", _UNEXPECTED)


def _of_domain(exc: DomainError) -> Response:
    status, detail = status_of(exc), _detail_of(exc)
    place = {"pointer": exc.pointer or "", "code": exc.code, "detail": detail or exc.title}
    return _response(
        status,
        exc.code,
        exc.title,
        detail=detail,
        errors=[place] if exc.pointer is not None else [],
        headers=_headers_of(exc, status),
    )


def _detail_of(exc: DomainError) -> str:
    """The error's facts as one line: `reason` first, then the others by name."""
    facts = dict(exc.fields)
    reason = facts.pop("reason", None)
    parts = [f"{name}: {_fact(value)}" for name, value in facts.items()]
    return redact_text("; ".join([str(reason), *parts] if reason else parts))[:1_000]


def _fact(value: Any) -> str:
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(str(item) for item in value)
    return str(value)


def _headers_of(exc: Exception, status: int) -> dict[str, str]:
    if status == 401:
        return {"WWW-Authenticate": 'Bearer realm="forekeep"'}
    if isinstance(exc, exceptions.MethodNotAllowed):
        return {}
    seconds = exc.fields.get("retry_after_seconds") if isinstance(exc, DomainError) else None
    if seconds is None and status == 503:
        seconds = _RETRY_SECONDS
    return {} if seconds is None else {"Retry-After": str(seconds)}


def _response(
    status: int,
    code: str,
    title: str,
    *,
    detail: str = "",
    errors: list[dict[str, str]] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    body = problem_body(status, code, title, detail=detail, errors=errors)
    return Response(body, status=status, headers=headers, content_type=PROBLEM_JSON)


def _flatten(detail: Any, pointer: str) -> Iterator[dict[str, str]]:
    """DRF's nested validation details as pointer, code and text."""
    if isinstance(detail, Mapping) and not {"message", "code"} <= set(detail):
        for name, inner in detail.items():
            is_whole = name == "non_field_errors"
            yield from _flatten(inner, pointer if is_whole else f"{pointer}/{_escape(name)}")
    elif isinstance(detail, list):
        is_leaf = all(isinstance(item, Mapping) and {"message", "code"} <= set(item) for item in detail)
        for index, inner in enumerate(detail):
            yield from _flatten(inner, pointer if is_leaf else f"{pointer}/{index}")
    elif isinstance(detail, Mapping):
        yield {"pointer": pointer, "code": str(detail["code"]), "detail": str(detail["message"])}


def _escape(name: Any) -> str:
    return str(name).replace("~", "~0").replace("/", "~1")


def _page(request: HttpRequest, status: int, code: str, title: str) -> HttpResponse:
    """Problem JSON for programs, a plain page for browsers."""
    body = problem_body(status, code, title)
    if "text/html" in request.headers.get("Accept", "") and not request.path.startswith("/api/"):
        return render(request, "problem.html", body, status=status)
    return JsonResponse(body, status=status, content_type=PROBLEM_JSON)

"""/problems/<code>: what an error code means, for the person who met it; and where the API begins."""

import inspect
from collections.abc import Iterator

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from apps.kernel.errors import DomainError
from project.errors import status_of


def api_root(request: HttpRequest) -> JsonResponse:
    """What the API's own address answers: where it is described."""
    return JsonResponse({"docs": "/api/docs", "schema": "/api/schema", "health": "/readyz"})


def problem_page(request: HttpRequest, code: str) -> HttpResponse:
    """The title, status and description of a domain error's code, as a page for browsers; 404 for others."""
    for kind in _kinds(DomainError):
        if kind.code == code:
            found = {
                "type": f"/problems/{code}",
                "code": code,
                "title": kind.title,
                "status": status_of(kind()),
                "description": inspect.cleandoc(kind.__doc__ or kind.title),
            }
            if "text/html" in request.headers.get("Accept", ""):
                return render(request, "problem_type.html", found)
            return JsonResponse(found)
    raise Http404


def _kinds(root: type[DomainError]) -> Iterator[type[DomainError]]:
    yield root
    for kind in root.__subclasses__():
        yield from _kinds(kind)

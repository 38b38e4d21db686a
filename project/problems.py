"""/problems/<code>: what an error code means, for the person who met it."""

import inspect
from collections.abc import Iterator

from django.http import Http404, HttpRequest, JsonResponse

from apps.kernel.errors import DomainError
from project.errors import status_of


def problem_page(request: HttpRequest, code: str) -> JsonResponse:
    """The title, status and description of a domain error's code; 404 for another text."""
    for kind in _kinds(DomainError):
        if kind.code == code:
            return JsonResponse(
                {
                    "type": f"/problems/{code}",
                    "code": code,
                    "title": kind.title,
                    "status": status_of(kind()),
                    "description": inspect.cleandoc(kind.__doc__ or kind.title),
                }
            )
    raise Http404


def _kinds(root: type[DomainError]) -> Iterator[type[DomainError]]:
    yield root
    for kind in root.__subclasses__():
        yield from _kinds(kind)

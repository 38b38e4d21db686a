"""What a page's browser may load: our own files and nothing else, and no inline script or style."""

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest
from django.http.response import HttpResponseBase

_POLICY: Final = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
#: served by packages whose own pages need inline code; both are behind a login or public by design
_ELSEWHERE: Final = ("/admin", "/api/")


class ContentSecurityPolicy:
    """Middleware: the strict policy on every HTML answer that is ours."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Add the header unless the view has set its own."""
        response = self._get_response(request)
        is_html = response.headers.get("Content-Type", "").startswith("text/html")
        if is_html and not request.path.startswith(_ELSEWHERE):
            response.headers.setdefault("Content-Security-Policy", _POLICY)
        return response

"""Static files under ASGI: WhiteNoise's own answer is a synchronous stream, which ASGI does not take."""

from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware  # type: ignore[import-untyped]


class StaticFiles(WhiteNoiseMiddleware):  # type: ignore[misc]
    """WhiteNoise with whole bodies; our files are small and known at start."""

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponse:
        """One file, or its 304, with WhiteNoise's headers."""
        found = static_file.get_response(request.method, request.META)
        body = b""
        if found.file is not None:
            with found.file as opened:
                body = opened.read()
        response = HttpResponse(body, status=int(found.status))
        del response["content-type"]
        for name, value in found.headers:
            response[name] = value
        if found.status == HTTPStatus.OK and request.method == "GET":
            response["Content-Length"] = str(len(body))  # the file may have been edited since the start
        return response

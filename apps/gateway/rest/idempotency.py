"""`Idempotency-Key` on POST: mix `Idempotent` into a view, before its other bases."""

import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from apps.gateway.data import IdempotentRequest, StoredAnswer
from apps.gateway.errors import IdempotencyInFlight, IdempotencyKeyInvalid
from apps.gateway.rest.authentication import caller_of
from apps.gateway.services import idempotency_abandon, idempotency_begin, idempotency_finish
from apps.kernel.hashing import sha256

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")

#: Answers that say nothing about the request itself and are not kept.
_NOT_KEPT: Final = frozenset({401, 403, 408, 429})


class Idempotent:
    """A view whose POST answers the same when the same `Idempotency-Key` comes again.

    The work and its stored answer commit together. Answers from 200 to 499 are kept (but not 401, 403,
    408, 429); after a failure of ours the key is free again. `get_kept_body` may leave out what must not
    be stored.
    """

    post: Callable[..., Response]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """After authentication and permissions: put the check around this request's handler."""
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        if request.method == "POST" and "Idempotency-Key" in request.headers:
            self.post = partial(_answer_once, self, self.post)

    def get_kept_body(self, data: Any) -> Any:
        """The part of an answer's body that is stored and answered again."""
        return data


def _answer_once(
    view: Any, handler: Callable[..., Response], request: Request, *args: Any, **kwargs: Any
) -> Response:
    named = _named_request(request)
    begun = idempotency_begin(
        request=named,
        now=timezone.now(),
        in_flight_seconds=settings.FOREKEEP.web.idempotency_in_flight_seconds,
    )
    if isinstance(begun, StoredAnswer):
        return _replay(begun)
    try:
        with transaction.atomic():
            response = handler(request, *args, **kwargs)
            if response.status_code < 400:
                _keep(view, named, begun, response)
    except IdempotencyInFlight:
        raise
    except Exception as exc:
        response = view.handle_exception(exc)
    except BaseException:
        idempotency_abandon(request=named, attempt=begun)
        raise
    if response.status_code >= 500 or response.status_code in _NOT_KEPT:
        idempotency_abandon(request=named, attempt=begun)
    elif response.status_code >= 400:
        _keep(view, named, begun, response)
    return response


def _named_request(request: Request) -> IdempotentRequest:
    key = request.headers["Idempotency-Key"]
    if not _KEY.fullmatch(key):
        raise IdempotencyKeyInvalid()
    target = f"{request.method} {request.get_full_path()}\n".encode()
    return IdempotentRequest(
        caller=caller_of(request).id, key=key, body_sha256=sha256(target + request._request.body).hex()
    )


def _keep(view: Any, named: IdempotentRequest, attempt: UUID, response: Response) -> None:
    body = JSONRenderer().render(view.get_kept_body(response.data)).decode()
    answer = StoredAnswer(
        status=response.status_code,
        body=body,
        location=response.headers.get("Location", ""),
        etag=response.headers.get("ETag", ""),
    )
    idempotency_finish(request=named, attempt=attempt, answer=answer)


def _replay(answer: StoredAnswer) -> Response:
    response = Response(json.loads(answer.body) if answer.body else None, status=answer.status)
    response.headers["Idempotency-Replayed"] = "true"
    if answer.status >= 400:
        response.content_type = "application/problem+json"
    if answer.location:
        response.headers["Location"] = answer.location
    if answer.etag:
        response.headers["ETag"] = answer.etag
    return response

"""Django's ASGI handler for views that are mostly synchronous.

The stock handler gives every request a new thread, hence a new database connection, and crosses between
thread and event loop once per middleware. This one lends each request a thread that lives on, so that
connections last, and runs the whole middleware chain there in one go. At most
`web.requests_at_once_max` requests are worked on; the others wait their turn, so that a crowd cannot
use up the database's connections. A streaming response is sent from the event loop and counts no more.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, cast

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.core.handlers.base import BaseHandler
from django.db import connections
from django.http import FileResponse, HttpRequest
from django.http.response import HttpResponseBase

_SLOT: Final = "forekeep.slot"


class Slot:
    """One request's place among those worked on; given back once."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self._is_held = False

    async def take(self) -> None:
        """Wait for a place."""
        await self._places.acquire()
        self._is_held = True

    def give_back(self) -> None:
        """Let the next one in."""
        if self._is_held:
            self._is_held = False
            self._places.release()


class ThreadedDjango(ASGIHandler):
    """One hop into a thread that lives on, per request."""

    def __init__(self) -> None:
        BaseHandler.__init__(self)
        self.load_middleware(is_async=False)
        self._most: int = settings.FOREKEEP.web.requests_at_once_max
        self._places = asyncio.Semaphore(self._most)
        self._idle: list[ThreadPoolExecutor] = []

    async def __call__(
        self,
        scope: Any,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Serve one HTTP request on a thread of its own."""
        if scope["type"] != "http":
            raise ValueError(f"only HTTP is served here, not {scope['type']}")
        slot = Slot(self._places)
        await slot.take()
        thread = self._idle.pop() if self._idle else ThreadPoolExecutor(1, thread_name_prefix="request")
        try:
            async with ThreadSensitiveContext(executor=thread):
                await self.handle({**scope, _SLOT: slot}, receive, send)
        finally:
            slot.give_back()
            self._keep(thread)

    async def run_get_response(self, request: HttpRequest) -> HttpResponseBase:
        """The response, made by the synchronous chain in the request's thread."""
        response = await sync_to_async(self.get_response, thread_sensitive=True)(request)
        response._handler_class = self.__class__  # type: ignore[attr-defined]
        if isinstance(response, FileResponse):
            response.block_size = self.chunk_size
        elif response.streaming:
            await sync_to_async(connections.close_all, thread_sensitive=True)()
            cast(ASGIRequest, request).scope[_SLOT].give_back()
        return response

    def _keep(self, thread: ThreadPoolExecutor) -> None:
        """Keep the thread and its connection for the next request; beyond the limit let both end."""
        if len(self._idle) < self._most:
            self._idle.append(thread)
            return
        _end(thread)

    def close(self) -> None:
        """End the kept threads and their connections, for a process that goes on after serving."""
        while self._idle:
            _end(self._idle.pop(), is_waited_for=True)


def _end(thread: ThreadPoolExecutor, *, is_waited_for: bool = False) -> None:
    thread.submit(connections.close_all)
    thread.shutdown(wait=is_waited_for)

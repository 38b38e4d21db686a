"""The ASGI handler: threads live on, a crowd waits its turn, a stream holds nobody up."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from django.db import connection, connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

from project.serving import ThreadedDjango

AT_ONCE = 3
_gate = threading.Event()
_inside: list[int] = []


def thread_name(request: HttpRequest) -> HttpResponse:
    connection.ensure_connection()
    return HttpResponse(f"{threading.current_thread().name} {id(connection.connection)}")


def wait_at_gate(request: HttpRequest) -> HttpResponse:
    _inside.append(1)
    assert _gate.wait(timeout=20)
    return HttpResponse("through")


async def endless(request: HttpRequest) -> StreamingHttpResponse:
    async def lines() -> AsyncIterator[bytes]:
        yield b"first\n"
        await asyncio.Event().wait()

    return StreamingHttpResponse(lines())


urlpatterns = [
    path("thread", thread_name),
    path("gate", wait_at_gate),
    path("endless", endless),
]


class Exchange:
    """One request to an ASGI application, its answer as it comes."""

    def __init__(self, application: Any, target: str) -> None:
        self.status = 0
        self.body = b""
        self.started = asyncio.Event()
        self._gone = asyncio.Event()
        self._is_asked = False
        scope = {
            "type": "http",
            "method": "GET",
            "path": target,
            "query_string": b"",
            "headers": [(b"host", b"testserver")],
            "client": ("127.0.0.1", 1),
            "server": ("testserver", 80),
        }
        self.task = asyncio.create_task(application(scope, self._receive, self._send))

    def disconnect(self) -> None:
        self._gone.set()

    async def _receive(self) -> dict[str, Any]:
        if not self._is_asked:
            self._is_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message.get("body"):
            self.body += message["body"]
            self.started.set()


@pytest.fixture
def handler(settings, monkeypatch, transactional_db) -> Iterator[ThreadedDjango]:
    settings.ROOT_URLCONF = __name__
    _gate.clear()
    _inside.clear()
    made = ThreadedDjango()
    made._most, made._places = AT_ONCE, asyncio.Semaphore(AT_ONCE)
    yield made
    _gate.set()
    for thread in made._idle:
        thread.submit(connections.close_all).result()
        thread.shutdown()


async def answer(handler: ThreadedDjango, target: str) -> Exchange:
    exchange = Exchange(handler, target)
    await asyncio.wait_for(exchange.task, 20)
    return exchange


def test_one_request_after_the_other_uses_one_thread_and_one_connection(handler):
    async def run() -> set[bytes]:
        return {(await answer(handler, "/thread")).body for _ in range(5)}

    assert len(asyncio.run(run())) == 1


def test_of_a_crowd_only_so_many_are_worked_on_at_once(handler):
    async def run() -> list[Exchange]:
        crowd = [Exchange(handler, "/gate") for _ in range(3 * AT_ONCE)]
        while len(_inside) < AT_ONCE:
            await asyncio.wait({crowd[0].task}, timeout=0.02)
        await asyncio.wait({crowd[0].task}, timeout=0.2)
        assert len(_inside) == AT_ONCE
        _gate.set()
        await asyncio.wait_for(asyncio.gather(*(one.task for one in crowd)), 20)
        return crowd

    assert [one.body for one in asyncio.run(run())] == [b"through"] * (3 * AT_ONCE)
    assert len(handler._idle) == AT_ONCE


def test_streams_take_nobodys_place_and_end_with_their_client(handler):
    async def run() -> bytes:
        streams = [Exchange(handler, "/endless") for _ in range(2 * AT_ONCE)]
        for stream in streams:
            await asyncio.wait_for(stream.started.wait(), 20)
        other = await answer(handler, "/thread")
        for stream in streams:
            stream.disconnect()
        await asyncio.wait_for(asyncio.gather(*(stream.task for stream in streams)), 20)
        assert {stream.body for stream in streams} == {b"first\n"}
        return other.body

    assert asyncio.run(run()).startswith(b"request")
    assert handler._places._value == AT_ONCE


def test_a_client_that_leaves_gives_its_place_back(handler):
    async def run() -> None:
        for _ in range(2 * AT_ONCE):
            exchange = Exchange(handler, "/thread")
            exchange.disconnect()
            await asyncio.wait_for(exchange.task, 20)

    asyncio.run(run())
    assert handler._places._value == AT_ONCE


def test_a_path_that_is_not_there_gives_its_place_back(handler):
    async def run() -> int:
        return (await answer(handler, "/nowhere")).status

    assert asyncio.run(run()) == 404
    assert handler._places._value == AT_ONCE


def test_other_protocols_are_refused(handler):
    async def run() -> None:
        with pytest.raises(ValueError, match="only HTTP"):
            await handler({"type": "websocket"}, None, None)

    asyncio.run(run())

"""A client of event streams that speaks ASGI to the application itself: no server, no socket."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from django.db import connections

from project.asgi import application

T = TypeVar("T")

#: a busy machine is no failure
_PATIENCE_SECONDS: Final = 20.0


@dataclass(frozen=True)
class Message:
    """One server-sent event, or a comment."""

    event: str = ""
    id: str = ""
    data: str = ""
    comment: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        """The data as JSON."""
        return json.loads(self.data)


class EventStream:
    """One open GET."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue()
        self._started = asyncio.Event()
        self._gone = asyncio.Event()
        self._is_asked = False

    async def next(self, timeout_seconds: float = _PATIENCE_SECONDS) -> Message:
        """The next message; fails when none comes in time or the stream has ended."""
        message = await asyncio.wait_for(self._messages.get(), timeout_seconds)
        assert message is not None, "the stream has ended"
        return message

    async def frames(self, count: int) -> list[Any]:
        """The next frames' data, comments left out."""
        found: list[Any] = []
        while len(found) < count:
            message = await self.next()
            if message.event == "frame":
                assert message.id == str(message.json["sequence"])
                found.append(message.json)
        return found

    async def until_end(self) -> list[Message]:
        """Every message there still is; waits for the end of the answer."""
        found: list[Message] = []
        while (message := await asyncio.wait_for(self._messages.get(), _PATIENCE_SECONDS)) is not None:
            found.append(message)
        return found

    def leave(self) -> None:
        """Close the connection as a browser does."""
        self._gone.set()

    async def receive(self) -> dict[str, Any]:
        """ASGI."""
        if not self._is_asked:
            self._is_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Mapping[str, Any]) -> None:
        """ASGI."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
            self._started.set()
            return
        self.body += message.get("body", b"")
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            *whole, self.body = self.body.split(b"\n\n")
            for block in whole:
                self._messages.put_nowait(_parse(block.decode()))

    def end(self) -> None:
        """The application has returned."""
        self._started.set()
        self._messages.put_nowait(None)

    async def started(self) -> None:
        """Wait for status and headers."""
        await asyncio.wait_for(self._started.wait(), _PATIENCE_SECONDS)


@contextlib.asynccontextmanager
async def open_stream(address: str, **headers: str) -> AsyncIterator[EventStream]:
    """GET a path of the application; leaving the block is the client going away."""
    parts = urlsplit(address)
    stream = EventStream()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": [
            (b"host", b"testserver"),
            *((name.replace("_", "-").lower().encode(), text.encode()) for name, text in headers.items()),
        ],
        "client": ("127.0.0.1", 40000),
        "server": ("testserver", 80),
    }

    async def serve() -> None:
        try:
            await application(scope, stream.receive, stream.send)
        finally:
            stream.end()

    serving = asyncio.create_task(serve())
    await stream.started()
    try:
        yield stream
    finally:
        stream.leave()
        await asyncio.wait_for(serving, _PATIENCE_SECONDS)
        await asyncio.to_thread(application.close)


async def in_thread(work: Callable[[], T]) -> T:
    """Database work from a coroutine, in a thread whose connection is closed again."""

    def run() -> T:
        try:
            return work()
        finally:
            connections.close_all()

    return await asyncio.to_thread(run)


def _parse(block: str) -> Message:
    found: dict[str, str] = {}
    for line in block.split("\n"):
        name, _, text = line.partition(":")
        found[name or "comment"] = text.strip()
    return Message(
        event=found.get("event", ""),
        id=found.get("id", ""),
        data=found.get("data", ""),
        comment=found.get("comment", ""),
        fields=found,
    )

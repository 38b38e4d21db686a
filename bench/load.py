"""An open-loop HTTP client: requests start at their scheduled times, however slow the answers are.

A latency counts from the scheduled moment, so a server that falls behind cannot hide it by slowing the
client down. Plain asyncio over kept connections, because on two cores a heavy client would measure itself.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Final

_PATIENCE_SECONDS: Final = 10.0
_CONNECTIONS: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a rate came to: latencies in seconds of what was answered, and the answers by status (0: none)."""

    offered_per_second: float
    latencies: list[float]
    statuses: Mapping[int, int]
    seconds: float

    @property
    def answered_per_second(self) -> float:
        """Answers per second over the whole time, the last ones awaited."""
        return len(self.latencies) / self.seconds


def request_bytes(method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """One HTTP/1.1 request."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
    return head.encode("ascii") + body


def run_load(host: str, port: int, *, rate: float, seconds: float, make: Callable[[int], bytes]) -> Load:
    """Send `make(n)` for n = 0, 1, … at `rate` per second, for so many seconds."""
    return asyncio.run(_run(host, port, rate, int(rate * seconds), make))


async def _run(host: str, port: int, rate: float, count: int, make: Callable[[int], bytes]) -> Load:
    client = _Client(host, port)
    latencies: list[float] = []
    statuses: dict[int, int] = {}

    async def one(number: int, due: float) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                status = await client.send(make(number))
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            status = 0
        statuses[status] = statuses.get(status, 0) + 1
        if status:
            latencies.append(perf_counter() - due)

    began = perf_counter()
    running: set[asyncio.Task[None]] = set()
    for number in range(count):
        due = began + number / rate
        await asyncio.sleep(max(due - perf_counter(), 0))
        task = asyncio.create_task(one(number, due))
        running.add(task)
        task.add_done_callback(running.discard)
    if running:
        await asyncio.wait(running)
    seconds = perf_counter() - began
    client.close()
    return Load(offered_per_second=rate, latencies=latencies, statuses=statuses, seconds=seconds)


class _Client:
    """Kept connections, one request on each at a time; more requests than connections wait."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._places = asyncio.Semaphore(_CONNECTIONS)

    async def send(self, request: bytes) -> int:
        """The status of the answer; the body is read and dropped."""
        async with self._places:
            reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(*self._address)
            try:
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = head.partition("content-length:")[2].partition("\r\n")[0]
                await reader.readexactly(int(length or 0))
            except BaseException:
                writer.close()
                raise
            self._idle.append((reader, writer))
            return int(head.split(" ", 2)[1])

    def close(self) -> None:
        """Close the connections."""
        for _, writer in self._idle:
            writer.close()

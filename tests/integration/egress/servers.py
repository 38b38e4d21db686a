"""Servers that mean harm, and what an error of the client may show."""

import asyncio
from contextlib import asynccontextmanager

from aiohttp import web

from apps.egress.data import EgressLimits

MAXIMUM = 100_000
HEAD = b"HTTP/1.1 200 OK\r\n"


@asynccontextmanager
async def answering(answer: bytes, *, then: str = "close", host: str = "127.0.0.1"):
    """A raw server that answers so, then closes, hangs or streams. Gives its port and what it was asked."""
    asked: list[bytes] = []

    async def serve(reader, writer):
        try:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
            await writer.drain()
            if then == "hang":
                await reader.read()
            while then == "stream":
                writer.write(b"x" * 65_536)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, 0)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        server.close()


@asynccontextmanager
async def serving(*routes):
    """An aiohttp server with these routes. Gives its port."""
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def limits(port, **changes):
    return EgressLimits(
        allow=(f"127.0.0.1:{port}",), response_max_bytes=MAXIMUM, **{"timeout_seconds": 0.5, **changes}
    )


def check_is_bare(exc, shown):
    """An error shows no query and no header, not even in what it came from."""
    assert "secret" not in f"{exc}{exc.fields}{exc.__cause__}{exc.__context__}"
    assert exc.url == shown

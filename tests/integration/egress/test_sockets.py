"""WebSockets that are silent, close, send too much or elsewhere."""

import asyncio

import pytest
from aiohttp import web

from apps.egress.client import EgressClient
from apps.kernel.errors import DomainError
from tests.integration.egress.servers import answering, check_is_bare, limits, serving


async def _feed(request):
    """What the path says: echo, silence, much, exactly, close."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    match request.match_info["what"]:
        case "echo":
            await socket.send_str(await socket.receive_str())
        case "much":
            await socket.send_str("x" * 1_001)
        case "exactly":
            await socket.send_str("x" * 1_000)
        case "silence":
            await socket.receive()
    await socket.close()
    return socket


async def _redirect(request):
    raise web.HTTPFound("ws://127.0.0.1:1/?secret")


async def _refuse(request):
    return web.Response(status=403)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("feed/echo", "hello"),
        ("feed/exactly", "x" * 1_000),
        ("feed/much", "response_too_large"),
        ("feed/silence", "source_timeout"),
        ("feed/close", "source_unreachable"),
        ("redirect", "redirect_refused"),
        ("refuse", "source_status"),
    ],
)
def test_a_socket_gives_texts_or_a_code(path, found):
    async def go():
        routes = [
            web.get("/feed/{what}", _feed),
            web.get("/redirect", _redirect),
            web.get("/refuse", _refuse),
        ]
        async with serving(*routes) as port, EgressClient(limits(port)) as client:
            url = f"ws://127.0.0.1:{port}/{path}?token=secret"
            try:
                async with client.open_socket(url, {"X-Key": "k"}, 1_000, silence_seconds=0.2) as socket:
                    if path == "feed/echo":
                        await socket.send("hello")
                    async for text in socket:
                        return text
            except DomainError as exc:
                check_is_bare(exc, f"ws://127.0.0.1:{port}/{path}")
                return exc.code

    assert asyncio.run(go()) == found


def test_a_handshake_that_hangs_ends_in_time():
    async def go():
        async with answering(b"", then="hang") as (port, _), EgressClient(limits(port)) as client:
            with pytest.raises(DomainError) as caught:
                async with client.open_socket(f"ws://127.0.0.1:{port}/"):
                    pass
            return caught.value.code

    assert asyncio.run(go()) == "source_timeout"

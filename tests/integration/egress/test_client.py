"""The client against servers that mean harm: each ends soon, with a stable code and nothing secret in it."""

import asyncio
import gzip
import tracemalloc

import aiohttp
import pytest
from aiohttp import web

from apps.egress.client import EgressClient, fetch_sync
from apps.egress.data import EgressLimits, Request
from apps.egress.errors import HeaderRefused, MethodRefused
from apps.egress.headers import retry_after_of
from apps.egress.terms import limits_from_settings
from apps.kernel.errors import DomainError
from tests.integration.egress.servers import HEAD, answering, check_is_bare, limits, serving


async def outcome(port, client=None, **options):
    """The code a request ends with, or the response."""
    request = Request(url=f"http://127.0.0.1:{port}/p?token=secret", headers={"X-Key": "secret"})
    try:
        async with client or EgressClient(limits(port)) as opened:
            return await opened.fetch(request, **options)
    except DomainError as exc:
        check_is_bare(exc, f"http://127.0.0.1:{port}/p")
        return exc.code, exc.fields.get("reason")


@pytest.mark.parametrize(
    ("answer", "then", "code"),
    [
        (b"", "hang", ("source_timeout", None)),
        (HEAD, "hang", ("source_timeout", None)),
        (HEAD + b"Content-Length: 9\r\n\r\nx", "hang", ("source_timeout", None)),
        (HEAD + b"\r\n", "stream", ("response_too_large", None)),
        (HEAD + b"Content-Length: 104857600\r\n\r\n", "stream", ("response_too_large", None)),
        (b"", "close", ("source_unreachable", "closed_early")),
        (HEAD + b"Content-Length: 9\r\n\r\nx", "close", ("source_unreachable", "closed_early")),
        (
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
            "close",
            ("source_unreachable", "closed_early"),
        ),
        (b"SSH-2.0-x\r\n\r\n", "close", ("source_unreachable", "malformed")),
        (HEAD + b"X: " + b"x" * 20_000 + b"\r\n\r\n", "close", ("source_unreachable", "malformed")),
        (HEAD + b"Content-Length: -1\r\n\r\n", "close", ("source_unreachable", "malformed")),
        (
            b"HTTP/1.1 302 F\r\nLocation: http://127.0.0.1/?secret\r\n\r\n",
            "close",
            ("redirect_refused", None),
        ),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "close", ("source_status", None)),
    ],
)
def test_an_answer_that_is_none_has_a_code(answer, then, code):
    async def go():
        async with answering(answer, then=then) as (port, _):
            return await outcome(port)

    assert asyncio.run(go()) == code


def test_an_answer_longer_than_announced_is_malformed():
    async def go():
        async with answering(HEAD + b"Content-Length: 2\r\n\r\nab" + b"c" * 1_000) as (port, _):
            return await outcome(port)

    assert asyncio.run(go()) == ("source_unreachable", "malformed")


def test_a_bomb_is_refused_before_it_is_unpacked():
    bomb = gzip.compress(bytes(100_000_000), 9)
    head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)

    async def go():
        async with answering(head + bomb) as (port, _):
            tracemalloc.start()
            try:
                # smaller than the limit as it is sent
                found = await outcome(port, EgressClient(limits(port, timeout_seconds=5)))
                return found, tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    found, peak = asyncio.run(go())
    assert found == ("response_too_large", None)
    assert peak < 8_000_000


def test_an_error_answer_can_be_kept_with_its_first_bytes():
    async def go():
        async with answering(b"HTTP/1.1 500 No\r\nRetry-After: 7\r\n\r\n", then="stream") as (port, _):
            return await outcome(port, raise_for_status=False, keep_bytes=500)

    response = asyncio.run(go())
    assert (response.status, response.body, response.retry_after) == (500, b"x" * 500, 7.0)


def test_a_closed_port_is_unreachable_and_another_than_the_open_one_refused():
    async def go():
        async with answering(b"") as (port, _):
            refused = await outcome(port, EgressClient(EgressLimits(allow=(f"127.0.0.1:{port + 1}",))))
        return refused, await outcome(port)

    assert asyncio.run(go()) == (("address_refused", "loopback"), ("source_unreachable", "connect_failed"))


def test_a_name_that_turns_to_another_address_is_not_followed_there():
    looked_up = []

    async def go():
        async with answering(HEAD + b"Connection: close\r\n\r\nok") as (port, asked):
            answers = [["127.0.0.1"], ["127.0.0.2"]]

            async def lookup(host, at):
                looked_up.append(host)
                return answers.pop(0)

            codes = []
            for _ in range(2):
                async with EgressClient(limits(port), lookup=lookup) as client:
                    try:
                        response = await client.fetch(Request(url=f"http://name.example:{port}/"))
                        codes.append(response.body)
                    except DomainError as exc:
                        codes.append(exc.code)
            return codes, len(asked)

    assert asyncio.run(go()) == ([b"ok", "address_refused"], 1)
    assert looked_up == ["name.example"] * 2


@pytest.mark.parametrize(
    ("addresses", "code"), [(["127.0.0.1", "10.0.0.1"], "address_refused"), ([], "source_unreachable")]
)
def test_a_name_with_a_refused_address_or_none_is_not_connected_to(addresses, code):
    async def go():
        async def lookup(host, at):
            return addresses

        async with answering(HEAD + b"\r\n") as (port, asked):
            async with EgressClient(limits(port), lookup=lookup) as client:
                with pytest.raises(DomainError) as caught:
                    await client.fetch(Request(url=f"http://name.example:{port}/"))
            return caught.value.code, asked

    assert asyncio.run(go()) == (code, [])


def test_plain_text_where_encryption_was_asked_for_is_a_failure_of_tls():
    async def go():
        async with answering(HEAD + b"\r\n", then="close") as (port, _):
            async with EgressClient(limits(port)) as client:
                with pytest.raises(DomainError) as caught:
                    await client.fetch(Request(url=f"https://127.0.0.1:{port}/"))
            return caught.value.code

    # the raw server waits for the end of a request; the client ends first, or sees no TLS
    assert asyncio.run(go()) in ("tls_failed", "source_timeout")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Host", "x"),
        ("content-length", "1"),
        ("Connection", "close"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "x"),
        ("Proxy-Authorization", "x"),
        ("X", "a\r\nHost: b"),
        ("X", "a\x00"),
        ("X y", "a"),
        ("X\r\nY", "a"),
    ],
)
def test_headers_of_the_connection_are_refused(name, value):
    with pytest.raises(HeaderRefused):
        fetch_sync(Request(url="http://example.org/", headers={name: value}), EgressLimits())


def test_a_method_that_is_no_request_is_refused():
    with pytest.raises(MethodRefused):
        fetch_sync(Request(url="http://example.org/", method="CONNECT"), EgressLimits())


def test_a_second_request_is_conditional_and_no_cookie_comes_back():
    async def answer(request):
        if "Cookie" in request.headers:
            return web.Response(status=400)
        if request.headers.get("If-None-Match") == '"a"':
            return web.Response(status=304)
        return web.Response(body=await request.read(), headers={"ETag": '"a"', "Set-Cookie": "a=b"})

    async def go():
        async with serving(web.post("/", answer)) as port, EgressClient(limits(port)) as client:
            request = Request(url=f"http://127.0.0.1:{port}/", method="POST", body=b"hello")
            first = await client.fetch(request)
            again = await client.fetch(Request(url=request.url, method="POST", body=b"x", etag=first.etag))
            return first.body, again.status, again.is_not_modified

    assert asyncio.run(go()) == (b"hello", 304, True)


def test_no_more_requests_than_allowed_are_at_one_host_at_once():
    present, most, pairs = 0, 0, asyncio.Barrier(2)

    async def answer(request):
        nonlocal present, most
        present += 1
        most = max(most, present)
        await pairs.wait()
        present -= 1
        return web.Response()

    async def go():
        async with serving(web.get("/", answer)) as port:  # noqa: SIM117
            async with EgressClient(limits(port, per_host_at_once=2, timeout_seconds=5)) as client:
                url = f"http://127.0.0.1:{port}/"
                await asyncio.gather(*(client.fetch(Request(url=url)) for _ in range(10)))

    asyncio.run(go())
    assert most == 2


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("5", 5.0),
        ("9999999999", 86_400.0),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_bounded(value, seconds):
    assert retry_after_of(value) == seconds


def test_the_settings_are_the_limits(settings):
    assert limits_from_settings().response_max_bytes == settings.FOREKEEP.egress.response_max_bytes
    assert aiohttp.__version__.startswith("3.")

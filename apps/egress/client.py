"""Requests to addresses that users name, which can never reach the inside.

Every URL passes `guard.check_url`, every name's addresses pass `guard.check_addresses`, and the connection
goes to the very addresses that passed. No redirect is followed, no cookie or proxy variable used; time, size
and numbers are bounded. What goes wrong is an error of `errors`, with nothing secret in it.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, Self

import aiohttp

from apps.egress.data import EgressLimits, Request, Response, Target
from apps.egress.errors import ResponseTooLarge, SourceStatus, SourceUnreachable
from apps.egress.faults import TRANSFER_ENDS, fault_of, refuse_redirects
from apps.egress.guard import HTTP, WEBSOCKET, check_url, read_allow
from apps.egress.headers import check_headers, headers_of, retry_after_of, validator_of
from apps.egress.lookup import GuardedResolver, Lookup, SystemLookup
from apps.kernel.errors import DomainError

USER_AGENT: Final = "forekeep"
_HEARTBEAT_SECONDS: Final = 20.0
_NAMES_KEPT_SECONDS: Final = 10


class EgressClient:
    """One loop's way out, an async context manager; connections are kept alive and shared."""

    def __init__(
        self, limits: EgressLimits, *, lookup: Lookup | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.limits = limits
        self._system = None if lookup else SystemLookup()
        self._resolver = GuardedResolver(lookup or self._system or SystemLookup(), read_allow(limits.allow))
        self._tls: ssl.SSLContext | bool = tls or True

    async def __aenter__(self) -> Self:
        self._requests = self._open(self.limits.per_host_at_once, self.limits.timeout_seconds)
        # Sockets stay open for long and take no place from requests; a handshake's time is bounded by us.
        self._sockets = self._open(0, None)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._requests.close()
        await self._sockets.close()
        if self._system:
            self._system.close()

    async def fetch(
        self, request: Request, *, raise_for_status: bool = True, keep_bytes: int | None = None
    ) -> Response:
        """One whole answer; with `keep_bytes` only its first bytes, however long it is.

        Raises UrlInvalid, UrlSchemeRefused, AddressRefused, HeaderRefused, MethodRefused, SourceUnreachable,
        SourceTimeout, SourceStatus (unless `raise_for_status` is off), ResponseTooLarge, RedirectRefused,
        TlsFailed.
        """
        limits = self.limits
        target = check_url(request.url, limits.allow, HTTP)
        headers = headers_of(request)

        try:
            response = await self._exchange(target, request, headers, keep_bytes)
        except TRANSFER_ENDS as exc:
            fault = fault_of(exc, target.shown, limits.timeout_seconds, limits.response_max_bytes)
        else:
            if raise_for_status and response.status >= 400:
                after = response.retry_after
                raise SourceStatus(url=target.shown, status=response.status, retry_after_seconds=after)
            return response
        # raised outside of the clause: what aiohttp says holds the whole URL
        raise fault

    @asynccontextmanager
    async def open_socket(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        max_message_bytes: int | None = None,
        *,
        silence_seconds: float | None = None,
    ) -> AsyncIterator["Socket"]:
        """A WebSocket. After `silence_seconds` without a message reading it raises SourceTimeout.

        Raises what `fetch` raises.
        """
        limits = self.limits
        target = check_url(url, limits.allow, WEBSOCKET)
        maximum = max_message_bytes or limits.response_max_bytes
        sent = check_headers(headers or {})

        fault = None
        try:
            async with asyncio.timeout(limits.timeout_seconds):
                opened = await self._sockets.ws_connect(
                    target.url,
                    headers=sent,
                    # aiohttp refuses what is as long as the limit
                    max_msg_size=maximum + 1,
                    heartbeat=_HEARTBEAT_SECONDS,
                    timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                )
        except TRANSFER_ENDS as exc:
            fault = fault_of(exc, target.shown, limits.timeout_seconds, maximum)
        if fault:
            raise fault
        try:
            yield Socket(opened, shown=target.shown, maximum_bytes=maximum, silence_seconds=silence_seconds)
        finally:
            await opened.close()

    async def _exchange(
        self, target: Target, request: Request, headers: Mapping[str, str], keep_bytes: int | None
    ) -> Response:
        started_at = time.monotonic()
        async with self._requests.request(
            request.method, target.url, headers=headers, data=request.body, allow_redirects=False
        ) as answer:
            body = await self._read(answer, target, keep_bytes)
        return Response(
            status=answer.status,
            body=body,
            etag=validator_of(answer.headers.get("ETag")),
            last_modified=validator_of(answer.headers.get("Last-Modified")),
            retry_after=retry_after_of(answer.headers.get("Retry-After")),
            is_not_modified=answer.status == 304,
            taken_seconds=time.monotonic() - started_at,
        )

    async def _read(self, answer: aiohttp.ClientResponse, target: Target, keep_bytes: int | None) -> bytes:
        """The body, counted as it comes: the length an answer claims is only a reason to stop early."""
        maximum = self.limits.response_max_bytes if keep_bytes is None else keep_bytes
        read = bytearray()
        if keep_bytes is None and answer.method != "HEAD" and (answer.content_length or 0) > maximum:
            answer.close()
            raise ResponseTooLarge(url=target.shown, maximum_bytes=maximum)
        async for chunk in answer.content.iter_any():
            read += chunk
            if len(read) > maximum:
                answer.close()
                if keep_bytes is None:
                    raise ResponseTooLarge(url=target.shown, maximum_bytes=maximum)
                break
        return bytes(read[:maximum])

    def _open(self, per_host: int, timeout_seconds: float | None) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self.limits.at_once,
                limit_per_host=per_host,
                resolver=self._resolver,
                ttl_dns_cache=_NAMES_KEPT_SECONDS,
                ssl=self._tls,
            ),
            timeout=aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=self.limits.connect_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            middlewares=(refuse_redirects,),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip, deflate"},
        )


class Socket:
    """An open WebSocket: iterates texts, and never ends silently."""

    def __init__(
        self,
        opened: aiohttp.ClientWebSocketResponse[bool],
        *,
        shown: str,
        maximum_bytes: int,
        silence_seconds: float | None,
    ) -> None:
        self._opened, self._shown = opened, shown
        self._maximum_bytes, self._silence_seconds = maximum_bytes, silence_seconds

    async def send(self, text: str) -> None:
        """Send one text message. Raises SourceUnreachable."""
        try:
            await self._opened.send_str(text)
            return
        except (aiohttp.ClientError, OSError):
            pass
        raise SourceUnreachable(url=self._shown, reason="closed")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        """The next message. Raises SourceUnreachable (also when the other side closes), SourceTimeout,
        ResponseTooLarge.
        """
        fault: DomainError | None = None
        try:
            message = await self._opened.receive(self._silence_seconds)
            if message.type is aiohttp.WSMsgType.TEXT:
                return str(message.data)
            if message.type is aiohttp.WSMsgType.BINARY:
                return bytes(message.data).decode()
            if message.type is aiohttp.WSMsgType.ERROR:
                raise message.data
        except UnicodeDecodeError:
            fault = SourceUnreachable(url=self._shown, reason="malformed")
        except TRANSFER_ENDS as exc:
            fault = fault_of(
                exc, self._shown, self._silence_seconds or _HEARTBEAT_SECONDS, self._maximum_bytes
            )
        raise fault or SourceUnreachable(url=self._shown, reason="closed")


def fetch_sync(
    request: Request, limits: EgressLimits, *, raise_for_status: bool = True, keep_bytes: int | None = None
) -> Response:
    """`EgressClient.fetch` in a loop of its own, for threads that have none. Raises what it raises."""

    async def fetch() -> Response:
        async with EgressClient(limits) as client:
            return await client.fetch(request, raise_for_status=raise_for_status, keep_bytes=keep_bytes)

    return asyncio.run(fetch())

"""What aiohttp says as what we say. Its own texts hold whole URLs and are dropped."""

import ssl

import aiohttp
from yarl import URL

from apps.egress.errors import (
    RedirectRefused,
    ResponseTooLarge,
    SourceStatus,
    SourceTimeout,
    SourceUnreachable,
    TlsFailed,
)
from apps.egress.headers import retry_after_of
from apps.kernel.errors import DomainError

#: What a transfer may end with.
TRANSFER_ENDS = (aiohttp.ClientError, OSError, TimeoutError, aiohttp.WebSocketError)


def fault_of(exc: BaseException, shown: str, seconds: float, maximum_bytes: int) -> DomainError:
    """The error that a caller sees."""
    if isinstance(exc, aiohttp.ClientSSLError | ssl.SSLError):
        return TlsFailed(url=shown, reason=_tls_reason(exc))
    if isinstance(exc, TimeoutError):
        return SourceTimeout(url=shown, seconds=seconds)
    if isinstance(exc, aiohttp.WebSocketError) and exc.code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG:
        return ResponseTooLarge(url=shown, maximum_bytes=maximum_bytes)
    if isinstance(exc, aiohttp.WSServerHandshakeError) and exc.status >= 400:
        retry_after = retry_after_of(exc.headers.get("Retry-After") if exc.headers else None)
        return SourceStatus(url=shown, status=exc.status, retry_after_seconds=retry_after)
    return SourceUnreachable(url=shown, reason=_reason_of(exc))


async def refuse_redirects(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Middleware of every session, so that a handshake follows no redirect either. Raises RedirectRefused."""
    response = await handler(request)
    if 300 <= response.status < 400 and response.status != 304:
        response.close()
        shown = f"{request.url.scheme}://{request.url.raw_host}:{request.url.port}{request.url.raw_path}"
        to_host = _host_of(request.url, response.headers.get("Location", ""))
        raise RedirectRefused(url=shown, status=response.status, to_host=to_host)
    return response


def _reason_of(exc: BaseException) -> str:
    match exc:
        case aiohttp.ClientConnectorDNSError():
            return "name_unknown"
        case aiohttp.ClientConnectorError():
            return "connect_failed"
        case aiohttp.ClientResponseError() | aiohttp.InvalidURL() | aiohttp.WebSocketError():
            return "malformed"
        case _:
            return "closed_early"


def _tls_reason(exc: BaseException) -> str:
    cause = getattr(exc, "certificate_error", None) or getattr(exc, "os_error", None) or exc
    return str(getattr(cause, "verify_message", None) or getattr(cause, "reason", None) or "handshake failed")


def _host_of(base: URL, location: str) -> str:
    try:
        return base.join(URL(location)).raw_host or ""
    except ValueError:
        return ""

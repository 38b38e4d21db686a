"""JSON-RPC over HTTP: single calls and batches, with errors as facts.

One keep-alive connection pool per client. A batch answers call by call, so one refused request never
hides the others. A connection the node closed meanwhile is opened again once; everything we send is
safe to repeat. URLs may carry credentials and are never shown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2

from apps.chains.errors import ChainFault, ChainUnreachable

#: Public nodes refuse larger batches.
MAX_BATCH_CALLS: Final = 400
MAX_BATCH_BYTES: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcFault:
    """A node's refusal of one call in a batch."""

    code: int
    message: str
    data: str = ""


@dataclass(frozen=True, slots=True)
class RpcCall:
    """One request: a method and its parameters."""

    method: str
    parameters: tuple[Any, ...] = ()

    @property
    def size(self) -> int:
        """Roughly how many bytes it takes on the wire."""
        return 100 + sum(len(item) if isinstance(item, str) else 200 for item in self.parameters)


class RpcTransport:
    """The HTTP side of one node."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self._url = url
        self._http = httpx2.Client(timeout=timeout_seconds, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def shown_url(self) -> str:
        """Scheme, host and port: what may be logged."""
        parts = urlsplit(self._url)
        return (
            f"{parts.scheme}://{parts.hostname}:{parts.port}"
            if parts.port
            else f"{parts.scheme}://{parts.hostname}"
        )

    def call(self, method: str, *parameters: Any) -> Any:
        """One call's result; raise ChainUnreachable or ChainFault."""
        (result,) = self.batch([RpcCall(method, parameters)])
        if isinstance(result, RpcFault):
            raise ChainFault(method=method, rpc_code=result.code, message=result.message, data=result.data)
        return result

    def batch(self, calls: Sequence[RpcCall]) -> list[Any]:
        """The results in order, an RpcFault where the node refused; raise ChainUnreachable."""
        results: list[Any] = []
        for part in _parts(calls):
            results += self._send(part)
        return results

    def _send(self, calls: Sequence[RpcCall]) -> list[Any]:
        requests = [
            {"jsonrpc": "2.0", "id": number, "method": call.method, "params": call.parameters}
            for number, call in enumerate(calls)
        ]
        answer = self._post(requests if len(requests) > 1 else requests[0])
        answers = answer if isinstance(answer, list) else [answer]
        by_id = {item.get("id"): item for item in answers if isinstance(item, dict)}
        if set(by_id) != set(range(len(calls))):
            raise ChainUnreachable(url=self.shown_url, reason=f"not an answer: {str(answer)[:200]}")
        return [_result(by_id[number]) for number in range(len(calls))]

    def _post(self, body: Any) -> Any:
        try:
            try:
                response = self._http.post(self._url, json=body)
            except (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError):
                response = self._http.post(self._url, json=body)
            response.raise_for_status()
            return response.json()
        except (httpx2.HTTPError, ValueError) as exc:
            reason = f"{type(exc).__name__}: {exc}".replace(self._url, self.shown_url)[:200]
            raise ChainUnreachable(url=self.shown_url, reason=reason) from None


def _result(answer: dict[str, Any]) -> Any:
    error = answer.get("error")
    if error is None:
        return answer.get("result")
    data = error.get("data")
    if isinstance(data, dict):
        data = data.get("data")
    return RpcFault(
        code=int(error.get("code", 0)),
        message=str(error.get("message", "")),
        data=data if isinstance(data, str) else "",
    )


def _parts(calls: Sequence[RpcCall]) -> Iterator[Sequence[RpcCall]]:
    """Cut into batches a node accepts."""
    part: list[RpcCall] = []
    size = 0
    for call in calls:
        if part and (len(part) == MAX_BATCH_CALLS or size + call.size > MAX_BATCH_BYTES):
            yield part
            part, size = [], 0
        part.append(call)
        size += call.size
    if part:
        yield part

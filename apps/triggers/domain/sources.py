"""Where a condition's values come from. A source is all that makes one request the same as another: sources
with the same key are asked once, however many jobs read them.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from apps.kernel.abi import AbiType, encode_call, parse_outputs
from apps.kernel.abi_decoding import decode
from apps.kernel.hashing import canonical_json

DEFAULT_POLL_SECONDS: Final = 1


class SourceKind(StrEnum):
    """How a source is asked."""

    #: a request every so many seconds
    HTTP = "http"
    #: every message of one connection
    WEBSOCKET = "websocket"
    #: a contract's function, read every so many seconds
    CHAIN = "chain"
    #: a value in the definition
    STATIC = "static"


class Method(StrEnum):
    """How a request is made."""

    GET = "GET"
    POST = "POST"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretReference:
    """A value that the vault holds under this name."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """One header of a request; the value of a secret is put in when the request is made."""

    name: str
    value: str | SecretReference


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSource:
    """`body` is JSON, None where none is sent."""

    url: str
    method: Method
    headers: tuple[Header, ...]
    body: Any
    poll_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WebsocketSource:
    """`subscribe` is JSON sent once connected, None where nothing is sent."""

    url: str
    headers: tuple[Header, ...]
    subscribe: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainSource:
    """A read of a contract: the address in lower case, the function's ABI entry, its arguments as JSON.

    `decimals` say how the value is shown; nothing is scaled by them.
    """

    chain_id: int
    address: str
    entry: Mapping[str, Any]
    arguments: tuple[Any, ...]
    poll_seconds: int
    decimals: int | None

    @property
    def call_data(self) -> bytes:
        """Selector and encoded arguments."""
        return encode_call(self.entry, self.arguments)

    @property
    def outputs(self) -> AbiType:
        """What the function returns."""
        return parse_outputs(self.entry)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticSource:
    """Any JSON."""

    value: Any


Source = HttpSource | WebsocketSource | ChainSource | StaticSource


def kind_of(source: Source) -> SourceKind:
    """How the source is asked."""
    match source:
        case HttpSource():
            return SourceKind.HTTP
        case WebsocketSource():
            return SourceKind.WEBSOCKET
        case ChainSource():
            return SourceKind.CHAIN
        case StaticSource():
            return SourceKind.STATIC


def source_to_json(source: Source) -> dict[str, Any]:
    """The canonical JSON form, which reads back to an equal source; what is default or absent is left out."""
    match source:
        case HttpSource():
            form: dict[str, Any] = {"url": source.url, "method": str(source.method)}
            form |= _headers_form(source.headers)
            form |= {} if source.body is None else {"body": source.body}
            form["poll_seconds"] = source.poll_seconds
        case WebsocketSource():
            form = {"url": source.url, **_headers_form(source.headers)}
            form |= {} if source.subscribe is None else {"subscribe": source.subscribe}
        case ChainSource():
            form = {
                "chain_id": source.chain_id,
                "address": source.address,
                "abi": dict(source.entry),
                "arguments": list(source.arguments),
                "poll_seconds": source.poll_seconds,
            }
            form |= {} if source.decimals is None else {"decimals": source.decimals}
        case StaticSource():
            form = {"value": source.value}
    return {"kind": str(kind_of(source)), **form}


def source_key(source: Source, project_id: UUID) -> str:
    """64 hex digits, the same for sources whose requests are the same.

    A source with secrets is its project's own, since each project's vault holds other values. How often a
    source is asked is part of the key; how its value is shown is not.
    """
    form = source_to_json(source)
    form.pop("decimals", None)
    if secrets_of(source):
        form["project"] = project_id.hex
    return hashlib.sha256(b"forekeep source 1\0" + canonical_json(form)).hexdigest()


def secrets_of(source: Source) -> tuple[str, ...]:
    """The names of the secrets a source's request needs, each once."""
    headers = source.headers if isinstance(source, HttpSource | WebsocketSource) else ()
    names = {header.value.name for header in headers if isinstance(header.value, SecretReference)}
    return tuple(sorted(names))


def shown_url(source: Source) -> str:
    """What may be shown and stored of where the source is: no query, which often holds keys."""
    match source:
        case HttpSource() | WebsocketSource():
            parts = urlsplit(source.url)
            return f"{parts.scheme}://{parts.netloc}{parts.path}"
        case ChainSource():
            return f"eip155:{source.chain_id}:{source.address}"
        case StaticSource():
            return ""


def decode_returns(source: ChainSource, data: bytes) -> dict[str, Any]:
    """The document of a call's result: every output by its place and, where no other has it, by its name.

    Integers are decimal texts, whatever their size; raise AbiDataInvalid.
    """
    outputs = source.outputs
    values = [_as_document(value) for value in decode(outputs, data)]
    by_place = {str(i): value for i, value in enumerate(values)}
    names = Counter(outputs.names)
    named = {
        name: value for name, value in zip(outputs.names, values, strict=True) if name and names[name] == 1
    }
    return {**named, **by_place}


def _as_document(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_document(item) for item in value]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _headers_form(headers: tuple[Header, ...]) -> dict[str, Any]:
    if not headers:
        return {}
    return {"headers": {header.name: _value_form(header.value) for header in headers}}


def _value_form(value: str | SecretReference) -> Any:
    # "secret" as a name is refused by the event store, which cannot know that this is none
    return {"vault": value.name} if isinstance(value, SecretReference) else value

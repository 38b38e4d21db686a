"""From JSON to a source; every refusal has a code and a pointer."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from apps.kernel.abi import (
    AbiInvalid,
    ArgumentsMismatch,
    compute_signature,
    encode_call,
    parse_inputs,
    parse_outputs,
    require_address,
)
from apps.kernel.abi_text import entry_of_function, members_of_types
from apps.kernel.hashing import canonical_json
from apps.kernel.reading import FieldInvalid, FieldMissing, Reading, escape, placed, require_plain
from apps.triggers.domain.sources import (
    DEFAULT_POLL_SECONDS,
    ChainSource,
    Header,
    HttpSource,
    Method,
    SecretReference,
    Source,
    SourceKind,
    StaticSource,
    WebsocketSource,
)
from apps.triggers.errors import (
    BodyTooLarge,
    HeaderInvalid,
    MethodUnknown,
    PollInvalid,
    SourceChainInvalid,
    SourceFunctionInvalid,
    SourceKindUnknown,
    UrlInvalid,
)

URL_MAX_CHARACTERS: Final = 2_048
BODY_MAX_BYTES: Final = 65_536
HEADERS_MAX: Final = 16
HEADER_MAX_CHARACTERS: Final = 1_024
POLL_SECONDS_MAX: Final = 86_400
CALL_MAX_BYTES: Final = 8_192
OUTPUTS_MAX: Final = 32
_CHAIN_ID_MAX: Final = (1 << 53) - 1
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", re.ASCII)
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e]*", re.ASCII)
_SECRET_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_URL: Final = re.compile(r"[\x21-\x7e]+", re.ASCII)
_MEMBER_NAME: Final = re.compile(r"[A-Za-z0-9_$]{0,64}", re.ASCII)
#: headers that are the connection's own, or say how long and in what form the body is
_OWN_HEADERS: Final = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_FIELDS: Final[Mapping[SourceKind, frozenset[str]]] = {
    SourceKind.HTTP: frozenset({"kind", "url", "method", "headers", "body", "poll_seconds"}),
    SourceKind.WEBSOCKET: frozenset({"kind", "url", "headers", "subscribe"}),
    SourceKind.CHAIN: frozenset(
        {
            "kind",
            "chain_id",
            "address",
            "function",
            "abi",
            "returns",
            "arguments",
            "poll_seconds",
            "decimals",
        }
    ),
    SourceKind.STATIC: frozenset({"kind", "value"}),
}


def source_from_json(value: Any, pointer: str) -> Source:
    """Read a source; raise what `errors.py` and `kernel/reading.py` name, at its pointer."""
    if not isinstance(value, Mapping):
        raise FieldInvalid(pointer=pointer, reason="an object is expected")
    open_reading = Reading(value, pointer, [*value])
    kind = open_reading.choice("kind", SourceKind, SourceKindUnknown)
    reading = Reading(value, pointer, _FIELDS[kind])
    match kind:
        case SourceKind.HTTP:
            return _http(reading)
        case SourceKind.WEBSOCKET:
            return WebsocketSource(
                url=_url(reading, ("ws", "wss")),
                headers=_headers(reading),
                subscribe=_json(reading, "subscribe"),
            )
        case SourceKind.CHAIN:
            return _chain(reading)
        case SourceKind.STATIC:
            if not reading.has("value"):
                raise FieldMissing(pointer=reading.at("value"), field="value")
            return StaticSource(value=_json(reading, "value"))


def _http(reading: Reading) -> HttpSource:
    method = reading.choice("method", Method, MethodUnknown, Method.GET)
    if reading.has("body") and method is Method.GET:
        raise FieldInvalid(pointer=reading.at("body"), reason="only a POST has a body")
    return HttpSource(
        url=_url(reading, ("http", "https")),
        method=method,
        headers=_headers(reading),
        body=_json(reading, "body"),
        poll_seconds=_poll_seconds(reading),
    )


def _chain(reading: Reading) -> ChainSource:
    chain_id = reading.number("chain_id", None, SourceChainInvalid, low=1, high=_CHAIN_ID_MAX)
    address = require_address(reading.require("address"), reading.at("address"))
    entry = _entry(reading)
    arguments = tuple(reading.items("arguments"))
    require_plain(arguments, reading.at("arguments"))
    try:
        size = len(encode_call(entry, arguments))
    except ArgumentsMismatch as exc:
        raise placed(exc, reading.at("arguments")) from None
    if size > CALL_MAX_BYTES:
        raise BodyTooLarge(pointer=reading.at("arguments"), size_bytes=size, limit_bytes=CALL_MAX_BYTES)
    decimals = None
    if reading.has("decimals"):
        decimals = reading.number("decimals", None, FieldInvalid, low=0, high=78)
    return ChainSource(
        chain_id=chain_id,
        address=address,
        entry=entry,
        arguments=arguments,
        poll_seconds=_poll_seconds(reading),
        decimals=decimals,
    )


def _entry(reading: Reading) -> dict[str, Any]:
    """The function's entry with its outputs, from its ABI entry or from its text and what it returns."""
    named = reading.text("function", "", max_characters=256)
    if reading.has("abi") == reading.has("returns"):
        raise SourceFunctionInvalid(
            pointer=reading.at("abi"), reason="either the ABI entry or what the function returns is expected"
        )
    if reading.has("abi"):
        entry = reading.value["abi"]
        try:
            kept = _canonical_entry(entry)
        except AbiInvalid as exc:
            raise placed(exc, reading.at("abi")) from None
        if named and compute_signature(_entry_at(named, reading)) != compute_signature(kept):
            raise SourceFunctionInvalid(
                pointer=reading.at("function"), reason="the ABI entry is of another function"
            )
    else:
        kept = {**_entry_at(reading.text("function", max_characters=256), reading)}
        kept["outputs"] = _outputs_of_texts(reading.items("returns"), reading.at("returns"))
        try:
            kept = _canonical_entry(kept)
        except AbiInvalid as exc:
            raise AbiInvalid(pointer=reading.at("returns"), **exc.fields) from None
    if not 1 <= len(kept["outputs"]) <= OUTPUTS_MAX:
        raise SourceFunctionInvalid(
            pointer=reading.at("abi" if reading.has("abi") else "returns"),
            reason=f"a function that returns 1 to {OUTPUTS_MAX} values is expected",
        )
    return kept


def _entry_at(function: str, reading: Reading) -> dict[str, Any]:
    """The entry of a function given as text; raise AbiInvalid at the field `function`."""
    try:
        return entry_of_function(function)
    except AbiInvalid as exc:
        raise AbiInvalid(pointer=reading.at("function"), **exc.fields) from None


def _outputs_of_texts(types: Sequence[Any], pointer: str) -> list[dict[str, Any]]:
    for i, kind in enumerate(types):
        if not isinstance(kind, str) or len(kind) > 256:
            raise FieldInvalid(pointer=f"{pointer}/{i}", reason="a type as text is expected")
    return members_of_types(types, pointer)


def _canonical_entry(entry: Any) -> dict[str, Any]:
    parse_inputs(entry)
    parse_outputs(entry)
    return {
        "type": "function",
        "name": entry["name"],
        "inputs": [_canonical_member(member) for member in entry["inputs"]],
        "outputs": [_canonical_member(member) for member in entry["outputs"]],
    }


def _canonical_member(member: Mapping[str, Any]) -> dict[str, Any]:
    name = member.get("name", "")
    if not isinstance(name, str) or not _MEMBER_NAME.fullmatch(name):
        raise AbiInvalid(reason="not a member's name", value=str(name)[:80])
    kept = {"name": name, "type": member["type"]}
    if member["type"].startswith("tuple"):
        kept["components"] = [_canonical_member(part) for part in member["components"]]
    return kept


def _url(reading: Reading, schemes: tuple[str, str]) -> str:
    url = reading.require("url")
    pointer = reading.at("url")
    if not isinstance(url, str) or len(url) > URL_MAX_CHARACTERS or not _URL.fullmatch(url):
        raise UrlInvalid(
            pointer=pointer, reason=f"an ASCII URL of at most {URL_MAX_CHARACTERS} characters is expected"
        )
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        raise UrlInvalid(pointer=pointer, reason="not a URL") from None
    if parts.scheme not in schemes or not has_host:
        raise UrlInvalid(
            pointer=pointer, reason=f"{schemes[0]}:// or {schemes[1]}:// and a host are expected"
        )
    if "@" in parts.netloc or "\\" in url:
        raise UrlInvalid(pointer=pointer, reason="no user name or password; use a header with a secret")
    if "#" in url:
        raise UrlInvalid(pointer=pointer, reason="no fragment is expected")
    return url


def _headers(reading: Reading) -> tuple[Header, ...]:
    given = reading.get("headers", {})
    pointer = reading.at("headers")
    if not isinstance(given, Mapping) or len(given) > HEADERS_MAX:
        raise FieldInvalid(pointer=pointer, reason=f"an object of at most {HEADERS_MAX} headers is expected")
    headers = [_header(name, value, f"{pointer}/{escape(str(name)[:80])}") for name, value in given.items()]
    if len({header.name.lower() for header in headers}) != len(headers):
        raise HeaderInvalid(pointer=pointer, reason="a header stands twice")
    return tuple(sorted(headers, key=lambda header: header.name.lower()))


def _header(name: Any, value: Any, pointer: str) -> Header:
    if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
        raise HeaderInvalid(pointer=pointer, reason="not a header's name")
    if name.lower() in _OWN_HEADERS or name.lower().startswith("sec-websocket-"):
        raise HeaderInvalid(pointer=pointer, reason="this header is the connection's own")
    if isinstance(value, Mapping):
        reading = Reading(value, pointer, ("secret", "vault"))
        field = "secret" if reading.has("secret") else "vault"
        secret = reading.text(field, max_characters=64)
        if not _SECRET_NAME.fullmatch(secret):
            raise HeaderInvalid(pointer=f"{pointer}/{field}", reason="not a secret's name")
        return Header(name=name, value=SecretReference(name=secret))
    if not isinstance(value, str) or len(value) > HEADER_MAX_CHARACTERS or not _HEADER_VALUE.fullmatch(value):
        raise HeaderInvalid(
            pointer=pointer, reason=f"printable ASCII of at most {HEADER_MAX_CHARACTERS} characters"
        )
    return Header(name=name, value=value.strip("\t "))


def _json(reading: Reading, name: str) -> Any:
    value = reading.get(name)
    if value is None:
        return None
    require_plain(value, reading.at(name))
    size = len(canonical_json(value))
    if size > BODY_MAX_BYTES:
        raise BodyTooLarge(pointer=reading.at(name), size_bytes=size, limit_bytes=BODY_MAX_BYTES)
    return value


def _poll_seconds(reading: Reading) -> int:
    return reading.number("poll_seconds", DEFAULT_POLL_SECONDS, PollInvalid, low=1, high=POLL_SECONDS_MAX)

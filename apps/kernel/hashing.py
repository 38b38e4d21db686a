"""Hashes and the canonical JSON everything signed or stored is hashed over (RFC 8785)."""

import hashlib
import json
from typing import Any, Final

import rfc8785
from eth_hash.auto import keccak as _keccak

from apps.kernel.errors import Invalid

#: nothing we hash is nested deeper
MAX_DEPTH: Final = 200
_MAX_SAFE: Final = (1 << 53) - 1
_LEAVES: Final = frozenset({str, bool, type(None)})
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode


class NotCanonicalJson(Invalid):
    """A value with no canonical JSON form: NaN, an infinity, an integer beyond 2^53, a non-string key."""

    code = "not_canonical_json"
    title = "The value has no canonical JSON form"


def canonical_json(value: Any) -> bytes:
    """Return RFC 8785 bytes of a JSON value; raise NotCanonicalJson where it has none.

    Values without floats and with ASCII keys, which is nearly all there are, have the same bytes from
    the standard library's encoder in a fraction of the time; `rfc8785` does the others.
    """
    try:
        if _is_plain(value):
            return _encode(value).encode()
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, RecursionError, UnicodeError) as exc:
        raise NotCanonicalJson(reason=str(exc)[:200]) from None


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Plain loops that do not descend into leaves: this runs over everything that is signed or stored."""
    kind = type(value)
    if kind in _LEAVES:
        return True
    if kind is int:
        return bool(-_MAX_SAFE <= value <= _MAX_SAFE)
    if depth > MAX_DEPTH:
        raise NotCanonicalJson(reason=f"nested deeper than {MAX_DEPTH}")
    if kind is dict:
        for key in value:
            if type(key) is not str or not key.isascii():
                return False
        value = value.values()
    elif kind is not list and kind is not tuple:
        return False
    for item in value:  # noqa: SIM110 - a generator costs twice as much here
        if type(item) not in _LEAVES and not _is_plain(item, depth + 1):
            return False
    return True


def sha256(data: bytes) -> bytes:
    """Return the 32-byte SHA-256 digest."""
    return hashlib.sha256(data).digest()


def keccak(data: bytes) -> bytes:
    """Return the 32-byte Keccak-256 digest, as the EVM computes it."""
    return bytes(_keccak(data))


def to_hex(data: bytes) -> str:
    """Return `0x…`, lower case."""
    return "0x" + data.hex()


def from_hex(text: str, *, length: int | None = None) -> bytes:
    """Parse `0x…`; raise Invalid for anything else, or for another length in bytes."""
    if not isinstance(text, str) or not text.startswith("0x"):
        raise Invalid(reason="hex text starts with 0x", value=str(text)[:80])
    try:
        data = bytes.fromhex(text[2:])
    except ValueError:
        raise Invalid(reason="not hex", value=text[:80]) from None
    if length is not None and len(data) != length:
        raise Invalid(reason=f"{length} bytes expected, {len(data)} given", value=text[:80])
    return data

"""The hash chain of one aggregate: each event's hash covers its content and the hash before it."""

import json
import re
from typing import Any, Final

from apps.eventlog.data import ChainLink
from apps.kernel.hashing import canonical_json, sha256

_encode: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
).encode
#: A number as Python writes it and RFC 8785 does not: 1e-05.
_PYTHON_NUMBER: Final = re.compile(r"[:\[,]-?\d+(?:\.\d+)?e[-+]?\d")


def compute_hash(link: ChainLink) -> str:
    """SHA-256 (64 hex digits) over the RFC 8785 JSON of the link's eight fields."""
    return sha256(_canonical(_covered(link))).hex()


def is_hash_of(link: ChainLink, stored: str) -> bool:
    """Whether the link's content gives the stored hash."""
    return compute_hash(link) == stored or sha256(canonical_json(_covered(link))).hex() == stored


def find_fault(link: ChainLink, stored: str, before: ChainLink | None, head: str) -> str | None:
    """What is wrong with an event that follows `before` (None: it is the first) whose hash is `head`."""
    if link.aggregate_sequence != (before.aggregate_sequence if before else 0) + 1:
        return "gap"
    if link.previous_hash != head:
        return "broken_link"
    return None if is_hash_of(link, stored) else "tampered"


def _covered(link: ChainLink) -> dict[str, Any]:
    return {
        "aggregate_type": link.aggregate_type,
        "aggregate_id": link.aggregate_id,
        "aggregate_sequence": link.aggregate_sequence,
        "event_type": link.event_type,
        "payload": link.payload,
        "trace_id": link.trace_id,
        "created_at": link.created_at,
        "previous_hash": link.previous_hash,
    }


def _canonical(value: dict[str, Any]) -> bytes:
    """`canonical_json` of a value in json_form, six times faster where the two encoders agree.

    They differ for keys beyond ASCII (order) and for small fractions (exponents); those go the long way.
    """
    text = _encode(value)
    if text.isascii() and not _has_exponent(text):
        return text.encode()
    return canonical_json(value)


def _has_exponent(text: str) -> bool:
    """Python signs every exponent it writes: without one there is nothing to look for."""
    return ("e-" in text or "e+" in text) and _PYTHON_NUMBER.search(text) is not None

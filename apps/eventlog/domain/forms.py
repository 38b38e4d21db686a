"""The JSON form of a payload: what is stored is exactly what is hashed, on either database.

`json_form` gives plain JSON that survives jsonb and SQLite text unchanged: UUIDs as hex, times as RFC
3339 with Z, integers beyond 2^53 and decimals as text, integral floats as integers, no NUL and no lone
surrogate. In the same walk it refuses secrets (invariant 27).
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any, Final
from uuid import UUID

from apps.eventlog.errors import PayloadNotJson, SecretInPayload

_SAFE_INTEGER: Final = 2**53 - 1
_SECRET_KEY: Final = re.compile(
    r"private_?key|secret|passw(or)?d|passphrase|authori[sz]ation|mnemonic|keystore|access_?token|api_?key_?value"
)
_SECRET_VALUE: Final = re.compile(
    r"\bfk_[A-Za-z0-9]+_[A-Za-z0-9_\-]{16,}|PRIVATE KEY-----|\b[Bb]earer\s+\S{16,}"
)
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_known_keys: set[str] = set()


def json_form(value: Any, path: str = "") -> Any:
    """Return the JSON form of `value`; raise PayloadNotJson or SecretInPayload naming the path."""
    kind = type(value)
    if kind is str:
        return _text_form(value, path)
    if value is None or kind is bool:
        return value
    if kind is int:
        return value if -_SAFE_INTEGER <= value <= _SAFE_INTEGER else str(value)
    if kind is dict:
        return {_key_form(key, path): json_form(item, f"{path}/{key}") for key, item in value.items()}
    if kind is list or kind is tuple:
        return [json_form(item, f"{path}/{index}") for index, item in enumerate(value)]
    return _rare_form(value, path)


def time_form(at: datetime) -> str:
    """RFC 3339, UTC, always six decimals, Z."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def id_form(value: Any) -> str:
    """The text an aggregate is known by: a UUID's 32 hex digits, else the value's text."""
    return value.hex if isinstance(value, UUID) else str(value)


def _rare_form(value: Any, path: str) -> Any:
    if isinstance(value, Enum):
        return json_form(value.value, path)
    if isinstance(value, UUID):
        return value.hex
    if isinstance(value, datetime):
        return time_form(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return json_form(value.total_seconds(), path)
    if isinstance(value, float):
        return _float_form(value, path)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, Mapping):
        return json_form(dict(value), path)
    if isinstance(value, (list, tuple, set, frozenset)):
        return json_form(sorted(value) if isinstance(value, (set, frozenset)) else list(value), path)
    if isinstance(value, str):
        return _text_form(str(value), path)
    if isinstance(value, int):
        return json_form(int(value), path)
    raise PayloadNotJson(path=path or "/", type=type(value).__name__)


def _float_form(value: float, path: str) -> Any:
    if not isfinite(value):
        raise PayloadNotJson(path=path or "/", type="float")
    if value.is_integer():
        return json_form(int(value), path)
    return value


def _text_form(text: str, path: str) -> str:
    if ("fk_" in text or "KEY-----" in text or "earer" in text) and _SECRET_VALUE.search(text):
        raise SecretInPayload(path=path or "/")
    if not text.isascii() or "\x00" in text:
        return _UNSTORABLE.sub("\ufffd", text)
    return text


def _key_form(key: Any, path: str) -> str:
    text = key if type(key) is str else str(key)
    if text in _known_keys:
        return text
    if _SECRET_KEY.search(text.lower().replace("-", "_")):
        raise SecretInPayload(path=f"{path}/{text}")
    text = _UNSTORABLE.sub("\ufffd", text)
    if len(_known_keys) < 10_000:
        _known_keys.add(text)
    return text

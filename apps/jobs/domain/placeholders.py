"""`${name}` and `${name:argument}` in an example's JSON, replaced by what a deployment knows.

A text that is one placeholder becomes its value, whatever its type; inside a longer text the value is put
in as text. An unknown name or a value that cannot be had is an error, never left standing.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from apps.jobs.errors import PlaceholderUnknown
from apps.kernel.abi import compute_selector
from apps.kernel.abi_text import entry_of_function

_PLACEHOLDER: Final = re.compile(r"\$\{([a-z0-9_]+)(?::([^}]*))?\}")

#: a placeholder's value, from its argument (empty without one)
Lookup = Callable[[str], Any]


def fill_placeholders(value: Any, lookups: Mapping[str, Lookup]) -> Any:
    """The JSON value with every placeholder replaced; raise PlaceholderUnknown(name)."""
    if isinstance(value, str):
        return _fill_text(value, lookups)
    if isinstance(value, Mapping):
        return {name: fill_placeholders(item, lookups) for name, item in value.items()}
    if isinstance(value, list):
        return [fill_placeholders(item, lookups) for item in value]
    return value


def bytes32_of(text: str) -> str:
    """A text padded with zeros on the right to the 32 bytes a contract reads."""
    data = text.encode()
    if len(data) > 32:
        raise PlaceholderUnknown(name=f"bytes32:{text}", reason="longer than 32 bytes")
    return "0x" + data.ljust(32, b"\0").hex()


def selector_of(function: str) -> str:
    """The four bytes a call of this function starts with."""
    return "0x" + compute_selector(entry_of_function(function)).hex()


def _fill_text(text: str, lookups: Mapping[str, Lookup]) -> Any:
    whole = _PLACEHOLDER.fullmatch(text)
    if whole:
        return _value_of(whole, lookups)
    return _PLACEHOLDER.sub(lambda match: str(_value_of(match, lookups)), text)


def _value_of(match: "re.Match[str]", lookups: Mapping[str, Lookup]) -> Any:
    lookup = lookups.get(match[1])
    if lookup is None:
        raise PlaceholderUnknown(name=match[1], known=sorted(lookups))
    return lookup(match[2] or "")

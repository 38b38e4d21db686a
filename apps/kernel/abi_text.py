"""Functions and types given as text, such as `report(bytes32,(uint8,string)[])`, as ABI entries.

The text is only split here; whether its types exist is the parser's to say (`apps/kernel/abi.py`).
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from apps.kernel.abi import AbiInvalid, parse_inputs

_FUNCTION_MAX_CHARACTERS: Final = 256
_FUNCTION: Final = re.compile(r"^([A-Za-z_$][A-Za-z0-9_$]{0,63})\((.*)\)$", re.ASCII)
_WORD_TYPE: Final = re.compile(r"^[a-z]+[0-9]*(\[[0-9]*\])*$", re.ASCII)
_SUFFIX: Final = re.compile(r"^(\[[0-9]*\])*$", re.ASCII)


def entry_of_function(function: str) -> dict[str, Any]:
    """The ABI entry of a function given as text, such as `report(bytes32,uint256)`; raise AbiInvalid."""
    match = _FUNCTION.match(function.replace(" ", ""))
    if match is None or len(function) > _FUNCTION_MAX_CHARACTERS:
        raise AbiInvalid(pointer="/function", reason="name(type,…) is expected", value=function[:80])
    entry = {
        "type": "function",
        "name": match[1],
        "inputs": [_member(text) for text in _split(match[2])],
        "outputs": [],
        "stateMutability": "nonpayable",
    }
    try:
        parse_inputs(entry)
    except AbiInvalid as exc:
        raise AbiInvalid(pointer="/function", **exc.fields) from None
    return entry


def members_of_types(types: Sequence[str], pointer: str) -> list[dict[str, Any]]:
    """Nameless ABI members of types given as text, such as `uint80`; raise AbiInvalid."""
    return [_member(kind.replace(" ", ""), f"{pointer}/{i}") for i, kind in enumerate(types)]


def _split(text: str) -> list[str]:
    """Split at the commas outside parentheses; a missing part is left as an empty text."""
    if not text:
        return []
    parts, depth, start = [], 0, 0
    for i, char in enumerate(text):
        if char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    parts.append(text[start:])
    return parts


def _member(text: str, pointer: str = "/function") -> dict[str, Any]:
    if text.startswith("("):
        inner, _, suffix = text[1:].rpartition(")")
        if not _SUFFIX.match(suffix):
            raise AbiInvalid(pointer=pointer, reason="not a type", value=text[:80])
        return {
            "name": "",
            "type": f"tuple{suffix}",
            "components": [_member(part, pointer) for part in _split(inner)],
        }
    if not _WORD_TYPE.match(text):
        raise AbiInvalid(pointer=pointer, reason="not a type", value=text[:80])
    return {"name": "", "type": text}

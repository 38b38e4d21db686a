"""The action's function: its name, its ABI entry and its arguments must say the same thing.

Encoding itself is the kernel's, shared with keepers; here is only what a definition adds: a function
may be given as text alone, static values are checked when the job is created, and call data is bounded
by what the hub takes.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from apps.jobs.errors import AbiFunctionMismatch, ArgumentInvalid, ArgumentTooLarge
from apps.kernel.abi import AbiInvalid, ArgumentsMismatch, compute_signature, encode_call, parse_inputs
from apps.kernel.reading import placed

#: the hub refuses longer call data
CALLDATA_MAX_BYTES: Final = 1024
_FUNCTION_MAX_CHARACTERS: Final = 256
_FUNCTION: Final = re.compile(r"^([A-Za-z_$][A-Za-z0-9_$]{0,63})\((.*)\)$", re.ASCII)
_WORD_TYPE: Final = re.compile(r"^[a-z]+[0-9]*(\[[0-9]*\])*$", re.ASCII)
_MEMBER_NAME: Final = re.compile(r"^[A-Za-z0-9_$]{0,64}$", re.ASCII)
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


def canonical_entry(entry: Any, function: str) -> dict[str, Any]:
    """The entry, reduced to what a call needs; raise AbiInvalid, or AbiFunctionMismatch where the
    entry is of another function than the text names. Pointers are relative to the action.
    """
    try:
        parse_inputs(entry)
    except AbiInvalid as exc:
        raise placed(exc, "/abi") from None
    signature = compute_signature(entry)
    expected = compute_signature(entry_of_function(function))
    if signature != expected:
        raise AbiFunctionMismatch(pointer="/abi", function=expected, abi=signature)
    mutability = entry.get("stateMutability", "nonpayable")
    if mutability not in ("nonpayable", "payable"):
        raise AbiInvalid(pointer="/abi/stateMutability", reason="the function changes nothing")
    return {
        "type": "function",
        "name": entry["name"],
        "inputs": [_canonical_member(member) for member in entry["inputs"]],
        "outputs": [],
        "stateMutability": mutability,
    }


def parameter_count(entry: Mapping[str, Any]) -> int:
    """How many arguments the function takes."""
    return len(parse_inputs(entry).parts)


def check_arguments(entry: Mapping[str, Any], values: Sequence[Any], pointer: str) -> bytes:
    """The call data of static arguments; raise ArgumentInvalid or ArgumentTooLarge at `pointer`."""
    try:
        data = encode_call(entry, values)
    except ArgumentsMismatch as exc:
        raise ArgumentInvalid(pointer=f"{pointer}{exc.pointer or ''}", **exc.fields) from None
    if len(data) > CALLDATA_MAX_BYTES:
        raise ArgumentTooLarge(pointer=pointer, size_bytes=len(data), limit_bytes=CALLDATA_MAX_BYTES)
    return data


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


def _member(text: str) -> dict[str, Any]:
    if text.startswith("("):
        inner, _, suffix = text[1:].rpartition(")")
        if not _SUFFIX.match(suffix):
            raise AbiInvalid(pointer="/function", reason="not a type", value=text[:80])
        return {"name": "", "type": f"tuple{suffix}", "components": [_member(part) for part in _split(inner)]}
    if not _WORD_TYPE.match(text):
        raise AbiInvalid(pointer="/function", reason="not a type", value=text[:80])
    return {"name": "", "type": text}


def _canonical_member(member: Mapping[str, Any]) -> dict[str, Any]:
    name = member.get("name", "")
    if not isinstance(name, str) or not _MEMBER_NAME.match(name):
        raise AbiInvalid(pointer="/abi/inputs", reason="not a parameter's name", value=str(name)[:80])
    kept = {"name": name, "type": member["type"]}
    if member["type"].startswith("tuple"):
        kept["components"] = [_canonical_member(part) for part in member["components"]]
    return kept

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
from apps.kernel.abi_text import entry_of_function
from apps.kernel.reading import placed

#: the hub refuses longer call data
CALLDATA_MAX_BYTES: Final = 1024
_MEMBER_NAME: Final = re.compile(r"^[A-Za-z0-9_$]{0,64}$", re.ASCII)


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


def _canonical_member(member: Mapping[str, Any]) -> dict[str, Any]:
    name = member.get("name", "")
    if not isinstance(name, str) or not _MEMBER_NAME.match(name):
        raise AbiInvalid(pointer="/abi/inputs", reason="not a parameter's name", value=str(name)[:80])
    kept = {"name": name, "type": member["type"]}
    if member["type"].startswith("tuple"):
        kept["components"] = [_canonical_member(part) for part in member["components"]]
    return kept

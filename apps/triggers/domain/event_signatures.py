"""An event as people write it, `Transfer(address indexed from, …)`, and as its ABI has it.

The text alone says everything where it names what is indexed; with types only, an ABI entry (or a whole ABI)
says the rest. `Event` is what both come to.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from apps.kernel.abi import AbiInvalid, AbiType, parse_members
from apps.kernel.abi_text import members_of_types
from apps.kernel.hashing import keccak, to_hex
from apps.triggers.errors import EventAnonymous, EventNotInAbi, EventSignatureInvalid, TopicCountInvalid

#: topics a log has besides the event's own
MAX_INDEXED: Final = 3
MAX_ARGUMENTS: Final = 32
_MAX_CHARACTERS: Final = 1_000
_TEXT: Final = re.compile(
    r"\s*(?:event\s+)?([A-Za-z_$][A-Za-z0-9_$]{0,63})\s*(?:\((.*)\)\s*(anonymous)?\s*;?\s*)?", re.ASCII | re.S
)
_NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument of an event; one without a name is called by its place."""

    name: str
    kind: AbiType
    is_indexed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event's name and arguments in order."""

    name: str
    arguments: tuple[Argument, ...]

    @property
    def signature(self) -> str:
        """The canonical text that is hashed, such as `Transfer(address,address,uint256)`."""
        return f"{self.name}({','.join(argument.kind.text for argument in self.arguments)})"

    def to_json(self) -> dict[str, Any]:
        """Its ABI entry."""
        inputs = [
            {**_member_of(argument.kind, argument.name), "indexed": argument.is_indexed}
            for argument in self.arguments
        ]
        return {"type": "event", "name": self.name, "inputs": inputs}

    @property
    def topic0(self) -> str:
        """What the first topic of its logs is."""
        return to_hex(keccak(self.signature.encode()))

    @property
    def indexed(self) -> tuple[Argument, ...]:
        """The arguments that are topics."""
        return tuple(argument for argument in self.arguments if argument.is_indexed)

    @property
    def data_type(self) -> AbiType:
        """The tuple of the arguments that are data."""
        parts = [argument for argument in self.arguments if not argument.is_indexed]
        names = tuple(part.name for part in parts)
        return AbiType(kind="tuple", parts=tuple(part.kind for part in parts), names=names)


def event_from_text(text: Any, abi: Any, pointer: str) -> Event:
    """The event that `text` names, by its own words or those of `abi`: an entry or a list of entries.

    `pointer` is where both fields stand. Raises EventSignatureInvalid, EventNotInAbi, EventAnonymous,
    TopicCountInvalid.
    """
    here = f"{pointer}/event"
    match = _TEXT.fullmatch(text) if isinstance(text, str) and len(text) <= _MAX_CHARACTERS else None
    if match is None:
        raise EventSignatureInvalid(pointer=here, reason="Name(type indexed name, …) is expected")
    name, inside, anonymous = match.groups()
    if anonymous:
        raise EventAnonymous(pointer=here)
    if abi is not None:
        return _checked(_find(name, inside, abi, pointer), f"{pointer}/abi")

    if inside is None:
        raise EventSignatureInvalid(pointer=here, reason="its arguments, or an ABI, are expected")
    members, is_explicit = _members(inside, here)
    if members and not is_explicit:
        raise EventSignatureInvalid(
            pointer=here, reason="types alone do not say what is indexed: name the arguments, or give an abi"
        )
    return _checked(_event(name, members, here), here)


def _find(name: str, inside: str | None, abi: Any, pointer: str) -> Event:
    entries = [abi] if isinstance(abi, Mapping) else abi
    if isinstance(entries, str | bytes) or not isinstance(entries, Sequence):
        raise EventNotInAbi(pointer=f"{pointer}/abi", reason="an ABI entry or a list of them is expected")
    wanted = (
        None if inside is None else _event(name, _members(inside, f"{pointer}/event")[0], f"{pointer}/event")
    )
    found = []
    for entry in _entries(entries, name):
        try:
            event = _event(name, _inputs(entry), f"{pointer}/abi")
        except EventSignatureInvalid:
            if len(entries) == 1:
                raise
            continue
        if wanted is None or event.signature == wanted.signature:
            found.append((event, entry))
    if not found:
        raise EventNotInAbi(pointer=f"{pointer}/event", event=name if wanted is None else wanted.signature)
    if len(found) > 1 and len({event.signature for event, _ in found}) > 1:
        raise EventSignatureInvalid(
            pointer=f"{pointer}/event",
            reason="the ABI has several of this name: say which types",
            known=sorted(event.signature for event, _ in found),
        )
    event, entry = found[0]
    if entry.get("anonymous") is True:
        raise EventAnonymous(pointer=f"{pointer}/abi")
    is_explicit = wanted is not None and _members(inside or "", f"{pointer}/event")[1]
    if wanted is not None and is_explicit and _spoken(wanted) != _spoken(event):
        raise EventSignatureInvalid(
            pointer=f"{pointer}/event", reason="its names, or what is indexed, are other than the ABI's"
        )
    return event


def _spoken(event: Event) -> list[tuple[str, bool]]:
    return [(argument.name, argument.is_indexed) for argument in event.arguments]


def _entries(entries: Sequence[Any], name: str) -> Iterable[Mapping[str, Any]]:
    return (
        entry
        for entry in entries
        if isinstance(entry, Mapping) and entry.get("type") == "event" and entry.get("name") == name
    )


def _inputs(entry: Mapping[str, Any]) -> list[Any]:
    inputs = entry.get("inputs", [])
    return list(inputs) if isinstance(inputs, Sequence) and not isinstance(inputs, str | bytes) else [inputs]


def _event(name: str, members: Sequence[Any], pointer: str) -> Event:
    if len(members) > MAX_ARGUMENTS:
        raise EventSignatureInvalid(pointer=pointer, reason=f"at most {MAX_ARGUMENTS} arguments")
    try:
        kinds = parse_members(members).parts
    except AbiInvalid as exc:
        raise EventSignatureInvalid(pointer=pointer, **exc.fields) from None
    arguments = tuple(
        Argument(
            name=str(member.get("name") or "") or str(at),
            kind=kind,
            is_indexed=member.get("indexed") is True,
        )
        for at, (member, kind) in enumerate(zip(members, kinds, strict=True))
    )
    if len({argument.name for argument in arguments}) != len(arguments):
        raise EventSignatureInvalid(pointer=pointer, reason="two arguments have one name")
    return Event(name=name, arguments=arguments)


def _checked(event: Event, pointer: str) -> Event:
    if len(event.indexed) > MAX_INDEXED:
        raise TopicCountInvalid(pointer=pointer, found=len(event.indexed), limit=MAX_INDEXED)
    return event


def _members(inside: str, pointer: str) -> tuple[list[dict[str, Any]], bool]:
    """The arguments' ABI members, and whether the text says more than types."""
    members: list[dict[str, Any]] = []
    is_explicit = False
    for text in _split(inside, pointer):
        kind, words = _words(text)
        is_indexed = words[:1] == ["indexed"]
        names = words[1:] if is_indexed else words
        if not kind or len(names) > 1 or not all(_NAME.fullmatch(each) for each in names):
            raise EventSignatureInvalid(
                pointer=pointer, reason="type, then indexed, then a name", value=text[:80]
            )
        is_explicit = is_explicit or bool(words)
        try:
            (member,) = members_of_types([kind], "")
        except AbiInvalid as exc:
            raise EventSignatureInvalid(pointer=pointer, **exc.fields) from None
        members.append({**member, "name": names[0] if names else "", "indexed": is_indexed})
    return members, is_explicit


def _split(text: str, pointer: str) -> list[str]:
    """Split at the commas outside parentheses."""
    if not text.strip():
        return []
    parts, depth = [""], 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if depth < 0:
            raise EventSignatureInvalid(pointer=pointer, reason="parentheses that do not match")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    if depth:
        raise EventSignatureInvalid(pointer=pointer, reason="parentheses that do not match")
    return [part.strip() for part in parts]


def _words(text: str) -> tuple[str, list[str]]:
    """A type, a tuple's parentheses and all, and the words after it."""
    if not text.startswith("("):
        kind, *words = text.split() or [""]
        return kind, words
    end = text.rindex(")") + 1
    suffix, *words = text[end:].split() or [""]
    if suffix and not suffix.startswith("["):
        suffix, words = "", [suffix, *words]
    return text[:end] + suffix, words


def _member_of(kind: AbiType, name: str) -> dict[str, Any]:
    """The ABI member of a type; a place that stands for a name is none."""
    shown = "" if name.isdigit() else name
    inner, suffix = kind, ""
    while inner.kind in ("array", "row"):
        suffix = f"[{inner.size if inner.kind == 'row' else ''}]{suffix}"
        inner = inner.parts[0]
    if inner.kind != "tuple":
        return {"name": shown, "type": f"{inner.text}{suffix}"}
    parts = [_member_of(part, name) for part, name in zip(inner.parts, inner.names, strict=True)]
    return {"name": shown, "type": f"tuple{suffix}", "components": parts}

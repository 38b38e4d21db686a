"""The rows of a condition in the form of a job: its sources, and the comparisons of what they say."""

import json
from collections.abc import Mapping
from typing import Any, Final

SOURCE_ROWS: Final = 3
LEAF_ROWS: Final = 4
SOURCE_FIELDS: Final = (
    "name",
    "kind",
    "url",
    "poll_seconds",
    "chain_id",
    "address",
    "function",
    "returns",
    "value",
)
LEAF_FIELDS: Final = ("source", "route", "is", "value", "low", "high", "hysteresis")

_FIELDS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "http": ("url", "poll_seconds"),
    "websocket": ("url",),
    "chain": ("chain_id", "address", "function", "returns", "poll_seconds"),
    "static": ("value",),
}
_NUMBERS: Final = frozenset({"poll_seconds", "chain_id"})


def source_objects(form: Mapping[str, str], unread: dict[str, str]) -> dict[str, Any]:
    """The sources of the rows that have a name; a static value that is no JSON is noted in `unread`."""
    found: dict[str, Any] = {}
    for row in range(SOURCE_ROWS):
        name, kind = _at(form, "source", row, "name"), _at(form, "source", row, "kind") or "http"
        if not name:
            continue
        source: dict[str, Any] = {"kind": kind}
        for field in _FIELDS_OF.get(kind, ()):
            text = _at(form, "source", row, field)
            if text:
                source[field] = _value(field, text, f"source_{row}_{field}", unread)
        found[name] = source
    return found


def leaf_nodes(form: Mapping[str, str]) -> list[dict[str, Any]]:
    """The comparisons of the rows that have a threshold."""
    found = []
    for row in range(LEAF_ROWS):
        given = {field: _at(form, "leaf", row, field) for field in LEAF_FIELDS}
        if not (given["value"] or given["low"] or given["high"] or given["route"]):
            continue
        unused = ("value",) if given["is"] == "between" else ("low", "high")
        leaf = {name: text for name, text in given.items() if text and name not in unused}
        found.append({**leaf, "route": given["route"], "is": given["is"] or "greater_than"})
    return found


def condition_fields(condition: Mapping[str, Any]) -> dict[str, str]:
    """The fields of a stored condition: as rows where they fit, else as JSON."""
    if not condition:
        return {}
    fields = {"fires": str(condition.get("fires", "edge"))}
    if condition.get("repeat_seconds"):
        fields["repeat_seconds"] = str(condition["repeat_seconds"])
    sources, when = condition.get("sources", {}), condition.get("when", {})
    fields |= _source_rows(sources) or {"sources_json": _pretty(sources)}
    return fields | (_leaf_rows(when) or {"when_json": _pretty(when)})


def source_field(path: str, form: Mapping[str, str]) -> str | None:
    """The row's field that an error below `/condition/sources` is about."""
    parts = path.split("/")
    if parts[:3] != ["", "condition", "sources"] or len(parts) < 4:
        return None
    for row in range(SOURCE_ROWS):
        if _at(form, "source", row, "name") == parts[3].replace("~1", "/").replace("~0", "~"):
            field = parts[4] if len(parts) > 4 else "name"
            known = "function" if field == "abi" else field if field in SOURCE_FIELDS else "name"
            return f"source_{row}_{known}"
    return None


def leaf_field(path: str, form: Mapping[str, str]) -> str | None:
    """The row's field that an error below `/condition/when` is about."""
    parts = path.split("/")
    if parts[:3] != ["", "condition", "when"]:
        return None
    rows = [
        row
        for row in range(LEAF_ROWS)
        if any(_at(form, "leaf", row, name) for name in ("value", "low", "high", "route"))
    ]
    if not rows:
        return "leaf_0_value"
    rest = parts[3:]
    number = int(rest[1]) if len(rest) > 1 and rest[1].isdigit() else 0
    field = rest[-1] if rest and rest[-1] in LEAF_FIELDS else "value"
    return f"leaf_{rows[min(number, len(rows) - 1)]}_{field}"


def _source_rows(sources: Mapping[str, Mapping[str, Any]]) -> dict[str, str] | None:
    if len(sources) > SOURCE_ROWS:
        return None
    fields: dict[str, str] = {}
    for row, (name, source) in enumerate(sources.items()):
        kind = str(source.get("kind"))
        plain = {**source}
        if plain.get("method") == "GET":
            del plain["method"]
        if kind not in _FIELDS_OF or set(plain) - {"kind", *_FIELDS_OF[kind]}:
            return None
        fields |= {f"source_{row}_name": name, f"source_{row}_kind": kind}
        for field in _FIELDS_OF[kind]:
            if field in plain:
                fields[f"source_{row}_{field}"] = _shown(field, plain[field])
    return fields


def _leaf_rows(when: Mapping[str, Any]) -> dict[str, str] | None:
    join = next((name for name in ("all", "any") if name in when), None)
    leaves = when[join] if join else [when]
    if len(leaves) > LEAF_ROWS or any("all" in leaf or "any" in leaf for leaf in leaves):
        return None
    fields = {"join": join or "all"}
    for row, leaf in enumerate(leaves):
        fields |= {f"leaf_{row}_{name}": str(leaf[name]) for name in LEAF_FIELDS if name in leaf}
    return fields


def _value(field: str, text: str, name: str, unread: dict[str, str]) -> Any:
    if field == "returns":
        return [each for each in text.replace(",", " ").split() if each]
    if field in _NUMBERS:
        return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else text
    if field != "value":
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        unread[name] = str(exc) or "nested too deep"
        return None


def _shown(field: str, value: Any) -> str:
    if field == "returns":
        return ", ".join(map(str, value))
    return json.dumps(value, ensure_ascii=False) if field == "value" else str(value)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _at(form: Mapping[str, str], part: str, row: int, field: str) -> str:
    return form.get(f"{part}_{row}_{field}", "").strip()

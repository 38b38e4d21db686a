"""A job as a flat form and as the JSON of `POST /api/v1/jobs`: each made from the other, nothing checked.

What a person typed is handed on as it is, so that the one reader of definitions says what is wrong with it;
only JSON that cannot be read is refused here. What the fields cannot say stands in `whole`, the whole JSON.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from apps.progress.domain.job_form_rows import (
    condition_fields,
    leaf_field,
    leaf_nodes,
    source_field,
    source_objects,
)

#: a step's fields that the form knows and the whole step may have
_PLAIN_LIMITS: Final = ("deadline_seconds", "memory_mb")

#: the beginning of every form
DEFAULTS: Final[Mapping[str, str]] = {
    "trigger_kind": "time",
    "schedule_kind": "interval",
    "seconds": "300",
    "expression": "*/5 * * * *",
    "zone": "UTC",
    "join": "all",
    "fires": "edge",
    "repeat_seconds": "60",
    "recurring": "yes",
    "missed_policy": "one",
    "action": "none",
    "language": "python",
}

_FIELD_AT: Final[Mapping[str, str]] = {
    "/name": "name",
    "/trigger_kind": "trigger_kind",
    "/schedule": "schedule_kind",
    "/schedule/kind": "schedule_kind",
    "/schedule/seconds": "seconds",
    "/schedule/start_at": "start_at",
    "/schedule/expression": "expression",
    "/schedule/zone": "zone",
    "/schedule/instants": "instants",
    "/event": "event_signature",
    "/event/chain_id": "event_chain_id",
    "/event/address": "event_address",
    "/event/event": "event_signature",
    "/event/abi": "event_abi",
    "/event/filters": "event_filters",
    "/event/confirmations": "event_confirmations",
    "/condition": "sources_json",
    "/condition/sources": "sources_json",
    "/condition/when": "when_json",
    "/condition/fires": "fires",
    "/condition/repeat_seconds": "repeat_seconds",
    "/recurring": "recurring",
    "/max_fires": "max_fires",
    "/expires_at": "expires_at",
    "/missed_policy": "missed_policy",
    "/missed_limit": "missed_limit",
    "/pause_after_failures": "pause_after_failures",
    "/link_job": "link_job",
    "/script": "language",
    "/script/language": "language",
    "/script_source": "script_source",
    "/params": "params",
    "/action": "action",
    "/action/custom": "script_source",
    "/action/chain_id": "chain_id",
    "/action/target": "target",
    "/action/targets": "targets",
    "/action/function": "function",
    "/action/abi": "function",
    "/action/gas_limit": "gas_limit",
    "/arguments": "arguments",
    "/limits/deadline_seconds": "deadline_seconds",
    "/limits/memory_mb": "memory_mb",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The body, and what of the form could not be read: the field, and why."""

    body: dict[str, Any]
    unread: Mapping[str, str]


def body_of(form: Mapping[str, str]) -> Built:
    """The JSON body that the form says."""
    unread: dict[str, str] = {}
    if form.get("use_whole"):
        return Built(body=_parse(form, "whole", unread, {}) or {}, unread=unread)

    kind = form.get("trigger_kind", "")
    body: dict[str, Any] = {"name": form.get("name", ""), "trigger_kind": kind}
    match kind:
        case "time":
            body["schedule"] = _schedule(form)
        case "event":
            body["event"] = _event(form, unread)
        case "condition":
            body["condition"] = _condition(form, unread)
    if form.get("recurring") == "no":
        body["recurring"] = False
    for name in ("max_fires", "missed_limit", "pause_after_failures"):
        body |= _given(form, name, number=True)
    for name in ("expires_at", "missed_policy", "link_job"):
        body |= _given(form, name)
    return Built(body={**body, **_step(form, unread)}, unread=unread)


def form_of(body: Mapping[str, Any], scripts: Mapping[str, str]) -> dict[str, str]:
    """The form of a job with one step. `scripts` are the sources of stored scripts by their CID.

    What the fields cannot say is left out; `whole` says it all. Whoever edits compares the two.
    """
    form = {**DEFAULTS, "whole": json.dumps(_present(body), indent=2, ensure_ascii=False)}
    form |= {name: _text(body.get(name)) for name in ("name", "trigger_kind", "expires_at", "link_job")}
    for name in ("max_fires", "missed_policy", "pause_after_failures", "missed_limit"):
        form[name] = _text(body.get(name)) or form.get(name, "")
    form["recurring"] = "no" if body.get("recurring") is False else "yes"
    form |= _schedule_fields(body.get("schedule") or {})
    form |= _event_fields(body.get("event") or {})
    form |= condition_fields(body.get("condition") or {})
    steps = body.get("steps") or [body]
    if len(steps) > 1:
        return {**form, "use_whole": "yes"}
    return form | _step_fields(steps[0], scripts)


def field_of(pointer: str | None, form: Mapping[str, str]) -> str:
    """The field where an error at this place of the body is shown; empty: above the form."""
    if form.get("use_whole"):
        return "whole"
    path = (pointer or "").removeprefix("/steps/0")
    row = None
    if not form.get("sources_json", "").strip():
        row = source_field(path, form)
    if row is None and not form.get("when_json", "").strip():
        row = leaf_field(path, form)
    while row is None and path and path not in _FIELD_AT:
        path = path.rpartition("/")[0]
    return row or _FIELD_AT.get(path, "")


def as_steps(body: Mapping[str, Any], step_fields: frozenset[str]) -> dict[str, Any]:
    """The same body with its one step named, as an edit of a stored job takes it."""
    if "steps" in body:
        return dict(body)
    alone = {name: value for name, value in body.items() if name in step_fields}
    rest = {name: value for name, value in body.items() if name not in step_fields}
    return {**rest, "steps": [{"key": "main", **alone}]}


def _schedule(form: Mapping[str, str]) -> dict[str, Any]:
    match kind := form.get("schedule_kind", ""):
        case "interval":
            return {"kind": kind, **_given(form, "seconds", number=True), **_given(form, "start_at")}
        case "cron":
            return {"kind": kind, **_given(form, "expression"), **_given(form, "zone")}
    return {"kind": kind, "instants": form.get("instants", "").split()}


def _event(form: Mapping[str, str], unread: dict[str, str]) -> dict[str, Any]:
    event = {
        **_given(form, "event_chain_id", "chain_id", number=True),
        **_given(form, "event_address", "address"),
        **_given(form, "event_signature", "event"),
        **_given(form, "event_confirmations", "confirmations", number=True),
    }
    for name in ("abi", "filters"):
        found = _parse(form, f"event_{name}", unread, None)
        event |= {} if found is None else {name: found}
    return event


def _condition(form: Mapping[str, str], unread: dict[str, str]) -> dict[str, Any]:
    rows = source_objects(form, unread)
    condition: dict[str, Any] = {"sources": _parse(form, "sources_json", unread, rows)}
    leaves = leaf_nodes(form)
    when: Any = leaves[0] if len(leaves) == 1 else {form.get("join", "all"): leaves} if leaves else None
    condition["when"] = _parse(form, "when_json", unread, when)
    condition["fires"] = form.get("fires", "edge")
    if condition["fires"] == "level":
        condition |= _given(form, "repeat_seconds", number=True)
    return condition


def _step(form: Mapping[str, str], unread: dict[str, str]) -> dict[str, Any]:
    step: dict[str, Any] = {}
    if form.get("script_source", "").strip():
        # a browser sends the ends of lines as CR LF
        step["script_source"] = form["script_source"].replace("\r\n", "\n")
        if form.get("language", "python") != "python":
            step["script"] = {"language": form["language"]}
    elif form.get("script_cid"):
        step["script"] = {"cid": form["script_cid"], "language": form.get("language", "python")}
    params = _parse(form, "params", unread, None)
    step |= {} if params is None else {"params": params}
    limits: dict[str, Any] = {}
    for name in _PLAIN_LIMITS:
        limits |= _given(form, name, number=True)
    step |= {"limits": limits} if limits else {}

    kind = form.get("action", "none")
    if kind == "none":
        return step
    action = {**_given(form, "chain_id", number=True), **_given(form, "gas_limit", number=True)}
    if kind == "custom":
        return {**step, "action": {**action, "custom": True, "targets": form.get("targets", "").split()}}
    step["action"] = {**action, **_given(form, "target"), **_given(form, "function")}
    if kind == "dynamic":
        return {**step, "arguments": {"kind": "dynamic"}}
    values = _parse(form, "arguments", unread, [])
    return {**step, "arguments": {"kind": "static", "values": values}}


def _schedule_fields(schedule: Mapping[str, Any]) -> dict[str, str]:
    if not schedule:
        return {}
    known = ("seconds", "start_at", "expression", "zone")
    found = {name: _text(schedule[name]) for name in known if name in schedule}
    return {
        "schedule_kind": _text(schedule.get("kind")),
        **found,
        "instants": "\n".join(map(str, schedule.get("instants", ()))),
    }


def _event_fields(event: Mapping[str, Any]) -> dict[str, str]:
    named = {"event_signature": "event", "event_address": "address", "event_chain_id": "chain_id"}
    named["event_confirmations"] = "confirmations"
    fields = {field: _text(event.get(name)) for field, name in named.items()}
    return fields | {f"event_{name}": _json(event.get(name)) for name in ("abi", "filters")}


def _step_fields(step: Mapping[str, Any], scripts: Mapping[str, str]) -> dict[str, str]:
    script = step.get("script") or {}
    limits = step.get("limits") or {}
    action = step.get("action") or {}
    arguments = step.get("arguments") or {}
    cid = _text(script.get("cid"))
    fields = {
        "language": _text(script.get("language")) or "python",
        "script_cid": cid,
        "script_source": _text(step.get("script_source")) or scripts.get(cid, ""),
        "params": "" if step.get("params") is None else _json(step["params"]),
        **{name: _text(limits.get(name)) for name in _PLAIN_LIMITS},
        **{name: _text(action.get(name)) for name in ("chain_id", "target", "function", "gas_limit")},
        "targets": "\n".join(map(str, action.get("targets", ()))),
        "arguments": _json(arguments.get("values")),
    }
    if not action:
        return {**fields, "action": "none"}
    is_dynamic = arguments.get("kind") == "dynamic"
    kind = "custom" if action.get("custom") else "dynamic" if is_dynamic else "static"
    return {**fields, "action": kind}


def _given(
    form: Mapping[str, str], field: str, name: str | None = None, *, number: bool = False
) -> dict[str, Any]:
    text = form.get(field, "").strip()
    if not text:
        return {}
    is_whole = number and text.isascii() and text.isdigit() and len(text) < 20
    return {name or field: int(text) if is_whole else text}


def _parse(form: Mapping[str, str], field: str, unread: dict[str, str], otherwise: Any) -> Any:
    text = form.get(field, "").strip()
    if not text:
        return otherwise
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        unread[field] = str(exc) or "nested too deep"
        return otherwise


def _present(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if value else ""

"""What a webhook's body and an alert's text say: public ids and the event's facts, nothing secret.

The event store refuses secrets; ids become what the API calls them. A body stays small: what changed is left
out where it would not.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from apps.kernel.ids import to_wire
from apps.notices.data import EventFacts

MAX_BODY_BYTES: Final = 20_000
MAX_ALERT_CHARACTERS: Final = 1_500

#: an aggregate, or a column that refers to one → the kind of its wire id
_KINDS: Final[Mapping[str, str]] = {
    "job": "job",
    "run": "run",
    "task": "task",
    "root": "task",
    "project": "proj",
    "rollback": "rbk",
    "webhook": "whk",
    "trigger": "trg",
}
_TITLES: Final[Mapping[str, str]] = {
    "job.paused": "Job paused",
    "job.fire_refused": "Job could not fire",
    "run.failed": "Run failed",
    "rollback.completed": "Rolled back",
    "job.trigger_reorged": "Trigger undone by a chain reorganisation",
    "webhook.disabled": "Webhook switched off",
}


def webhook_body(event: EventFacts, public_type: str) -> str:
    """`{"type", "timestamp", "data"}` as compact JSON."""
    data = _data_of(event)
    text = _compact(public_type, event.created_at, data)
    if len(text.encode()) <= MAX_BODY_BYTES:
        return text
    slim = {key: value for key, value in data.items() if key in _SHORT}
    return _compact(public_type, event.created_at, {**slim, "is_shortened": True})


def trial_body(endpoint: UUID, event_id: UUID, now: datetime) -> str:
    """What a test sends."""
    data = {"webhook": to_wire("whk", endpoint), "event": to_wire("evt", event_id)}
    return _compact("webhook.test", now, data)


def alert_text(event: EventFacts, public_type: str) -> tuple[str, str]:
    """The title and body of an alert: a line per fact."""
    title = _TITLES.get(public_type, public_type)
    data = _data_of(event)
    lines = [f"{name}: {_line(value)}" for name, value in data.items() if name != "changes"]
    body = "\n".join([*lines, f"at: {_time(event.created_at)}"])
    return f"Forekeep: {title}", body[:MAX_ALERT_CHARACTERS]


_SHORT: Final = frozenset({"event", "project", "run", "job", "task", "keeper", "rollback", "reason"})


def _data_of(event: EventFacts) -> dict[str, Any]:
    facts = {name: value for name, value in event.payload.items() if name != "set"}
    data: dict[str, Any] = {"event": to_wire("evt", event.event_id)}
    if event.project_id is not None:
        data["project"] = to_wire("proj", event.project_id)
    if event.run_id is not None:
        data["run"] = to_wire("run", event.run_id)
    data[event.aggregate_type] = _wire(event.aggregate_type, event.aggregate_id)
    changed = event.payload.get("set") or {}
    changes = {
        name.removesuffix("_id"): _wire(name.removesuffix("_id"), value) for name, value in changed.items()
    }
    return {**facts, **data, "changes": changes}


def _wire(name: str, value: Any) -> Any:
    """A stored id as the API spells it; anything else as it is."""
    if name not in _KINDS or not isinstance(value, str) or len(value) != 32:
        return value
    try:
        return to_wire(_KINDS[name], UUID(hex=value))
    except ValueError:
        return value


def _compact(public_type: str, at: datetime, data: Mapping[str, Any]) -> str:
    document = {"type": public_type, "timestamp": _time(at), "data": data}
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _line(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

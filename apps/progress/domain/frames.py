"""Wire frames: what one event changes on a picture of a run.

A frame patches one entity, whatever its event is called. Applying every frame of a run in sequence order
to an empty picture gives the same statuses as the rows (the page and the API both rely on it), and applying
a frame twice changes nothing, so a stream may repeat what it has sent before.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from apps.kernel.ids import to_wire

#: aggregates whose ids have a wire form; any other aggregate is known by its plain id (a keeper's address)
_PREFIXES: Final = MappingProxyType(
    {
        "job": "job",
        "run": "run",
        "task": "task",
        "project": "proj",
        "round": "rnd",
        "batch": "bat",
        "rollback": "rbk",
        "dead_letter": "dl",
    }
)
#: event field → field of the aggregate's wire form, where the value goes over as it stands
_PLAIN_FIELDS: Final = MappingProxyType(
    {
        "task": frozenset(
            {
                "status",
                "epoch",
                "depth",
                "failures",
                "is_ahead",
                "is_failing",
                "performer",
                "output_cid",
                "package_cid",
            }
        ),
        "run": frozenset({"status", "finished_at", "cancel_requested_at"}),
        "rollback": frozenset(
            {"phase", "scope", "size", "depth", "recovery", "is_retried", "applied_at", "completed_at"}
        ),
        "dead_letter": frozenset({"is_final", "replayed_at"}),
    }
)
#: amounts, which the wire forms have as text
_UNIT_FIELDS: Final = MappingProxyType(
    {
        "run": frozenset({"spent_units"}),
        "rollback": frozenset({"slashed_units", "treasury_units", "released_units", "wasted_units"}),
    }
)
#: columns whose empty text is null on the wire
_NULL_IF_EMPTY: Final = frozenset({"performer", "output_cid", "package_cid"})


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFacts:
    """What a frame needs to know of a stored event."""

    sequence: int
    type: str
    aggregate: str
    aggregate_id: str
    run_id: UUID | None
    at: datetime
    trace_id: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A patch of one entity: `patch` holds new values of fields of its wire form, `timeline` is merged."""

    sequence: int
    type: str
    entity: str
    id: str
    run: str | None
    at: str
    trace_id: str
    patch: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The frame as it goes over the wire."""
        return {
            "sequence": self.sequence,
            "type": self.type,
            "entity": self.entity,
            "id": self.id,
            "run": self.run,
            "at": self.at,
            "trace_id": self.trace_id,
            "patch": dict(self.patch),
        }


def to_rfc3339(at: datetime) -> str:
    """RFC 3339 in UTC with Z, to the microsecond."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def frame_of(event: EventFacts) -> Frame:
    """The frame of one event; an event that changes nothing shown gives an empty patch."""
    at = to_rfc3339(event.at)
    return Frame(
        sequence=event.sequence,
        type=event.type,
        entity=event.aggregate,
        id=_wire_id(event.aggregate, event.aggregate_id),
        run=to_wire("run", event.run_id) if event.run_id else None,
        at=at,
        trace_id=event.trace_id,
        patch=_patch(event, at),
    )


def apply_frame(entity: Mapping[str, Any], frame: Frame) -> dict[str, Any]:
    """The entity's wire form after a frame: fields replaced, `timeline` merged."""
    patched = {**entity, **frame.patch}
    if "timeline" in frame.patch:
        patched["timeline"] = {**entity.get("timeline", {}), **frame.patch["timeline"]}
    return patched


def fold(frames: Iterable[Frame]) -> dict[str, dict[str, Any]]:
    """The picture that frames in sequence order give: entity id → patched fields."""
    picture: dict[str, dict[str, Any]] = {}
    for frame in frames:
        picture[frame.id] = apply_frame(picture.get(frame.id, {}), frame)
    return picture


def _patch(event: EventFacts, at: str) -> dict[str, Any]:
    plain = _PLAIN_FIELDS.get(event.aggregate)
    changed = event.payload.get("set")
    if plain is None or not isinstance(changed, Mapping):
        return {}

    patch = {name: value for name, value in changed.items() if name in plain}
    for name in _UNIT_FIELDS.get(event.aggregate, frozenset()) & changed.keys():
        patch[name] = str(changed[name])
    if event.aggregate == "task":
        patch.update(_of_task(event, patch, at))
    return patch


def _of_task(event: EventFacts, patch: Mapping[str, Any], at: str) -> dict[str, Any]:
    """What of a task's frame is not a column as it stands."""
    changed = event.payload["set"]
    more: dict[str, Any] = {name: patch[name] or None for name in _NULL_IF_EMPTY & patch.keys()}
    if "verdict" in event.payload and "depth" in event.payload:
        more["depth"] = event.payload["depth"]
    timeline = dict(changed.get("timeline") or {})
    if "status" in patch:
        timeline.setdefault(patch["status"], at)
    if timeline:
        more["timeline"] = timeline
    if "error_code" in changed:
        more["error"] = _error(changed)
    return more


def _error(changed: Mapping[str, Any]) -> dict[str, Any] | None:
    if not changed["error_code"]:
        return None
    return {"code": changed["error_code"], "detail": changed.get("error_detail", "")}


def _wire_id(aggregate: str, aggregate_id: str) -> str:
    prefix = _PREFIXES.get(aggregate)
    return f"{prefix}_{aggregate_id}" if prefix else aggregate_id

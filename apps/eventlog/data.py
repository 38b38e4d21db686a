"""The values the event store takes and gives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class EventDraft:
    """One event to append to `row`'s chain.

    `row` is an EventedModel instance that the caller has locked or is creating. `type` is in the past
    tense (`task.scheduled`). `payload["set"]` holds every changed public field in its JSON form, so that
    replay gives the row; other keys are free facts. `metadata` adds to the current actor's user and ip.
    """

    row: Any
    type: str
    payload: Mapping[str, Any]
    run_id: UUID | None = None
    project_id: UUID | None = None
    trace_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainLink:
    """What the hash of one event covers. `created_at` is RFC 3339 UTC with six decimals and Z."""

    aggregate_type: str
    aggregate_id: str
    aggregate_sequence: int
    event_type: str
    payload: Mapping[str, Any]
    trace_id: str
    created_at: str
    previous_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainFault:
    """The first thing wrong with one aggregate's chain.

    `reason` is `gap` (a sequence is missing), `broken_link` (previous hash is not the one before),
    `tampered` (content does not give the hash), `head_differs` (the row names another last event),
    `row_missing` (events without their row) or `events_missing` (a row whose events are gone).
    """

    aggregate_type: str
    aggregate_id: str
    aggregate_sequence: int
    reason: str

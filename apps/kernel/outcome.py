"""What one pass of a stage did, as data for the door that ran it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message to a keeper's queue, to be sent after commit; losing it loses nothing."""

    keeper: str
    task: str
    body: Mapping[str, Any]
    trace_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How many rows a stage pass took, what to send, and which stages have work now."""

    taken: int = 0
    messages: tuple[Message, ...] = ()
    pokes: frozenset[str] = field(default_factory=frozenset)

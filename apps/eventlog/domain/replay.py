"""Replay: the events of one aggregate give its row (invariant 25)."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from apps.eventlog.domain.forms import json_form


class Recorded(Protocol):
    """What replay reads of an event."""

    @property
    def payload(self) -> Any:
        """The payload with its `set`."""


def replay(events: Iterable[Recorded]) -> dict[str, Any]:
    """Fold the `set` of each event, oldest first: the last known JSON form of every field."""
    state: dict[str, Any] = {}
    for event in events:
        changed: Mapping[str, Any] = event.payload.get("set", {})
        state.update(changed)
    return state


def replay_differences(state: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Fields whose replayed value is not the row's: name → (replayed, row's); empty when all agree."""
    return {
        name: (state.get(name), json_form(value))
        for name, value in fields.items()
        if name not in state or state[name] != json_form(value)
    }

"""What fires a job, in a sentence a person can check against what they meant."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from apps.progress.domain.words import describe_schedule, describe_seconds

_COMPARISONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "greater_than": "is above",
        "less_than": "is below",
        "greater_equal": "is at least",
        "less_equal": "is at most",
        "equals": "is",
        "not_equals": "is not",
    }
)
_SHORT: Final = 10


def describe_trigger(job: Mapping[str, Any]) -> str:
    """The trigger of a job's JSON form in words: its schedule, event or condition."""
    match job.get("trigger_kind"):
        case "event":
            return describe_event(job["event"])
        case "condition":
            return describe_condition(job["condition"])
    return describe_schedule(job.get("schedule"))


def describe_event(event: Mapping[str, Any]) -> str:
    """Which logs of which contract."""
    name = str(event["event"]).partition("(")[0]
    filters = event.get("filters") or {}
    where = f", where {' and '.join(sorted(filters))} fit" if filters else ""
    confirmations = event.get("confirmations", 1)
    after = f"after {confirmations} confirmation{'' if confirmations == 1 else 's'}"
    return f"on {name} of {_short(str(event['address']))} on chain {event['chain_id']}{where}, {after}"


def describe_condition(condition: Mapping[str, Any]) -> str:
    """Which values against which limits, and whether at the edge or while it is met."""
    met = _describe_node(condition["when"], False)
    if condition.get("fires") == "level":
        return f"while {met}, every {describe_seconds(condition['repeat_seconds'])}"
    return f"when {met}"


def _describe_node(node: Mapping[str, Any], is_inner: bool) -> str:
    for name, word in (("all", " and "), ("any", " or ")):
        if name in node:
            said = word.join(_describe_node(part, True) for part in node[name])
            return f"({said})" if is_inner and len(node[name]) > 1 else said
    route = str(node.get("route", "")).removeprefix("$").removeprefix(".")
    what = f"{node.get('source', 'the source')}{f' {route}' if route else ''}"
    slack = f" (hysteresis {node['hysteresis']})" if node.get("hysteresis") else ""
    if node["is"] == "between":
        return f"{what} is between {node['low']} and {node['high']}{slack}"
    return f"{what} {_COMPARISONS[node['is']]} {node['value']}{slack}"


def _short(text: str) -> str:
    return text if len(text) <= 2 * _SHORT else f"{text[:_SHORT]}…{text[-4:]}"

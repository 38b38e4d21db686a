"""What the form of a job offers: the kinds to begin with, and the words of its choices."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

_SCRIPT: Final = "import json\n\nprint(json.dumps({}))\n"
_ARGUMENTS: Final = 'import json\n\nprint(json.dumps({"arguments": []}))\n'
_CUSTOM: Final = 'import json\n\nprint(json.dumps({"should_execute": False}))\n'
_VALUE: Final = "greater_than"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A kind of job to begin with."""

    title: str
    values: Mapping[str, str]


def _preset(title: str, **values: str) -> Preset:
    return Preset(title=title, values=MappingProxyType(values))


_ROW: Final = {"source_0_kind": "http", "leaf_0_is": _VALUE}

PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        "time": _preset("Script on a schedule", trigger_kind="time", script_source=_SCRIPT),
        "time-static": _preset("Call on a schedule", trigger_kind="time", action="static"),
        "time-dynamic": _preset(
            "Scripted call on a schedule", trigger_kind="time", action="dynamic", script_source=_ARGUMENTS
        ),
        "event-static": _preset("Call on an event", trigger_kind="event", action="static"),
        "event-dynamic": _preset(
            "Scripted call on an event", trigger_kind="event", action="dynamic", script_source=_ARGUMENTS
        ),
        "condition-static": _preset("Call on a condition", trigger_kind="condition", action="static", **_ROW),
        "condition-dynamic": _preset(
            "Scripted call on a condition",
            trigger_kind="condition",
            action="dynamic",
            script_source=_ARGUMENTS,
            **_ROW,
        ),
        "custom": _preset(
            "Script that decides all", trigger_kind="time", action="custom", script_source=_CUSTOM
        ),
    }
)

CHOICES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = MappingProxyType(
    {
        "trigger": (
            ("time", "Time"),
            ("event", "Event of a contract"),
            ("condition", "Condition"),
            ("manual", "By hand"),
        ),
        "schedule": (("interval", "Every so often"), ("cron", "Cron"), ("specific", "Given times")),
        "action": (
            ("none", "Nothing: only the script runs"),
            ("static", "Call with fixed arguments"),
            ("dynamic", "Call with arguments from the script"),
            ("custom", "Whatever the script decides"),
        ),
        "language": (("python", "Python"), ("javascript", "JavaScript"), ("typescript", "TypeScript")),
        "source": (
            ("http", "HTTP"),
            ("websocket", "WebSocket"),
            ("chain", "Contract"),
            ("static", "Fixed value"),
        ),
        "comparison": (
            ("greater_than", "is above"),
            ("less_than", "is below"),
            ("greater_equal", "is at least"),
            ("less_equal", "is at most"),
            ("between", "is between"),
            ("equals", "equals"),
            ("not_equals", "does not equal"),
        ),
        "join": (("all", "all of them are met"), ("any", "any of them is met")),
        "fires": (("edge", "Once, when it becomes met"), ("level", "Again and again while it is met")),
        "recurring": (("yes", "Every time"), ("no", "Only once")),
        "missed": (
            ("one", "Fire once for all of them"),
            ("all", "Fire each, up to the limit"),
            ("skip", "Drop them"),
        ),
    }
)

#: the fields of a job that an edit sets as a whole
WHOLE_FIELDS: Final = (
    "schedule",
    "event",
    "condition",
    "link_job",
    "pause_after_failures",
    "missed_policy",
    "missed_limit",
    "recurring",
    "max_fires",
    "expires_at",
    "speculation",
)

#: the fields of a step that may stand at the top of a job with one step
STEP_FIELDS: Final = frozenset(
    {"parents", "script", "script_source", "inputs", "params", "arguments", "action", "limits", "drill"}
)

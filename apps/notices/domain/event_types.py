"""Which events leave the house, under which names, and who asked for them.

A public name is stable; the event store's own may change. What is not listed is not told to anybody.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from apps.notices.errors import EventTypeUnknown

_SAME_NAME: Final = (
    "job.created",
    "job.updated",
    "job.paused",
    "job.resumed",
    "job.fired",
    "job.skipped",
    "job.fire_refused",
    "job.completed",
    "job.expired",
    "job.deleted",
    "job.storage_conflict",
    "run.opened",
    "run.cancel_requested",
    "run.confirmed",
    "run.failed",
    "run.cancelled",
    "run.reopened",
    "task.executed",
    "task.attested",
    "task.confirmed",
    "task.failed",
    "task.rolled_back",
    "task.aborted",
    "task.reopened",
    "rollback.detected",
    "rollback.initiated",
    "rollback.propagated",
    "rollback.completed",
    "rollback.dismissed",
    "job.trigger_reorged",
)

#: the event store's name → the public one
PUBLIC: Final[Mapping[str, str]] = MappingProxyType(
    {name: name for name in _SAME_NAME}
    | {"keeper.went_offline": "keeper.offline", "keeper.came_online": "keeper.online"}
)
#: what only an alert tells: a webhook that is switched off cannot say so itself
ALERT_ONLY: Final = frozenset({"webhook.disabled"})
#: what alerts are sent for where a target names nothing
ALERTING: Final = frozenset(
    {
        "job.paused",
        "job.fire_refused",
        "run.failed",
        "rollback.completed",
        "job.trigger_reorged",
        "webhook.disabled",
    }
)
WEBHOOK_TYPES: Final = frozenset(PUBLIC.values())
ALERT_TYPES: Final = WEBHOOK_TYPES | ALERT_ONLY
#: what a test sends; nobody has to ask for it
TEST_TYPE: Final = "webhook.test"


def require_types(given: Iterable[Any], known: frozenset[str], pointer: str) -> tuple[str, ...]:
    """The types and families (`run.*`) in order, each once; raise EventTypeUnknown for the first unknown."""
    families = {f"{name.partition('.')[0]}.*" for name in known}
    found: dict[str, None] = {}
    for index, name in enumerate(given):
        if name not in known and name not in families:
            raise EventTypeUnknown(
                pointer=f"{pointer}/{index}", given=str(name)[:80], known=sorted(known | families)
            )
        found[name] = None
    return tuple(found)


def is_asked_for(event_type: str, asked: Sequence[str]) -> bool:
    """Whether a list of types and families names this type; an empty list names all."""
    return not asked or event_type in asked or f"{event_type.partition('.')[0]}.*" in asked


def is_alerting(event_type: str, payload: Mapping[str, Any], asked: Sequence[str]) -> bool:
    """Whether a target is told: what it asked for, else what is in `ALERTING`.

    A job that a person paused alerts nobody: only a pause with a reason does, unless the target asked for
    exactly that.
    """
    if asked:
        return is_asked_for(event_type, asked)
    if event_type == "job.paused":
        return bool(payload.get("reason"))
    return event_type in ALERTING

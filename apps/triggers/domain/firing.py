"""When an evaluated condition fires.

At edges: when it becomes met, which the first evaluation of all may already be. While it is unknown the last
known truth is kept, so a source that comes back fires nothing that had already fired. At levels: while it is
met, at most once in `repeat_seconds`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from apps.triggers.domain.conditions import FireOn


class Why(StrEnum):
    """Why a condition fires, or does not."""

    #: fires: it was not met before, or this is its first evaluation
    BECAME_MET = "became_met"
    #: fires: it is met and has not fired for long enough
    STILL_MET = "still_met"
    #: an edge has already fired
    ALREADY_MET = "already_met"
    #: a level has fired less than `repeat_seconds` ago
    FIRED_RECENTLY = "fired_recently"
    NOT_MET = "not_met"
    #: a value is missing that would decide
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`is_met` is what is to be remembered: the last known truth, None while nothing was ever known.

    `again_at` is when a level that is met may fire again, None where only another value can make it fire.
    """

    fires: bool
    is_met: bool | None
    why: Why
    again_at: datetime | None = None


def decide(
    *,
    fires: FireOn,
    was_met: bool | None,
    is_met: bool | None,
    last_fired_at: datetime | None,
    repeat_seconds: int,
    now: datetime,
) -> Decision:
    """Decide on one evaluation; `was_met` is the `is_met` of the decision before it, None for the first."""
    if is_met is None:
        return Decision(fires=False, is_met=was_met, why=Why.UNKNOWN)
    if not is_met:
        return Decision(fires=False, is_met=False, why=Why.NOT_MET)
    if fires is FireOn.EDGE:
        why = Why.ALREADY_MET if was_met else Why.BECAME_MET
        return Decision(fires=not was_met, is_met=True, why=why)
    pause = timedelta(seconds=repeat_seconds)
    if last_fired_at is not None and now < last_fired_at + pause:
        return Decision(fires=False, is_met=True, why=Why.FIRED_RECENTLY, again_at=last_fired_at + pause)
    why = Why.STILL_MET if was_met else Why.BECAME_MET
    return Decision(fires=True, is_met=True, why=why, again_at=now + pause)

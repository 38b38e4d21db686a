"""Whether a trigger was right to fire: the rules that fired it, on what was recorded. Keepers ask before they
work, performer and attesters alike.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from apps.jobs.domain.instants import parse_instant
from apps.jobs.domain.schedule import next_fire
from apps.jobs.domain.timing import schedule_from_json
from apps.kernel.errors import DomainError
from apps.triggers.data import Condition, condition_from_json, decimal_of, evaluate, event_from_json, matches

#: how far the clocks of who fires and who checks may be apart
TIME_TOLERANCE_SECONDS: Final = 5
#: how long after its end a job's last firing may have been seen
EXPIRY_TOLERANCE_SECONDS: Final = 8
_ONE_MICROSECOND: Final = timedelta(microseconds=1)


def find_fault(
    trigger: Mapping[str, Any],
    now: datetime,
    *,
    time_tolerance_seconds: int = TIME_TOLERANCE_SECONDS,
    expiry_tolerance_seconds: int = EXPIRY_TOLERANCE_SECONDS,
) -> str:
    """Why this trigger should not have fired, as a code; empty where it should.

    `trigger` is a specification's (`kind`, `rule`, `evidence`, `due_at`, `fired_at`, `expires_at`). A firing
    by hand or by another job has no rule to check but its time. Never raises for what the trigger holds.
    """
    tolerance = timedelta(seconds=time_tolerance_seconds)
    due_at, fired_at = parse_instant(trigger.get("due_at")), parse_instant(trigger.get("fired_at"))
    if due_at is None or fired_at is None:
        return "trigger_malformed"
    if now < due_at - tolerance or fired_at < due_at - tolerance:
        return "fired_early"
    expires_at = parse_instant(trigger.get("expires_at"))
    if expires_at is not None and due_at > expires_at + timedelta(seconds=expiry_tolerance_seconds):
        return "job_expired"

    kind, rule, evidence = trigger.get("kind"), trigger.get("rule"), trigger.get("evidence")
    if kind in ("manual", "link"):
        return ""
    if not isinstance(rule, Mapping) or not isinstance(evidence, Mapping):
        return "trigger_malformed"
    try:
        match kind:
            case "time":
                is_tick = next_fire(schedule_from_json(rule), due_at - _ONE_MICROSECOND) == due_at
                return "" if is_tick else "tick_not_scheduled"
            case "event":
                return "" if matches(event_from_json(rule, "/event"), evidence) else "log_does_not_match"
            case "condition":
                return _fault_of_condition(condition_from_json(rule), evidence, fired_at + tolerance)
    except (DomainError, ValueError, TypeError, KeyError, ArithmeticError):
        pass
    return "trigger_malformed"


def _fault_of_condition(condition: Condition, evidence: Mapping[str, Any], latest: datetime) -> str:
    """The condition, evaluated again on the values that were seen."""
    picks: dict[str, dict[str, Decimal]] = {}
    for name, seen in evidence["observations"].items():
        at = parse_instant(seen["at"])
        if at is None or at > latest:
            return "seen_after_firing"
        picks[name] = {route: decimal_of(value) for route, value in seen["values"].items()}
    is_met = evaluate(condition, picks, int(evidence["latched"])).is_met
    return "" if is_met else "condition_not_met"

"""Reading a job's trigger: its schedule, its policy for missed fires, its number of fires, its end."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from apps.jobs.domain.instants import parse_instant
from apps.jobs.domain.schedule import next_fire, parse_cron, require_zone
from apps.jobs.domain.values import (
    CronSchedule,
    IntervalSchedule,
    JobDefinition,
    MissedPolicy,
    Schedule,
    SpecificSchedule,
    TriggerKind,
)
from apps.jobs.errors import (
    CronInvalid,
    CronSixFields,
    ExpiresInPast,
    InstantsInvalid,
    IntervalInvalid,
    IntervalLongerThanLife,
    LinkUnknown,
    MaxFiresInvalid,
    MissedPolicyInvalid,
    NeverFires,
    ScheduleMissing,
    ScheduleNotAllowed,
    ScheduleUnknown,
    TriggerFieldMissing,
    TriggerFieldNotAllowed,
    TriggerUnknown,
    ZoneUnknown,
)
from apps.kernel.errors import Invalid
from apps.kernel.ids import from_wire
from apps.kernel.reading import FieldInvalid, Reading, numbered, placed
from apps.triggers.data import Condition, EventTrigger, condition_from_json, event_from_json

INTERVAL_MAX_SECONDS: Final = 315_360_000
INSTANTS_MAX: Final = 1_000
MISSED_LIMIT_MAX: Final = 1_000
MAX_FIRES_MAX: Final = 1_000_000_000

#: the field of the job that each kind of trigger reads
_FIELD_OF: Final = {
    TriggerKind.TIME: "schedule",
    TriggerKind.EVENT: "event",
    TriggerKind.CONDITION: "condition",
}
_KNOWN: Final = {
    "interval": {"kind", "seconds", "start_at"},
    "cron": {"kind", "expression", "zone"},
    "specific": {"kind", "instants"},
}


def schedule_from_json(value: Any, pointer: str = "/schedule") -> Schedule:
    """Parse a schedule; raise the coded error of the part that is wrong."""
    kind = Reading(value, pointer, set().union(*_KNOWN.values())).require("kind")
    if not isinstance(kind, str) or kind not in _KNOWN:
        raise ScheduleUnknown(pointer=f"{pointer}/kind", given=str(kind)[:80], known=sorted(_KNOWN))
    reading = Reading(value, pointer, _KNOWN[kind])

    match kind:
        case "interval":
            return _read_interval(reading)
        case "cron":
            return _read_cron(reading)
    return SpecificSchedule(instants=_read_instants(reading))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """What opens runs: the kind, and what that kind needs."""

    kind: TriggerKind
    schedule: Schedule | None = None
    event: EventTrigger | None = None
    condition: Condition | None = None


def read_trigger(
    reading: Reading, *, event_chain_ids: Collection[int] | None = None, confirmations_max: int = 256
) -> Trigger:
    """The kind of trigger and what it waits for. What belongs to another kind is refused."""
    kind = reading.choice("trigger_kind", TriggerKind, TriggerUnknown)
    own = _FIELD_OF.get(kind)
    for field in _FIELD_OF.values():
        if field != own and reading.has(field):
            refused = ScheduleNotAllowed if field == "schedule" else TriggerFieldNotAllowed
            raise refused(pointer=reading.at(field), trigger_kind=str(kind))
    if own is not None and not reading.has(own):
        missing = ScheduleMissing if own == "schedule" else TriggerFieldMissing
        raise missing(pointer=reading.at(own), trigger_kind=str(kind))

    value, pointer = (reading.value.get(own), reading.at(own)) if own else (None, "")
    match kind:
        case TriggerKind.TIME:
            return Trigger(kind=kind, schedule=schedule_from_json(value, pointer))
        case TriggerKind.EVENT:
            event = event_from_json(
                value, pointer, chain_ids=event_chain_ids, confirmations_max=confirmations_max
            )
            return Trigger(kind=kind, event=event)
        case TriggerKind.CONDITION:
            return Trigger(kind=kind, condition=condition_from_json(value, pointer))
    return Trigger(kind=kind)


def read_link(reading: Reading) -> UUID | None:
    """The job that a confirmed run fires."""
    given = reading.get("link_job")
    if given is None:
        return None
    try:
        return from_wire("job", given)
    except Invalid:
        raise LinkUnknown(pointer=reading.at("link_job"), job=str(given)[:80]) from None


def read_missed(reading: Reading) -> tuple[MissedPolicy, int]:
    """The policy for missed fires and how many of them `all` fires."""
    policy = reading.choice("missed_policy", MissedPolicy, MissedPolicyInvalid, MissedPolicy.ONE)
    limit = reading.number("missed_limit", 1, MissedPolicyInvalid, low=1, high=MISSED_LIMIT_MAX)
    return policy, limit


def read_fires(reading: Reading) -> tuple[bool, int | None]:
    """Whether the job recurs, and after how many fires it is completed (None: never)."""
    recurring = reading.flag("recurring", True)
    if not reading.has("max_fires"):
        return recurring, None
    if not recurring:
        raise MaxFiresInvalid(pointer=reading.at("max_fires"), reason="a job that does not recur fires once")
    return recurring, reading.number("max_fires", None, MaxFiresInvalid, low=1, high=MAX_FIRES_MAX)


def read_instant(reading: Reading, name: str) -> datetime | None:
    """An optional instant; raise FieldInvalid."""
    if not reading.has(name):
        return None
    instant = parse_instant(reading.value[name])
    if instant is None:
        raise FieldInvalid(
            pointer=reading.at(name), reason="an RFC 3339 time with an offset is expected, years 2000 to 2199"
        )
    return instant


def start(definition: JobDefinition, now: datetime) -> JobDefinition:
    """The definition as of its first day: an interval without a start is anchored one interval from `now`.

    Raise ExpiresInPast, InstantsInvalid for an instant that has been, IntervalLongerThanLife or
    NeverFires where nothing would fire before the expiry.
    """
    check_expiry(definition.expires_at, now)
    schedule = definition.schedule
    if schedule is None:
        return definition

    schedule = anchored(schedule, now)
    if isinstance(schedule, SpecificSchedule):
        _require_future(schedule.instants, now)
    first = next_fire(schedule, now - timedelta(microseconds=1))
    if first is None or (definition.expires_at is not None and first >= definition.expires_at):
        if isinstance(schedule, IntervalSchedule):
            raise IntervalLongerThanLife(
                pointer="/schedule/seconds", first_fire_at=first, expires_at=definition.expires_at
            )
        raise NeverFires(pointer="/schedule", first_fire_at=first, expires_at=definition.expires_at)

    return replace(definition, schedule=schedule)


def anchored(schedule: Schedule, now: datetime) -> Schedule:
    """The schedule with its first instant fixed: an interval without a start begins one interval from now."""
    if not isinstance(schedule, IntervalSchedule) or schedule.start_at is not None:
        return schedule
    whole = now.replace(microsecond=0) + timedelta(seconds=1 if now.microsecond else 0)
    return replace(schedule, start_at=whole + timedelta(seconds=schedule.seconds))


def check_expiry(expires_at: datetime | None, now: datetime) -> None:
    """Raise ExpiresInPast unless the expiry is in the future."""
    if expires_at is not None and expires_at <= now:
        raise ExpiresInPast(pointer="/expires_at", expires_at=expires_at, now=now)


def _read_interval(reading: Reading) -> IntervalSchedule:
    seconds = reading.number("seconds", None, IntervalInvalid, low=1, high=INTERVAL_MAX_SECONDS)
    start_at = parse_instant(reading.get("start_at"))
    if start_at is None and reading.has("start_at"):
        raise IntervalInvalid(
            pointer=reading.at("start_at"), reason="an RFC 3339 time with an offset is expected"
        )
    return IntervalSchedule(seconds=seconds, start_at=start_at)


def _read_cron(reading: Reading) -> CronSchedule:
    given = reading.require("expression")
    zone = reading.get("zone", "UTC")
    if not isinstance(given, str):
        raise CronInvalid(pointer=reading.at("expression"), reason="a text is expected")
    if not isinstance(zone, str):
        raise ZoneUnknown(pointer=reading.at("zone"), zone=str(zone)[:80])
    try:
        expression = parse_cron(given)
    except (CronInvalid, CronSixFields) as exc:
        raise placed(exc, reading.at("expression")) from None
    try:
        return CronSchedule(expression=expression, zone=require_zone(zone))
    except ZoneUnknown as exc:
        raise placed(exc, reading.at("zone")) from None


def _read_instants(reading: Reading) -> tuple[datetime, ...]:
    given = reading.value.get("instants")
    pointer = reading.at("instants")
    if not isinstance(given, Sequence) or isinstance(given, str) or not 1 <= len(given) <= INSTANTS_MAX:
        raise InstantsInvalid(pointer=pointer, reason=f"a list of 1 to {INSTANTS_MAX} instants is expected")

    found: dict[datetime, str] = {}
    for where, text in numbered(given, pointer):
        instant = parse_instant(text)
        if instant is None:
            raise InstantsInvalid(pointer=where, reason="an RFC 3339 time with an offset is expected")
        if instant in found:
            raise InstantsInvalid(pointer=where, reason="the same instant twice", first=found[instant])
        found[instant] = where
    return tuple(sorted(found))


def _require_future(instants: Sequence[datetime], now: datetime) -> None:
    for where, instant in numbered(instants, "/schedule/instants"):
        if instant < now:
            raise InstantsInvalid(pointer=where, reason="the instant has been", instant=instant, now=now)

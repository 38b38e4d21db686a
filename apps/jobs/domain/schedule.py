"""When a schedule fires: the one engine behind preview and firing.

Cron is decided by cronsim alone, in the zone data of the pinned `tzdata` package, so that every host
says the same. A local time skipped by a DST change fires once at the next valid instant, a repeated
one fires once, and an expression whose minute or hour starts with `*` follows elapsed time, as Debian's
cron does. Whatever the starting point, the fires of a schedule are one ascending sequence of instants.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from importlib.resources import files
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from apps.jobs.domain.values import CronSchedule, IntervalSchedule, Schedule, SpecificSchedule
from apps.jobs.errors import CronInvalid, CronSixFields, ZoneUnknown

#: the named expressions, in five fields
ALIASES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_EXPRESSION_MAX_CHARACTERS: Final = 200
_ONE_MICROSECOND: Final = timedelta(microseconds=1)
_FIRST_WINDOW: Final = timedelta(hours=1)
_A_LEAP_YEAR: Final = datetime(2024, 1, 1, tzinfo=UTC)


def next_fires(schedule: Schedule, after: datetime, count: int) -> tuple[datetime, ...]:
    """The next `count` fires strictly after `after`, ascending, in UTC; fewer where it ends."""
    return tuple(islice(fires_after(schedule, after), count))


def next_fire(schedule: Schedule, after: datetime) -> datetime | None:
    """The first fire strictly after `after`, or None."""
    return next(fires_after(schedule, after), None)


def fires_after(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    """Every fire strictly after `after`, ascending, in UTC. An interval must have its start."""
    match schedule:
        case IntervalSchedule():
            return _interval_fires(schedule, after)
        case CronSchedule():
            return _cron_fires(schedule, after)
        case SpecificSchedule():
            return (instant for instant in schedule.instants if instant > after)


def fires_between(schedule: Schedule, first: datetime, end: datetime) -> tuple[datetime, ...]:
    """The fires from `first` (included) up to `end` (excluded)."""
    fires: list[datetime] = []
    for instant in fires_after(schedule, first - _ONE_MICROSECOND):
        if instant >= end:
            break
        fires.append(instant)
    return tuple(fires)


def last_fires_between(
    schedule: Schedule, first: datetime, end: datetime, count: int
) -> tuple[datetime, ...]:
    """The last `count` fires from `first` (included) up to `end` (excluded), ascending.

    Looks back through windows that double, so that a year of missed minutes is never walked; only
    ever walks forward, so that it finds the same fires as the preview.
    """
    if count <= 0 or first >= end:
        return ()
    window = _FIRST_WINDOW
    while end - window > first:
        fires = fires_between(schedule, end - window, end)
        if len(fires) >= count:
            return fires[-count:]
        window *= 2
    return fires_between(schedule, first, end)[-count:]


def parse_cron(text: str) -> str:
    """The five-field form of an expression or a named one; raise CronInvalid or CronSixFields."""
    words = text.split()
    if len(text) > _EXPRESSION_MAX_CHARACTERS or not text.isascii():
        raise CronInvalid(reason=f"at most {_EXPRESSION_MAX_CHARACTERS} ASCII characters are expected")
    if len(words) == 1 and words[0].startswith("@"):
        if words[0].lower() not in ALIASES:
            raise CronInvalid(reason="unknown name", expression=text, known=sorted(ALIASES))
        return ALIASES[words[0].lower()]
    if len(words) == 6:
        raise CronSixFields(expression=text)
    if len(words) != 5:
        raise CronInvalid(reason=f"five fields are expected, {len(words)} are given", expression=text)

    expression = " ".join(words).upper()
    try:
        found = next(CronSim(expression, _A_LEAP_YEAR), None)
    except (CronSimError, ValueError, TypeError, AssertionError) as exc:
        raise CronInvalid(reason=str(exc) or "not understood", expression=text) from None
    if found is None:
        raise CronInvalid(reason="no date matches", expression=text)
    return expression


def require_zone(name: str) -> str:
    """The name itself where it is an IANA zone's; raise ZoneUnknown."""
    if name not in _zone_names():
        raise ZoneUnknown(zone=name[:80])
    return name


@lru_cache(maxsize=1024)
def get_zone(name: str) -> tzinfo:
    """The zone of the pinned tzdata, whatever the host's own says; raise ZoneUnknown."""
    if name == "UTC":
        return UTC
    with files("tzdata").joinpath("zoneinfo", *require_zone(name).split("/")).open("rb") as data:
        return ZoneInfo.from_file(data, key=name)


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    return frozenset(files("tzdata").joinpath("zones").read_text(encoding="ascii").split())


def _interval_fires(schedule: IntervalSchedule, after: datetime) -> Iterator[datetime]:
    if schedule.start_at is None:
        raise ValueError("an interval without its start fires at no known instant")
    step = timedelta(seconds=schedule.seconds)
    instant = schedule.start_at
    if after >= instant:
        instant += ((after - instant) // step + 1) * step
    while True:
        yield instant
        instant += step


def _cron_fires(schedule: CronSchedule, after: datetime) -> Iterator[datetime]:
    # cronsim walks naive local time where a fixed hour and minute are given: from inside a repeated
    # hour it would name the first pass again, which has been. Hence the guard on instants.
    last = after
    for local in CronSim(schedule.expression, after.astimezone(get_zone(schedule.zone))):
        instant = local.astimezone(UTC)
        if instant > last:
            last = instant
            yield instant

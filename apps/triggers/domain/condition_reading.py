"""From JSON to a condition; every refusal has a code and a pointer into the job's body."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from apps.kernel.errors import Invalid
from apps.kernel.reading import FieldInvalid, Reading, escape
from apps.triggers.domain.conditions import (
    MAX_DEPTH,
    MAX_LEAVES,
    MAX_SOURCES,
    Comparison,
    Condition,
    FireOn,
    Group,
    Join,
    Leaf,
)
from apps.triggers.domain.decimals import decimal_of
from apps.triggers.domain.routes import MAX_CHARACTERS, route_of
from apps.triggers.domain.source_reading import source_from_json
from apps.triggers.domain.sources import Source
from apps.triggers.errors import (
    ComparisonUnknown,
    ConditionMissing,
    ConditionTooDeep,
    FiresUnknown,
    GroupAmbiguous,
    GroupEmpty,
    HysteresisInvalid,
    RepeatInvalid,
    RouteInvalid,
    SourceNameInvalid,
    SourceUnknown,
    SourceUnused,
    ThresholdInvalid,
    ThresholdMissing,
    ThresholdOrder,
    TooManyComparisons,
    TooManySources,
)

DEFAULT_REPEAT_SECONDS: Final = 60
REPEAT_SECONDS_MAX: Final = 31_536_000
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}", re.ASCII)
_JOINS: Final = frozenset(str(join) for join in Join)
_LEAF_FIELDS: Final = frozenset({"source", "route", "is", "value", "low", "high", "hysteresis"})


def condition_from_json(value: Any, pointer: str = "/condition") -> Condition:
    """Read a condition; raise what `errors.py` and `kernel/reading.py` name, at its pointer."""
    if value is None:
        raise ConditionMissing(pointer=pointer)
    reading = Reading(value, pointer, ("sources", "when", "fires", "repeat_seconds"))
    sources = _sources(reading)
    if not reading.has("when"):
        raise ConditionMissing(pointer=reading.at("when"))
    nodes = _Nodes(sources)
    when = nodes.read(reading.value["when"], reading.at("when"), 0)
    for name in sources:
        if name not in nodes.used:
            raise SourceUnused(pointer=f"{reading.at('sources')}/{escape(name)}", source=name)
    fires = reading.choice("fires", FireOn, FiresUnknown, FireOn.EDGE)
    return Condition(
        sources=tuple(sorted(sources.items())),
        when=when,
        fires=fires,
        repeat_seconds=_repeat_seconds(reading, fires),
    )


class _Nodes:
    """The tree under `when`, and what of the sources it has named."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = sources
        self._leaves = 0
        self.used: set[str] = set()

    def read(self, value: Any, pointer: str, depth: int) -> Leaf | Group:
        """A group or a comparison, `depth` groups deep."""
        if not isinstance(value, Mapping):
            raise FieldInvalid(pointer=pointer, reason="an object is expected")
        joins = _JOINS & set(value)
        if not joins:
            return self._leaf(Reading(value, pointer, _LEAF_FIELDS))
        if len(value) != 1:
            raise GroupAmbiguous(pointer=pointer, fields=sorted(str(name)[:80] for name in value)[:8])
        if depth >= MAX_DEPTH:
            raise ConditionTooDeep(pointer=pointer, limit=MAX_DEPTH)
        name = next(iter(joins))
        reading = Reading(value, pointer, _JOINS)
        parts = reading.items(name)
        if not parts:
            raise GroupEmpty(pointer=reading.at(name))
        return Group(
            join=Join(name),
            parts=tuple(
                self.read(part, f"{reading.at(name)}/{i}", depth + 1) for i, part in enumerate(parts)
            ),
        )

    def _leaf(self, reading: Reading) -> Leaf:
        self._leaves += 1
        if self._leaves > MAX_LEAVES:
            raise TooManyComparisons(pointer=reading.pointer, limit=MAX_LEAVES)
        comparison = reading.choice("is", Comparison, ComparisonUnknown)
        low, high = _thresholds(reading, comparison)
        return Leaf(
            source=self._source(reading),
            route=_route(reading),
            comparison=comparison,
            low=low,
            high=high,
            hysteresis=_hysteresis(reading),
        )

    def _source(self, reading: Reading) -> str:
        if not reading.has("source") and len(self._sources) == 1:
            name = next(iter(self._sources))
        else:
            name = reading.text("source")
        if name not in self._sources:
            raise SourceUnknown(pointer=reading.at("source"), source=name[:80], known=sorted(self._sources))
        self.used.add(name)
        return name


def _sources(reading: Reading) -> dict[str, Source]:
    given = reading.get("sources")
    pointer = reading.at("sources")
    if not given:
        raise ConditionMissing(pointer=pointer)
    if not isinstance(given, Mapping):
        raise FieldInvalid(pointer=pointer, reason="an object is expected")
    if len(given) > MAX_SOURCES:
        raise TooManySources(pointer=pointer, limit=MAX_SOURCES)
    sources: dict[str, Source] = {}
    for name, value in given.items():
        place = f"{pointer}/{escape(str(name)[:80])}"
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise SourceNameInvalid(pointer=place)
        sources[name] = source_from_json(value, place)
    return sources


def _route(reading: Reading) -> str:
    route = reading.text("route", "", max_characters=MAX_CHARACTERS)
    try:
        route_of(route)
    except RouteInvalid as exc:
        raise RouteInvalid(pointer=reading.at("route"), **exc.fields) from None
    return route


def _thresholds(reading: Reading, comparison: Comparison) -> tuple[Decimal, Decimal]:
    expected = ("low", "high") if comparison is Comparison.BETWEEN else ("value",)
    for name in ("value", "low", "high"):
        if reading.has(name) and name not in expected:
            raise ThresholdInvalid(
                pointer=reading.at(name), reason=f"{comparison} takes {' and '.join(expected)}"
            )
    for name in expected:
        if not reading.has(name):
            raise ThresholdMissing(pointer=reading.at(name), field=name)
    ends = [_number(reading, name, ThresholdInvalid) for name in expected]
    low, high = ends[0], ends[-1]
    if low > high:
        raise ThresholdOrder(
            pointer=reading.at("low"), low=str(reading.value["low"]), high=str(reading.value["high"])
        )
    return low, high


def _hysteresis(reading: Reading) -> Decimal:
    if not reading.has("hysteresis"):
        return Decimal(0)
    found = _number(reading, "hysteresis", HysteresisInvalid)
    if found < 0:
        raise HysteresisInvalid(pointer=reading.at("hysteresis"), reason="a number from 0 on is expected")
    return found


def _number(reading: Reading, name: str, error: type[Invalid]) -> Decimal:
    try:
        return decimal_of(reading.value[name])
    except Invalid as exc:
        raise error(pointer=reading.at(name), reason=exc.fields.get("reason", exc.code)) from None


def _repeat_seconds(reading: Reading, fires: FireOn) -> int:
    if fires is FireOn.EDGE:
        if reading.has("repeat_seconds"):
            raise RepeatInvalid(pointer=reading.at("repeat_seconds"), reason="only with fires: level")
        return 0
    return reading.number(
        "repeat_seconds", DEFAULT_REPEAT_SECONDS, RepeatInvalid, low=1, high=REPEAT_SECONDS_MAX
    )

"""A condition: comparisons of picked values with thresholds, joined by `all` and `any`, over sources."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, assert_never

from apps.triggers.domain.decimals import add, decimal_text, subtract
from apps.triggers.domain.sources import Source, source_to_json

MAX_DEPTH: Final = 4
MAX_LEAVES: Final = 32
MAX_SOURCES: Final = 8


class Comparison(StrEnum):
    """How a value is compared with its threshold."""

    GREATER_THAN = "greater_than"
    LESS_THAN = "less_than"
    #: both ends are in
    BETWEEN = "between"
    EQUALS = "equals"
    NOT_EQUALS = "not_equals"
    GREATER_EQUAL = "greater_equal"
    LESS_EQUAL = "less_equal"


class Join(StrEnum):
    """How a group's parts are joined."""

    ALL = "all"
    ANY = "any"


class FireOn(StrEnum):
    """When a condition fires."""

    #: when it becomes met
    EDGE = "edge"
    #: while it is met, once in so many seconds
    LEVEL = "level"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One comparison. `low` and `high` are the ends of `between` and the same threshold for all others.

    `hysteresis` keeps a value that hovers at the threshold from flickering: see `region_of`.
    """

    source: str
    route: str
    comparison: Comparison
    low: Decimal
    high: Decimal
    hysteresis: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Parts of which all, or any, are to be met."""

    join: Join
    parts: tuple["Leaf | Group", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """`sources` are sorted by name; `repeat_seconds` is 0 for a condition that fires at edges."""

    sources: tuple[tuple[str, Source], ...]
    when: Leaf | Group
    fires: FireOn
    repeat_seconds: int

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """All comparisons in the order of the definition; a leaf's place is its bit in `latched`."""
        return tuple(leaves_of(self.when))

    @property
    def picks(self) -> dict[str, tuple[str, ...]]:
        """The distinct routes that are picked from each source, in the order of the definition."""
        found: dict[str, dict[str, None]] = {name: {} for name, _ in self.sources}
        for leaf in self.leaves:
            found[leaf.source][leaf.route] = None
        return {name: tuple(routes) for name, routes in found.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """The values a comparison is met by: those between two ends, or those outside them.

    An end that is None is endless; `has_low` and `has_high` say whether the end itself is between.
    """

    low: Decimal | None
    high: Decimal | None
    has_low: bool
    has_high: bool
    is_outside: bool = False

    def contains(self, value: Decimal) -> bool:
        """Whether the comparison is met by this value."""
        is_above = self.low is None or (value >= self.low if self.has_low else value > self.low)
        is_below = self.high is None or (value <= self.high if self.has_high else value < self.high)
        return (is_above and is_below) is not self.is_outside


def region_of(leaf: Leaf, is_latched: bool) -> Region:
    """What a leaf is met by, given whether it was met when its value was last known.

    With threshold t and hysteresis h, a leaf that was not met is met by the first, and then stays met while
    the value is in the second:

        greater_than    v > t               v > t - h
        greater_equal   v >= t              v >= t - h
        less_than       v < t               v < t + h
        less_equal      v <= t              v <= t + h
        equals          v = t               t - h <= v <= t + h
        between         low <= v <= high    low - h <= v <= high + h
        not_equals      |v - t| > h         v is not t

    `not_equals` has everything but a point to be met by, which cannot be widened: there h is how far a value
    has to go before it counts as another.
    """
    slack = leaf.hysteresis if is_latched else Decimal(0)
    match leaf.comparison:
        case Comparison.GREATER_THAN | Comparison.GREATER_EQUAL:
            has_low = leaf.comparison is Comparison.GREATER_EQUAL
            return Region(low=subtract(leaf.low, slack), high=None, has_low=has_low, has_high=False)
        case Comparison.LESS_THAN | Comparison.LESS_EQUAL:
            has_high = leaf.comparison is Comparison.LESS_EQUAL
            return Region(low=None, high=add(leaf.high, slack), has_low=False, has_high=has_high)
        case Comparison.EQUALS | Comparison.BETWEEN:
            return _around(leaf, slack, is_outside=False)
        case Comparison.NOT_EQUALS:
            return _around(leaf, Decimal(0) if is_latched else leaf.hysteresis, is_outside=True)
        case _:
            assert_never(leaf.comparison)


def leaves_of(node: Leaf | Group) -> Iterator[Leaf]:
    """The comparisons under a node, in the order of the definition."""
    if isinstance(node, Leaf):
        yield node
        return
    for part in node.parts:
        yield from leaves_of(part)


def condition_to_json(condition: Condition) -> dict[str, Any]:
    """The canonical JSON form, which reads back to an equal condition."""
    form: dict[str, Any] = {
        "sources": {name: source_to_json(source) for name, source in condition.sources},
        "when": _node_form(condition.when),
        "fires": str(condition.fires),
    }
    if condition.fires is FireOn.LEVEL:
        form["repeat_seconds"] = condition.repeat_seconds
    return form


def _around(leaf: Leaf, slack: Decimal, *, is_outside: bool) -> Region:
    return Region(
        low=subtract(leaf.low, slack),
        high=add(leaf.high, slack),
        has_low=True,
        has_high=True,
        is_outside=is_outside,
    )


def _node_form(node: Leaf | Group) -> dict[str, Any]:
    if isinstance(node, Group):
        return {str(node.join): [_node_form(part) for part in node.parts]}
    form = {"source": node.source, "route": node.route, "is": str(node.comparison)}
    if node.comparison is Comparison.BETWEEN:
        form |= {"low": decimal_text(node.low), "high": decimal_text(node.high)}
    else:
        form["value"] = decimal_text(node.low)
    if node.hysteresis:
        form["hysteresis"] = decimal_text(node.hysteresis)
    return form

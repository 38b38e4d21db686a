"""The scalar evaluator: exact, one condition at a time, with what would flip it; attesters use it too.

Truth has three values (Kleene): a comparison whose value could not be picked is unknown, which is written
None. `all` with a part that is not met is not met whatever is unknown; `any` with a part that is met is met.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from apps.kernel.errors import DomainError
from apps.triggers.domain.conditions import (
    Comparison,
    Condition,
    Group,
    Join,
    Leaf,
    Region,
    leaves_of,
    region_of,
)
from apps.triggers.domain.decimals import decimal_of, decimal_text, subtract
from apps.triggers.domain.routes import pick, route_of


@dataclass(frozen=True, slots=True, kw_only=True)
class PickFault:
    """Why there is no value: the code of the error, and its facts as text."""

    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafVerdict:
    """One comparison: `is_met` is None where `fault` says why there is no value.

    `limits` are the ends that counted, with hysteresis; `flip` is what would turn it, for people.
    """

    source: str
    route: str
    comparison: Comparison
    value: Decimal | None
    limits: tuple[Decimal, ...]
    is_met: bool | None
    fault: PickFault | None
    flip: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`latched_after` has a bit for each leaf that was met when its value was last known."""

    is_met: bool | None
    leaves: tuple[LeafVerdict, ...]
    latched_after: int


#: nobody has evaluated the condition yet
NOT_LATCHED: Final = 0
_MISSING: Final = PickFault(code="value_missing")


def evaluate(
    condition: Condition, picks: Mapping[str, Mapping[str, Decimal | PickFault]], latched: int = NOT_LATCHED
) -> Verdict:
    """Evaluate over picked values, by source name and route; what is not there is unknown."""
    verdicts: list[LeafVerdict] = []
    latched_after = latched
    for i, leaf in enumerate(leaves_of(condition.when)):
        value = picks.get(leaf.source, {}).get(leaf.route, _MISSING)
        verdict = _judge(leaf, value, bool(latched >> i & 1))
        verdicts.append(verdict)
        if verdict.is_met is not None:
            latched_after = latched_after & ~(1 << i) | verdict.is_met << i
    truths = [verdict.is_met for verdict in verdicts]
    is_met, _ = _join(condition.when, truths, 0)
    return Verdict(is_met=is_met, leaves=tuple(verdicts), latched_after=latched_after)


def pick_number(route: str, document: Any) -> Decimal | PickFault:
    """The number a route picks from a document, or why there is none."""
    try:
        return decimal_of(pick(route_of(route), document))
    except DomainError as exc:
        return fault_of(exc)


def fault_of(error: DomainError) -> PickFault:
    """An error as the reason of a value that is not there."""
    detail = ", ".join(f"{name}: {value}" for name, value in error.fields.items() if name != "route")
    return PickFault(code=error.code, detail=detail[:200])


def _join(node: Leaf | Group, truths: Sequence[bool | None], at: int) -> tuple[bool | None, int]:
    """The node's truth, and the place of the next leaf after it."""
    if isinstance(node, Leaf):
        return truths[at], at + 1
    decisive = node.join is Join.ANY
    found: bool | None = not decisive
    for part in node.parts:
        truth, at = _join(part, truths, at)
        if truth is decisive or found is decisive:
            found = decisive
        elif truth is None:
            found = None
    return found, at


def _judge(leaf: Leaf, value: Decimal | PickFault, is_latched: bool) -> LeafVerdict:
    region = region_of(leaf, is_latched)
    is_met = region.contains(value) if isinstance(value, Decimal) else None
    ends = dict.fromkeys(end for end in (region.low, region.high) if end is not None)
    return LeafVerdict(
        source=leaf.source,
        route=leaf.route,
        comparison=leaf.comparison,
        value=value if isinstance(value, Decimal) else None,
        limits=tuple(ends),
        is_met=is_met,
        fault=None if isinstance(value, Decimal) else value,
        flip=_flip_text(leaf, value, bool(is_met)) if isinstance(value, Decimal) else "a value",
    )


def _flip_text(leaf: Leaf, value: Decimal, is_met: bool) -> str:
    """Where the leaf would turn: at the region that counts once it is as it is now."""
    region = region_of(leaf, is_met)
    target = _outside_text(region) if is_met is not region.is_outside else _inside_text(region)
    ends = [end for end in (region.low, region.high) if end is not None]
    distance = min(_distance(value, end) for end in ends)
    return f"{target} ({decimal_text(distance)} away)"


def _distance(one: Decimal, other: Decimal) -> Decimal:
    """How far two values are from each other, exactly."""
    return subtract(max(one, other), min(one, other))


def _inside_text(region: Region) -> str:
    match region.low, region.high:
        case None, Decimal() as high:
            return f"{decimal_text(high)} or less" if region.has_high else f"below {decimal_text(high)}"
        case Decimal() as low, None:
            return f"{decimal_text(low)} or more" if region.has_low else f"above {decimal_text(low)}"
        case low, high if low == high and low is not None:
            return f"exactly {decimal_text(low)}"
        case Decimal() as low, Decimal() as high:
            return f"{decimal_text(low)} to {decimal_text(high)}"
    return "any value"


def _outside_text(region: Region) -> str:
    match region.low, region.high:
        case None, Decimal() as high:
            return f"above {decimal_text(high)}" if region.has_high else f"{decimal_text(high)} or more"
        case Decimal() as low, None:
            return f"below {decimal_text(low)}" if region.has_low else f"{decimal_text(low)} or less"
        case Decimal() as low, Decimal() as high if low == high:
            return f"anything but {decimal_text(low)}"
        case Decimal() as low, Decimal() as high:
            return f"below {decimal_text(low)} or above {decimal_text(high)}"
    return "no value"

"""Conditions built by hand, and random ones."""

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from apps.triggers.data import PickFault

PRICE: dict[str, Any] = {"kind": "http", "url": "https://prices.example/eth?key=abc"}
FAULT = PickFault(code="source_down")


def leaf(comparison: str = "greater_than", value: Any = "3000", **more: Any) -> dict[str, Any]:
    """One comparison of `$.price`."""
    ends = {} if value is None else {"value": value}
    return {"route": "$.price", "is": comparison, **ends, **more}


def condition(when: Any = None, **more: Any) -> dict[str, Any]:
    """A condition over one source."""
    return {"sources": {"eth": PRICE}, "when": leaf() if when is None else when, **more}


def picked(value: str | PickFault, route: str = "$.price", source: str = "eth") -> Any:
    """What was picked, for one route."""
    return {source: {route: value if isinstance(value, PickFault) else Decimal(value)}}


SOURCES = ("a", "b")
ROUTES = ("x", "$.y", "")
#: few different numbers, so that values meet thresholds; some that floats cannot tell apart
NUMBERS = st.one_of(
    st.integers(-3, 3).map(str),
    st.sampled_from(
        ["0.5", "-0.5", "1.0", "1e0", "0.1", "0.10000000000000000001", "9007199254740993", "9007199254740992"]
    ),
)


@st.composite
def _leaves(draw: st.DrawFn) -> dict[str, Any]:
    comparison = draw(
        st.sampled_from(
            [
                "greater_than",
                "less_than",
                "between",
                "equals",
                "not_equals",
                "greater_equal",
                "less_equal",
            ]
        )
    )
    form = {
        "source": draw(st.sampled_from(SOURCES)),
        "route": draw(st.sampled_from(ROUTES)),
        "is": comparison,
    }
    if comparison == "between":
        ends = sorted([draw(NUMBERS), draw(NUMBERS)], key=Decimal)
        form |= {"low": ends[0], "high": ends[1]}
    else:
        form["value"] = draw(NUMBERS)
    if draw(st.booleans()):
        form["hysteresis"] = draw(st.sampled_from(["0", "1", "0.5", "2", "0.00000000000000000001"]))
    return form


def _groups(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda join, inner: {join: inner},
        st.sampled_from(["all", "any"]),
        st.lists(parts, min_size=1, max_size=3),
    )


_whens = st.one_of(
    _leaves(),
    _groups(_leaves()),
    _groups(st.one_of(_leaves(), _groups(_leaves()))),
    _groups(st.one_of(_leaves(), _groups(st.one_of(_leaves(), _groups(_leaves()))))),
)


def _named(node: dict[str, Any]) -> set[str]:
    parts = node.get("all") or node.get("any")
    return set().union(*(_named(part) for part in parts)) if parts else {node["source"]}


#: the JSON of a condition over one or both sources
conditions = _whens.map(
    lambda when: {
        "sources": {name: {"kind": "static", "value": {"of": name}} for name in sorted(_named(when))},
        "when": when,
    }
)
#: what one route picked
values = st.one_of(NUMBERS.map(Decimal), st.just(FAULT))

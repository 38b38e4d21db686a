"""Routes into a document: one value, or why not one; and no route whose work has no bound."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.triggers.domain.routes import MAX_COUNT, pick, route_of
from apps.triggers.errors import RouteInvalid, RouteMatchesMany, RouteMatchesNothing

DOCUMENT: dict[str, Any] = {
    "data": {"price": "1.5", "0": "name"},
    "items": [{"price": 1, "of": "a"}, {"price": 2, "of": "b"}],
    "a.b": 3,
    "none": None,
}


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("", DOCUMENT),
        ("$", DOCUMENT),
        ("data.price", "1.5"),
        ("$.data.price", "1.5"),
        ("$['a.b']", 3),
        ("items.0.price", 1),
        ("items.-1.price", 2),
        ("$.items[1].price", 2),
        ("$.items[-2].price", 1),
        ("data.0", "name"),
        ("none", None),
        ("$.items[?@.of == 'b'].price", 2),
        ("$.items[?@.price > 1.5].of", "b"),
        ("$.items[:1].price", 1),
    ],
)
def test_a_route_picks_one_value(route: str, expected: Any) -> None:
    assert pick(route_of(route), DOCUMENT) == expected


@pytest.mark.parametrize(
    "route", ["x", "data.price.x", "items.2", "items.price", "$.data[0]", "$.items[?@.of == 'c']"]
)
def test_a_route_that_leads_nowhere_says_so(route: str) -> None:
    with pytest.raises(RouteMatchesNothing) as caught:
        pick(route_of(route), DOCUMENT)
    assert caught.value.route == route


def test_a_route_to_several_values_says_how_many() -> None:
    with pytest.raises(RouteMatchesMany) as caught:
        pick(route_of("$.items[*].price"), DOCUMENT)
    assert caught.value.count == 2
    with pytest.raises(RouteMatchesMany) as caught:
        pick(route_of("$[*]"), list(range(5_000)))
    assert caught.value.count == MAX_COUNT


@pytest.mark.parametrize(
    "route",
    [
        "a..b",
        ".a",
        "a.",
        "$.",
        "$..price",
        "$['a','b']",
        "$[*,*]",
        "$[?match(@.a, '(a+)+')]",
        "$[?search(@.a, 'x')]",
        "$[?@.a == $.b]",
        "$[?count(@.*) > 1]",
        "$[?@[?@.a]]",
        "$[0",
        "$ ",
        "$[99999999999999999999]",
        "$[?" + "(" * 500,
        "a" * 513,
    ],
)
def test_a_route_that_is_none_or_has_no_bound_is_refused(route: str) -> None:
    with pytest.raises(RouteInvalid) as caught:
        route_of(route)
    assert caught.value.reason


_keys = st.sampled_from(["a", "b", "0"])
_documents = st.recursive(
    st.integers(),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_keys, inner)),
    max_leaves=12,
)


@given(_documents, st.lists(st.one_of(_keys, st.integers(-3, 3)), max_size=4))
def test_our_walk_and_the_librarys_pick_the_same(document: Any, steps: list[Any]) -> None:
    route = route_of("$" + "".join(f"[{step!r}]" for step in steps))
    assert route.steps is not None
    assert route.path is not None
    expected = route.path.findall(document)
    if expected:
        assert pick(route, document) == expected[0]
    else:
        with pytest.raises(RouteMatchesNothing):
            pick(route, document)

"""Where in a document a value stands: RFC 9535 JSONPath (`$.data[0].price`), a dotted route (`data.0.price`),
or nothing for the whole document. A route picks exactly one value, or says why it does not.

Routes of names and indexes only are walked by this module; all others go through the library. Their work is
linear in the document: what could make it more is refused when the route is defined, which is descendants
(`..`), several selectors in one segment, queries inside a filter that leave the element or lead to more than
one node, and the functions `match` and `search`, whose patterns may backtrack without end.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from jsonpath import JSONPath, JSONPathEnvironment
from jsonpath.exceptions import JSONPathError
from jsonpath.filter import BaseExpression, FilterQuery, RelativeFilterQuery
from jsonpath.segments import JSONPathChildSegment
from jsonpath.selectors import Filter, IndexSelector, JSONPathSelector, NameSelector

from apps.triggers.errors import RouteInvalid, RouteMatchesMany, RouteMatchesNothing

MAX_CHARACTERS: Final = 512
#: matches are counted no further
MAX_COUNT: Final = 1_000
_INDEX: Final = re.compile(r"0|-?[1-9][0-9]{0,9}", re.ASCII)
_NOTHING: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a plain route: into an object by name, into a list by index, by whichever is not None."""

    name: str | None
    index: int | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Route:
    """A compiled route; `steps` are those of a plain one, all others have a `path`."""

    text: str
    steps: tuple[Step, ...] | None
    path: JSONPath | None


class _Paths(JSONPathEnvironment):
    """Strict RFC 9535, without functions of unbounded work; decimals are compared as written."""

    def __init__(self) -> None:
        super().__init__(strict=True, filter_caching=False)

    def setup_function_extensions(self) -> None:
        super().setup_function_extensions()
        for name in ("match", "search"):
            self.function_extensions.pop(name, None)

    def compare(self, left: object, operator: str, right: object) -> bool:
        return super().compare(_exact(left), operator, _exact(right))


_PATHS: Final = _Paths()


@lru_cache(maxsize=16_384)
def route_of(text: str) -> Route:
    """The compiled route of a text; raise RouteInvalid(reason)."""
    if len(text) > MAX_CHARACTERS:
        raise RouteInvalid(reason=f"at most {MAX_CHARACTERS} characters are expected")
    if not text.startswith("$"):
        return Route(text=text, steps=_dotted_steps(text), path=None)
    try:
        path = _PATHS.compile(text)
    except (JSONPathError, ValueError, OverflowError) as exc:
        reason = getattr(exc, "message", None) or (exc.args[0] if exc.args else "not a JSONPath")
        raise RouteInvalid(reason=str(reason)[:200]) from None
    except RecursionError:
        raise RouteInvalid(reason="nested too deep") from None
    if not isinstance(path, JSONPath):
        raise RouteInvalid(reason="one query is expected")
    _require_bounded(path)
    return Route(text=text, steps=_plain_steps(path), path=path)


def pick(route: Route, document: Any) -> Any:
    """The one value a route leads to; raise RouteMatchesNothing(route) or RouteMatchesMany(route, count)."""
    found = _pick_all(route, document) if route.steps is None else _walk(route.steps, document)
    if found is _NOTHING:
        raise RouteMatchesNothing(route=route.text)
    return found


def _walk(steps: tuple[Step, ...], node: Any) -> Any:
    for step in steps:
        if isinstance(node, dict):
            if step.name is None or step.name not in node:
                return _NOTHING
            node = node[step.name]
        elif isinstance(node, list):
            if step.index is None or not -len(node) <= step.index < len(node):
                return _NOTHING
            node = node[step.index]
        else:
            return _NOTHING
    return node


def _pick_all(route: Route, document: Any) -> Any:
    assert route.path is not None
    matches = iter(route.path.finditer(document))
    first = next(matches, None)
    if first is None:
        return _NOTHING
    others = sum(1 for _ in zip(matches, range(MAX_COUNT - 1), strict=False))
    if others:
        raise RouteMatchesMany(route=route.text, count=others + 1)
    return first.obj


def _dotted_steps(text: str) -> tuple[Step, ...]:
    if not text:
        return ()
    names = text.split(".")
    if not all(names):
        raise RouteInvalid(reason="a name between dots is empty")
    return tuple(Step(name=name, index=int(name) if _INDEX.fullmatch(name) else None) for name in names)


def _plain_steps(path: JSONPath) -> tuple[Step, ...] | None:
    """A singular query's steps, None for all others."""
    if not path.singular_query():
        return None
    return tuple(_plain_step(selector) for segment in path.segments for selector in segment.selectors)


def _plain_step(selector: JSONPathSelector) -> Step:
    if isinstance(selector, NameSelector):
        return Step(name=selector.name, index=None)
    assert isinstance(selector, IndexSelector)
    return Step(name=None, index=selector.index)


def _require_bounded(path: JSONPath) -> None:
    for segment in path.segments:
        if not isinstance(segment, JSONPathChildSegment):
            raise RouteInvalid(reason="descendants (..) are not followed; write the way out")
        if len(segment.selectors) != 1:
            raise RouteInvalid(reason="one selector in each pair of brackets is expected")
        if isinstance(segment.selectors[0], Filter):
            _require_bounded_filter(segment.selectors[0])


def _require_bounded_filter(selector: Filter) -> None:
    for expression in _expressions(selector.expression):
        if not isinstance(expression, FilterQuery):
            continue
        if not isinstance(expression, RelativeFilterQuery) or not expression.path.singular_query():
            raise RouteInvalid(reason="a query inside a filter leads to one value of the element (@)")


def _expressions(expression: BaseExpression) -> Iterator[BaseExpression]:
    yield expression
    for child in expression.children():
        yield from _expressions(child)


def _exact(value: object) -> object:
    return Decimal(repr(value)) if isinstance(value, float) else value

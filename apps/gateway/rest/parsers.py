"""The one parser of request bodies."""

import json
from collections.abc import Mapping, Sequence
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser


class JsonBody(JSONParser):
    """JSON as RFC 8259 has it; what is not, nested deeper than the reader goes, or says the same name twice
    in one object is malformed (400).
    """

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """The parsed body; raises ParseError with where it breaks off."""
        try:
            text = stream.read().decode("utf-8")
            return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object_of)
        except json.JSONDecodeError as exc:
            raise ParseError(f"{exc.msg} at line {exc.lineno}, column {exc.colno}") from None
        except RecursionError:
            raise ParseError("it is nested too deep") from None
        except ValueError as exc:
            raise ParseError("it is not UTF-8" if isinstance(exc, UnicodeError) else str(exc)) from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _object_of(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice[:80]!r} stands twice in one object")
    return found

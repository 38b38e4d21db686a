"""Reading what a script printed: exactly one JSON document that has one canonical form."""

import json
from collections.abc import Iterable
from typing import Any, Final, NoReturn

from apps.kernel.hashing import NotCanonicalJson, canonical_json
from workers.keeper.sandbox.errors import ScriptOutputInvalid

DEPTH_MAX: Final = 64


def parse_output(stdout: bytes) -> Any:
    """The document on stdout; whitespace may surround it.

    Raises ScriptOutputInvalid for anything else: no or several documents, not UTF-8, a key twice, NaN or
    an infinity, an integer beyond 2^53, more than 64 levels.
    """
    try:
        value = json.loads(
            stdout.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_refuse_constant
        )
        _require_depth(value)
        canonical_json(value)
    except UnicodeDecodeError:
        raise ScriptOutputInvalid(reason="not UTF-8") from None
    except RecursionError:
        raise ScriptOutputInvalid(reason=f"deeper than {DEPTH_MAX} levels") from None
    except NotCanonicalJson as exc:
        raise ScriptOutputInvalid(reason=exc.reason) from None
    except json.JSONDecodeError as exc:
        reason = "no output" if not stdout.strip() else f"{exc.msg} at character {exc.pos}"
        raise ScriptOutputInvalid(reason=reason) from None
    except ValueError as exc:
        raise ScriptOutputInvalid(reason=str(exc)[:200]) from None
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ScriptOutputInvalid(reason="a key occurs twice in an object")
    return found


def _refuse_constant(text: str) -> NoReturn:
    raise ScriptOutputInvalid(reason=f"{text} is no JSON number")


def _require_depth(value: Any) -> None:
    """Objects and arrays within each other, level by level; a lone number is at level 0."""
    level, depth = _containers([value]), 0
    while level:
        depth += 1
        if depth > DEPTH_MAX:
            raise ScriptOutputInvalid(reason=f"deeper than {DEPTH_MAX} levels")
        level = [
            child
            for container in level
            for child in _containers(container.values() if isinstance(container, dict) else container)
        ]


def _containers(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, dict | list)]

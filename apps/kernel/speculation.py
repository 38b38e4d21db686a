"""What a person may say about running ahead: on or off, and how far. Said by the network, a project or a job.

A choice that says nothing leaves the word to the level above it. Its JSON form holds only what is said:
`{"enabled": false}`, `{"mode": "aggressive"}`, `{"mode": "custom", "max_depth": 20, "max_branches": 8}`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from apps.kernel.errors import Invalid

#: the deepest and the widest anybody may ask for
DEPTH_MAX: Final = 20
BRANCHES_MAX: Final = 16

_FIELDS: Final = ("enabled", "mode", "max_depth", "max_branches")


class SpeculationLimitsInvalid(Invalid):
    """A switch, mode, depth or number of branches that is not on offer. Fields: field, value, reason."""

    code = "speculation_limits_invalid"
    title = "The limits of speculation are not valid"


class Mode(StrEnum):
    """A named pair of depth and branches."""

    #: shallow and narrow
    CONSERVATIVE = "conservative"
    #: the default
    BALANCED = "balanced"
    #: deep and wide
    AGGRESSIVE = "aggressive"
    #: depth 1 to 20 and branches 1 to 16, as given
    CUSTOM = "custom"


#: mode → (max_depth, max_branches)
MODE_LIMITS: Final[Mapping[Mode, tuple[int, int]]] = {
    Mode.CONSERVATIVE: (3, 2),
    Mode.BALANCED: (5, 4),
    Mode.AGGRESSIVE: (10, 8),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the network, a project or a job says; None says nothing."""

    is_enabled: bool | None = None
    mode: Mode | None = None
    max_depth: int | None = None
    max_branches: int | None = None

    def to_json(self) -> dict[str, Any]:
        """The stored and shown form: what is said, and no more."""
        said = {
            "enabled": self.is_enabled,
            "mode": None if self.mode is None else str(self.mode),
            "max_depth": self.max_depth,
            "max_branches": self.max_branches,
        }
        return {name: value for name, value in said.items() if value is not None}


def choice_from_json(value: Any, pointer: str = "") -> Choice:
    """Read a choice; null, absent and `{}` say nothing, and so does a field that is null.

    Raises SpeculationLimitsInvalid with the JSON pointer of the field, seen from `pointer`.
    """
    if value is None:
        return Choice()
    if not isinstance(value, Mapping):
        raise _refused(pointer, "", value, "an object is expected")
    for name in value:
        if name not in _FIELDS:
            raise _refused(pointer, str(name)[:80], None, f"not known; known are {', '.join(_FIELDS)}")
    is_enabled, mode = value.get("enabled"), value.get("mode")
    if is_enabled is not None and not isinstance(is_enabled, bool):
        raise _refused(pointer, "enabled", is_enabled, "true or false is expected")
    if mode is not None and mode not in list(Mode):
        raise _refused(pointer, "mode", mode, f"one of {', '.join(Mode)} is expected")
    choice = Choice(
        is_enabled=is_enabled,
        mode=None if mode is None else Mode(mode),
        max_depth=value.get("max_depth"),
        max_branches=value.get("max_branches"),
    )
    return require_choice(choice, pointer)


def require_choice(choice: Choice, pointer: str | None = None) -> Choice:
    """The choice where it is one; raise SpeculationLimitsInvalid(field, value, reason) otherwise.

    Depth and branches are given for the custom mode, both, and for no other.
    """
    given = (("max_depth", choice.max_depth, DEPTH_MAX), ("max_branches", choice.max_branches, BRANCHES_MAX))
    for field, value, most in given:
        if choice.mode is Mode.CUSTOM:
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise _refused(pointer, field, value, f"custom takes 1 to {most}")
        elif value is not None:
            raise _refused(pointer, field, value, "given with mode custom only")
    return choice


def _refused(pointer: str | None, field: str, value: Any, reason: str) -> SpeculationLimitsInvalid:
    # A field's name as one token of a JSON pointer (RFC 6901).
    token = field.replace("~", "~0").replace("/", "~1")
    place = pointer if pointer is None or not field else f"{pointer}/{token}"
    is_short = value is None or isinstance(value, bool | int)
    shown = value if is_short else str(value)[:80]
    return SpeculationLimitsInvalid(pointer=place, field=field, value=shown, reason=reason)

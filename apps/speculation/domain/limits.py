"""How far ahead tasks may run: the network's limits, and what a project or a job says otherwise.

The most specific word wins for mode, depth and branches. Switching off is different: speculation is on only
where network, project and job all leave it on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from apps.speculation.domain.graph import DEPTH_MAX
from apps.speculation.errors import SpeculationLimitsInvalid

BRANCHES_MAX: Final = 16


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one task's decision. `off_by` names who switched speculation off, or is empty."""

    off_by: str = ""
    mode: Mode = Mode.BALANCED
    max_depth: int = 5
    max_branches: int = 4
    lease_buffer_seconds: int = 60
    min_reputation: int = 500
    max_at_risk_units: int = 1_000_000_000_000

    @property
    def is_enabled(self) -> bool:
        """Whether nobody switched speculation off."""
        return not self.off_by


def require_choice(choice: Choice) -> Choice:
    """The choice where it is one; raise SpeculationLimitsInvalid(field, value, reason) otherwise.

    Depth and branches are given for the custom mode, both, and for no other.
    """
    given = (("max_depth", choice.max_depth, DEPTH_MAX), ("max_branches", choice.max_branches, BRANCHES_MAX))
    for field, value, most in given:
        if choice.mode is Mode.CUSTOM:
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise SpeculationLimitsInvalid(field=field, value=value, reason=f"custom takes 1 to {most}")
        elif value is not None:
            raise SpeculationLimitsInvalid(field=field, value=value, reason="given with mode custom only")
    return choice


def resolve_limits(
    *,
    network: Choice,
    project: Choice,
    job: Choice,
    lease_buffer_seconds: int,
    min_reputation: int,
    max_at_risk_units: int,
) -> Limits:
    """The limits a job's tasks are decided by. Raises SpeculationLimitsInvalid."""
    levels = {"network": network, "project": project, "job": job}
    for choice in levels.values():
        require_choice(choice)

    off_by = next((name for name, choice in levels.items() if choice.is_enabled is False), "")
    chosen = next((one for one in (job, project, network) if one.mode is not None), Choice())
    mode = chosen.mode or Mode.BALANCED
    max_depth, max_branches = MODE_LIMITS.get(mode) or (chosen.max_depth or 1, chosen.max_branches or 1)
    return Limits(
        off_by=off_by,
        mode=mode,
        max_depth=max_depth,
        max_branches=max_branches,
        lease_buffer_seconds=lease_buffer_seconds,
        min_reputation=min_reputation,
        max_at_risk_units=max_at_risk_units,
    )

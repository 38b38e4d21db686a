"""How far ahead tasks may run: the network's limits, and what a project or a job says otherwise.

The most specific word wins for mode, depth and branches. Switching off is different: speculation is on only
where network, project and job all leave it on.
"""

from dataclasses import dataclass

from apps.kernel.speculation import MODE_LIMITS, Choice, Mode, require_choice

__all__ = ["MODE_LIMITS", "Choice", "Limits", "Mode", "require_choice", "resolve_limits"]


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

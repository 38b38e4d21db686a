"""How far a failure of each step would reach, and what bonds would stand on it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from apps.jobs.data import StepDefinition, compute_depths
from apps.speculation.domain.bonds import BondTerms, compute_required_bond


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBlast:
    """What stands on one step: its own bond, its descendants, and all their bonds together with its own."""

    step: str
    depth: int
    bond_units: int
    descendants: int
    at_risk_units: int


def compute_blast(steps: Sequence[StepDefinition], terms: BondTerms, max_depth: int) -> tuple[StepBlast, ...]:
    """The reach of each step in order; no step runs ahead deeper than `max_depth`, 0 for not at all."""
    depths = {key: min(depth, max_depth) for key, depth in compute_depths(steps).items()}
    bonds = {key: compute_required_bond(depth, terms) for key, depth in depths.items()}
    below = find_descendants(steps)
    return tuple(
        StepBlast(
            step=step.key,
            depth=depths[step.key],
            bond_units=bonds[step.key],
            descendants=len(below[step.key]),
            at_risk_units=bonds[step.key] + sum(bonds[key] for key in below[step.key]),
        )
        for step in steps
    )


def find_descendants(steps: Sequence[StepDefinition]) -> Mapping[str, frozenset[str]]:
    """The steps that stand on each step, directly or not."""
    below: dict[str, set[str]] = {step.key: set() for step in steps}
    parents = {step.key: [parent.step for parent in step.parents] for step in steps}
    for key in reversed(tuple(compute_depths(steps))):
        for parent in parents[key]:
            below[parent] |= {key, *below[key]}
    return {key: frozenset(found) for key, found in below.items()}

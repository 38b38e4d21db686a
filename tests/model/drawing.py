"""Settings of the small model, drawn from a seed."""

import random

from apps.jobs.data import EdgeKind
from tests.model.world import Setting


def draw_setting(rng: random.Random, size: int) -> Setting:
    """A random small DAG under random limits."""
    parents = []
    for n in range(size):
        own = [p for p in range(n) if rng.random() < 0.5]
        kinds = rng.choices([EdgeKind.DATA, EdgeKind.ORDER, EdgeKind.RESOURCE], [8, 2, 1], k=len(own))
        parents.append(tuple(zip(own, kinds, strict=True)))
    return Setting(
        parents=tuple(parents),
        max_depth=rng.choice([1, 2, 3]),
        max_branches=rng.choice([1, 2, 3]),
        max_at_risk_units=rng.choice([3_000_000, 9_000_000, 10**12]),
        faults=rng.choice([1, 2, 2, 3]),
    )

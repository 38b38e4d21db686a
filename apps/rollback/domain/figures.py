"""Figures over what rollbacks took."""

from collections.abc import Sequence


def compute_percentile(values: Sequence[float], percent: int) -> float | None:
    """The value below or at which this percent of the values lie (nearest rank); None without any."""
    if not values:
        return None
    rank = -(-len(values) * percent // 100)
    return sorted(values)[max(rank, 1) - 1]

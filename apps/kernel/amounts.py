"""Money is integers. One unit is one gwei (10^9 wei) of the settlement chain's coin."""

from typing import Final

WEI_PER_UNIT: Final = 1_000_000_000


def units_from_wei(wei: int) -> int:
    """Return whole units, rounded up so that a cost in wei is never under-charged."""
    return -(-wei // WEI_PER_UNIT)


def split_proportionally(total: int, weights: dict[str, int]) -> dict[str, int]:
    """Split `total` by weight: floors first, the rest by largest remainder, ties by lowest key.

    The parts sum to `total` exactly (Hamilton's method). No positive weight gives an empty dict.
    """
    weight_sum = sum(weights.values())
    if weight_sum <= 0:
        return {}
    parts = {key: total * weight // weight_sum for key, weight in weights.items()}
    left = total - sum(parts.values())
    by_remainder = sorted(weights, key=lambda key: (-(total * weights[key] % weight_sum), key))
    for key in by_remainder[:left]:
        parts[key] += 1
    return parts

"""Values as integer ranks: exact comparisons of decimals become comparisons of small integers.

All ends that the comparisons of one pick have are sorted once. A value's code is 2i + 1 where it is the i-th
end and 2i where it lies just below it, so every region of `region_of` is one closed interval of codes.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

from apps.triggers.domain.conditions import Region

#: the code of a value that is not known; no interval holds it
NO_VALUE: Final = -1
_ENDLESS: Final = (1 << 31) - 1

#: first and last code a narrow region holds, the same of the wide one
Interval = tuple[int, int, int, int]


def sorted_ends(regions: Iterable[Region]) -> list[Decimal]:
    """The distinct ends of regions in order."""
    return sorted({end for region in regions for end in (region.low, region.high) if end is not None})


def code_of(value: Decimal, ends: list[Decimal]) -> int:
    """Where a value stands among the ends."""
    return bisect_left(ends, value) + bisect_right(ends, value)


def codes_of(ends: list[Decimal]) -> dict[Decimal, int]:
    """The code of each end."""
    return {end: 2 * i + 1 for i, end in enumerate(ends)}


def interval_of(region: Region, codes: Mapping[Decimal, int]) -> tuple[int, int]:
    """The first and the last code between the region's ends."""
    first = 0 if region.low is None else codes[region.low] + (not region.has_low)
    last = _ENDLESS if region.high is None else codes[region.high] - (not region.has_high)
    return first, last

"""What a piece of work cost, in whole numbers.

compute_units = cpu_ms + ⌈wall_ms · peak_memory_bytes / 512 MiB⌉: one unit is a millisecond of one core, or
a millisecond of a whole sandbox's memory. Attesters do not compare it: it is measured, not computed.
"""

from dataclasses import dataclass
from typing import Any, Final

FULL_MEMORY_BYTES: Final = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """CPU, time and memory of one run; all zero where nothing ran."""

    cpu_ms: int = 0
    wall_ms: int = 0
    peak_memory_bytes: int = 0

    @property
    def compute_units(self) -> int:
        """See the module's formula."""
        return self.cpu_ms + -(-self.wall_ms * self.peak_memory_bytes // FULL_MEMORY_BYTES)

    def to_json(self) -> dict[str, Any]:
        """The members of a result."""
        return {
            "compute_units": self.compute_units,
            "cpu_ms": self.cpu_ms,
            "wall_ms": self.wall_ms,
            "peak_memory_bytes": self.peak_memory_bytes,
        }


def measures_of(*, cpu_seconds: float, wall_seconds: float, peak_memory_bytes: int) -> Measures:
    """Measures in whole milliseconds, rounded up."""
    return Measures(
        cpu_ms=_milliseconds(cpu_seconds),
        wall_ms=_milliseconds(wall_seconds),
        peak_memory_bytes=max(int(peak_memory_bytes), 0),
    )


def _milliseconds(seconds: float) -> int:
    return max(-int(-seconds * 1000 // 1), 0)

"""NumPy, or CuPy where a device is there to run it; both are called alike."""

from typing import Any

import numpy

try:
    import cupy
except ImportError:
    cupy = None


def array_module(*, prefers_device: bool = False) -> Any:
    """The module arrays are made with. CuPy imports without a device, so it is asked for one."""
    if prefers_device and cupy is not None and cupy.is_available():
        return cupy
    return numpy


def ranges(xp: Any, starts: Any, counts: Any) -> Any:
    """The indices of consecutive ranges, one after the other."""
    ends = xp.cumsum(counts)
    return xp.repeat(starts - (ends - counts), counts) + xp.arange(int(ends[-1]) if len(ends) else 0)

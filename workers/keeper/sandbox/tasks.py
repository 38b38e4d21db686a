"""A cap on threads where the kernel counts them per user and not per jail."""

from pathlib import Path
from typing import Final

from workers.keeper.sandbox.data import THREADS_MAX

_LOAD: Final = Path("/proc/loadavg")
_FALLBACK: Final = 32_768


def count_tasks_limit() -> int:
    """RLIMIT_NPROC for a jail that shares its uid: all tasks of this machine and THREADS_MAX more.

    The uid's own tasks are among them, so the jail can always have its threads, and a flood of threads
    ends not far beyond.
    """
    try:
        running = _LOAD.read_text().split()[3]
        return int(running.partition("/")[2]) + THREADS_MAX
    except (OSError, IndexError, ValueError):
        return _FALLBACK

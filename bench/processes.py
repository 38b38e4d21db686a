"""CPU seconds by process, read from /proc: where a run's time went, without a profiler."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class _Stat:
    parent: int
    ticks: int


def cpu_seconds(
    roots: Mapping[str, int], *, sets: Mapping[str, Iterable[int]] | None = None
) -> dict[str, float]:
    """CPU seconds so far of each root with its descendants, and of each set of processes.

    Empty where there is no /proc. What a process reaped is its own; what ended unreaped is lost.
    """
    stats = _read_stats()
    children: defaultdict[int, list[int]] = defaultdict(list)
    for pid, stat in stats.items():
        children[stat.parent].append(pid)
    found: dict[str, float] = {}
    for name, root in roots.items():
        waiting, ticks = [root], 0
        while waiting:
            pid = waiting.pop()
            ticks += stats[pid].ticks if pid in stats else 0
            waiting.extend(children[pid])
        found[name] = ticks / os.sysconf("SC_CLK_TCK")
    for name, pids in (sets or {}).items():
        ticks = sum(stats[pid].ticks for pid in pids if pid in stats)
        found[name] = ticks / os.sysconf("SC_CLK_TCK")
    return found if stats else {}


def _read_stats() -> dict[int, _Stat]:
    found: dict[int, _Stat] = {}
    for folder in _PROC.glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks = sum(map(int, fields[11:15]))
        found[int(folder.name)] = _Stat(int(fields[1]), ticks)
    return found

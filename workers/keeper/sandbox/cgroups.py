"""Kernel limits on a whole jail, version 1 or 2, where this process may set them.

They come on top of rlimits and seccomp, which already bind a jail (one process, no fork): a cap on
all memory, kernel memory included, a CPU quota, a cap on threads. A controller is used only where
this process sits at its root or in a group that was delegated to it (systemd's `Delegate=`): a
group somebody else runs is not ours to divide.
"""

import contextlib
import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CONTROLLERS: Final = ("memory", "pids", "cpu")
_FOLDER: Final = "forekeep"
_PERIOD_MICROSECONDS: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupLimits:
    """What one jail may use."""

    memory_bytes: int
    tasks: int
    cpu_cores: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One jail's groups, by controller (one and the same folder on version 2)."""

    folders: Mapping[str, Path]

    def was_out_of_memory(self) -> bool:
        """Whether the kernel killed something in it for lack of memory."""
        folder = self.folders.get("memory")
        if folder is None:
            return False
        facts = _read_facts(folder / "memory.events") or _read_facts(folder / "memory.oom_control")
        return facts.get("oom_kill", 0) > 0

    def close(self) -> None:
        """Remove it; its processes are gone by now."""
        for folder in set(self.folders.values()):
            with contextlib.suppress(OSError):
                folder.rmdir()


class Cgroups:
    """The groups of one open sandbox."""

    def __init__(self, parents: Mapping[str, Path], *, is_version_2: bool) -> None:
        self._parents = parents
        self._is_version_2 = is_version_2
        self._numbers = itertools.count()
        self._sweep()

    @property
    def controllers(self) -> tuple[str, ...]:
        """What can be limited."""
        return tuple(self._parents)

    def add(self, pid: int) -> Group:
        """Put a process into groups of its own; raises OSError where the kernel refuses.

        Done ahead of the job: moving a process may take the kernel tens of milliseconds.
        """
        name = f"{_FOLDER}-{os.getpid()}-{next(self._numbers)}"
        group = Group(folders={controller: parent / name for controller, parent in self._parents.items()})
        try:
            for folder in set(group.folders.values()):
                folder.mkdir(exist_ok=True)
                (folder / "cgroup.procs").write_text(str(pid))
        except OSError:
            group.close()
            raise
        return group

    def limit(self, group: Group, limits: GroupLimits) -> None:
        """Set a group's limits; raises OSError where the kernel refuses."""
        for controller, folder in group.folders.items():
            self._limit(controller, folder, limits)

    def close(self) -> None:
        """Remove our own parents where nobody else uses them."""
        for parent in set(self._parents.values()):
            with contextlib.suppress(OSError):
                parent.rmdir()

    def _limit(self, controller: str, folder: Path, limits: GroupLimits) -> None:
        quota = limits.cpu_cores * _PERIOD_MICROSECONDS
        if controller == "pids":
            (folder / "pids.max").write_text(str(limits.tasks))
        elif controller == "cpu" and self._is_version_2:
            (folder / "cpu.max").write_text(f"{quota} {_PERIOD_MICROSECONDS}")
        elif controller == "cpu":
            (folder / "cpu.cfs_period_us").write_text(str(_PERIOD_MICROSECONDS))
            (folder / "cpu.cfs_quota_us").write_text(str(quota))
        elif self._is_version_2:
            (folder / "memory.max").write_text(str(limits.memory_bytes))
            _write_if_there(folder / "memory.swap.max", "0")
        else:
            (folder / "memory.limit_in_bytes").write_text(str(limits.memory_bytes))
            _write_if_there(folder / "memory.memsw.limit_in_bytes", str(limits.memory_bytes))

    def _sweep(self) -> None:
        """Remove the groups of keepers that are gone."""
        for parent in set(self._parents.values()):
            for folder in parent.glob(f"{_FOLDER}-*-*"):
                pid = folder.name.split("-")[1]
                if pid.isdigit() and not Path(f"/proc/{pid}").exists():
                    with contextlib.suppress(OSError):
                        folder.rmdir()


def open_cgroups(
    *, mounts: Path = Path("/proc/self/mounts"), membership: Path = Path("/proc/self/cgroup")
) -> Cgroups | None:
    """The controllers this process may use; None where there is none."""
    try:
        hierarchies = _read_hierarchies(mounts)
        groups = _read_membership(membership)
    except OSError:
        return None
    unified = hierarchies.get("")
    if unified is not None and (parents := _open_version_2(unified, groups.get("", "/"))):
        return Cgroups(parents, is_version_2=True)
    parents = {}
    for controller in _CONTROLLERS:
        if controller in hierarchies and controller in groups:
            parent = _open_version_1(hierarchies[controller], groups[controller])
            if parent is not None:
                parents[controller] = parent
    return Cgroups(parents, is_version_2=False) if parents else None


def _open_version_1(mount: Path, own: str) -> Path | None:
    here = mount / own.lstrip("/")
    if not _is_ours(here, own):
        return None
    return _make(here / _FOLDER)


def _open_version_2(mount: Path, own: str) -> dict[str, Path]:
    """Below our own group, or beside it: only a group without processes of its own can be divided."""
    here = mount / own.lstrip("/")
    for above in (here, here.parent) if own != "/" else (here,):
        if _is_ours(above, own) and (parents := _divide(above)):
            return parents
    return {}


def _divide(above: Path) -> dict[str, Path]:
    try:
        available = (above / "cgroup.controllers").read_text().split()
    except OSError:
        return {}
    wanted = [controller for controller in _CONTROLLERS if controller in available]
    if not wanted or not _enable(above, wanted):
        return {}
    parent = _make(above / _FOLDER)
    if parent is None or not _enable(parent, wanted):
        return {}
    return dict.fromkeys(wanted, parent)


def _is_ours(folder: Path, own: str) -> bool:
    """At the hierarchy's root, or delegated: marked so by systemd, or owned by this ordinary user."""
    if own == "/":
        return os.access(folder, os.W_OK)
    for mark in ("trusted.delegate", "user.delegate"):
        with contextlib.suppress(OSError):
            if os.getxattr(folder, mark) == b"1":
                return os.access(folder, os.W_OK)
    with contextlib.suppress(OSError):
        return os.geteuid() != 0 and folder.stat().st_uid == os.geteuid()
    return False


def _make(folder: Path) -> Path | None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def _enable(folder: Path, controllers: Sequence[str]) -> bool:
    try:
        (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))
    except OSError:
        return False
    return True


def _read_hierarchies(mounts: Path) -> dict[str, Path]:
    """Mount points by controller; version 2 under the empty name."""
    found: dict[str, Path] = {}
    for line in mounts.read_text().splitlines():
        _, point, kind, options, *_ = line.split()
        if kind == "cgroup2":
            found[""] = Path(point)
        elif kind == "cgroup":
            found |= {name: Path(point) for name in options.split(",") if name in _CONTROLLERS}
    return found


def _read_membership(membership: Path) -> dict[str, str]:
    """This process's group by controller; version 2 under the empty name."""
    found: dict[str, str] = {}
    for line in membership.read_text().splitlines():
        _, controllers, group = line.split(":", 2)
        found |= dict.fromkeys(controllers.split(","), group)
    return found


def _read_facts(path: Path) -> dict[str, int]:
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdigit()}


def _write_if_there(path: Path, value: str) -> None:
    with contextlib.suppress(OSError):
        path.write_text(value)

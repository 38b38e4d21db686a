"""Which control groups are ours to use, over made-up trees of both versions."""

import os
from pathlib import Path

import pytest

from workers.keeper.sandbox.cgroups import Cgroups, Group, GroupLimits, open_cgroups

LIMITS = GroupLimits(memory_bytes=1 << 29, tasks=64, cpu_cores=2)


class Machine:
    """A /proc and /sys of a test's own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mounts = root / "mounts"
        self.membership = root / "membership"

    def open(self) -> Cgroups | None:
        return open_cgroups(mounts=self.mounts, membership=self.membership)

    def make_version_1(self, **groups: str) -> None:
        lines = []
        for controller, group in groups.items():
            (self.root / controller / group.lstrip("/")).mkdir(parents=True)
            lines.append(f"cgroup {self.root / controller} cgroup rw,relatime,{controller} 0 0\n")
        self.mounts.write_text("proc /proc proc rw 0 0\n" + "".join(lines))
        self.membership.write_text(
            "".join(f"4:{name}:{group}\n" for name, group in groups.items()) + "0::/\n"
        )

    def make_version_2(self, group: str, controllers: str = "cpu memory pids") -> Path:
        folder = self.root / "unified" / group.lstrip("/")
        folder.mkdir(parents=True)
        for path in {folder, folder.parent, self.root / "unified"}:
            (path / "cgroup.controllers").write_text(controllers)
            (path / "cgroup.subtree_control").write_text("")
        self.mounts.write_text(f"cgroup2 {self.root / 'unified'} cgroup2 rw 0 0\n")
        self.membership.write_text(f"0::{group}\n")
        return folder


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def delegate(folder: Path) -> None:
    try:
        os.setxattr(folder, "user.delegate", b"1")
    except OSError:
        pytest.skip("this file system keeps no attributes")


def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.keeper.sandbox.cgroups.os.geteuid", lambda: 0)


def test_controllers_at_whose_root_we_sit_are_used(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    as_root(monkeypatch)
    machine.make_version_1(pids="/", cpu="/", memory="/somebody/elses")
    cgroups = machine.open()
    assert cgroups is not None
    assert cgroups.controllers == ("pids", "cpu")


def test_a_group_that_systemd_delegated_is_used(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    as_root(monkeypatch)
    machine.make_version_1(memory="/system.slice/keeper.service")
    delegate(machine.root / "memory/system.slice/keeper.service")
    cgroups = machine.open()
    assert cgroups is not None
    assert cgroups.controllers == ("memory",)


def test_without_any_of_our_own_there_is_none(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    as_root(monkeypatch)
    machine.make_version_1(memory="/somebody/elses")
    assert machine.open() is None
    machine.mounts.write_text("")
    assert machine.open() is None
    machine.mounts.unlink()
    assert machine.open() is None


def test_a_jail_gets_its_limits_on_version_1(machine: Machine):
    machine.make_version_1(pids="/", cpu="/", memory="/")
    cgroups = machine.open()
    assert cgroups is not None
    group = cgroups.add(4711)
    cgroups.limit(group, LIMITS)
    read = {name: (folder / "cgroup.procs").read_text() for name, folder in group.folders.items()}
    assert read == {"memory": "4711", "pids": "4711", "cpu": "4711"}
    assert (group.folders["pids"] / "pids.max").read_text() == "64"
    assert (group.folders["memory"] / "memory.limit_in_bytes").read_text() == str(1 << 29)
    assert (group.folders["cpu"] / "cpu.cfs_quota_us").read_text() == "200000"


def test_a_jail_gets_its_limits_on_version_2(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    as_root(monkeypatch)
    own = machine.make_version_2("/keeper.service/main", "cpu memory pids io")
    delegate(own.parent)
    cgroups = machine.open()
    assert cgroups is not None
    group = cgroups.add(4711)
    cgroups.limit(group, LIMITS)
    (folder,) = set(group.folders.values())
    assert folder.parent == own.parent / "forekeep"
    assert (folder / "memory.max").read_text() == str(1 << 29)
    assert (folder / "memory.swap.max").read_text() == "0"
    assert (folder / "cpu.max").read_text() == "200000 100000"
    assert (folder / "pids.max").read_text() == "64"
    assert (own.parent / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"


def test_a_version_2_group_of_somebody_else_is_left_alone(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    as_root(monkeypatch)
    own = machine.make_version_2("/somebody/elses")
    assert machine.open() is None
    assert not (own / "forekeep").exists()


def test_what_the_kernel_refuses_leaves_no_folder(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    machine.make_version_1(pids="/")
    cgroups = machine.open()
    assert cgroups is not None

    def refuse(self: Path, *_args: object) -> int:
        raise PermissionError

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(PermissionError):
        cgroups.add(4711)
    monkeypatch.undo()
    assert list((machine.root / "pids/forekeep").iterdir()) == []


@pytest.mark.parametrize("name", ["memory.events", "memory.oom_control"])
def test_a_kill_for_lack_of_memory_is_seen(tmp_path: Path, name: str):
    group = Group(folders={"memory": tmp_path})
    assert not group.was_out_of_memory()
    (tmp_path / name).write_text("low 0\noom 1\noom_kill 0\n")
    assert not group.was_out_of_memory()
    (tmp_path / name).write_text("low 0\noom 1\noom_kill 2\n")
    assert group.was_out_of_memory()
    assert not Group(folders={}).was_out_of_memory()


def test_groups_of_keepers_that_are_gone_are_swept(machine: Machine):
    machine.make_version_1(pids="/")
    dead, alive = (machine.root / "pids/forekeep" / f"forekeep-{pid}-0" for pid in (4_194_305, os.getpid()))
    for folder in (dead, alive):
        folder.mkdir(parents=True)
    machine.open()
    assert not dead.exists()
    assert alive.exists()

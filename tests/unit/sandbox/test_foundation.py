"""The scratch folder, the interpreter's parts, the thread cap: the ground the local engines stand on."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from workers.keeper.sandbox import interpreter as interpreters
from workers.keeper.sandbox import tasks
from workers.keeper.sandbox.errors import SandboxBroken, SandboxUnavailable
from workers.keeper.sandbox.interpreter import FLAGS, Interpreter, find_interpreter, make_reachable
from workers.keeper.sandbox.scratch import Scratch, fill_inputs, is_open_to_others


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_shared_scratch_folder_can_be_passed_through_but_not_listed(tmp_path: Path):
    shared, private = Scratch(is_shared=True, parent=tmp_path), Scratch(is_shared=False, parent=tmp_path)
    assert mode_of(shared.root) == 0o711
    assert mode_of(private.root) == 0o700
    shared.close()
    private.close()
    assert list(tmp_path.iterdir()) == []


def test_work_folders_and_inputs_are_readable_whatever_the_umask(tmp_path: Path):
    before = os.umask(0o077)
    try:
        scratch = Scratch(is_shared=True, parent=tmp_path)
        work = scratch.add_work()
        fill_inputs(work, {"given": b"x"})
    finally:
        os.umask(before)
    assert (mode_of(work), mode_of(work / "inputs"), mode_of(work / "inputs/given")) == (0o755, 0o755, 0o644)
    assert scratch.add_work() != work
    scratch.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_work_folders_given_to_a_group_are_closed_to_all_others(tmp_path: Path):
    scratch = Scratch(is_shared=True, group=65_534, parent=tmp_path)
    work = scratch.add_work()
    assert (mode_of(work), work.stat().st_gid) == (0o750, 65_534)
    scratch.close()


def test_what_a_killed_keeper_left_is_swept_and_what_lives_is_not(tmp_path: Path):
    alive = Scratch(is_shared=False, parent=tmp_path)
    dead = tmp_path / "forekeep-sandbox-dead"
    (dead / "work-0" / "inputs").mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "forekeep-sandbox-link").symlink_to(elsewhere)

    Scratch(is_shared=False, parent=tmp_path).close()
    assert alive.root.exists()
    assert not dead.exists()
    assert elsewhere.exists()
    alive.close()


def test_inputs_that_cannot_be_written_are_the_machines_fault(tmp_path: Path):
    with pytest.raises(SandboxBroken):
        fill_inputs(tmp_path / "gone", {"given": b"x"})


def test_only_mode_bits_all_the_way_down_make_a_path_open_to_others(tmp_path: Path):
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o755)
    file = folder / "file"
    file.write_text("x")
    file.chmod(0o644)
    for path in (tmp_path, *tmp_path.parents):
        if not path.stat().st_mode & stat.S_IXOTH:
            assert not is_open_to_others(file)
            return
    assert is_open_to_others(file)


def test_the_interpreter_found_is_this_one_and_runs_without_an_environment():
    found = find_interpreter()
    done = subprocess.run(
        [
            found.executable,
            *FLAGS,
            "-c",
            "import ctypes, json, ssl, sys; print(sys.flags.hash_randomization)",
        ],
        env=found.get_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "0\n"


def test_an_interpreter_others_cannot_reach_is_mirrored_whole(tmp_path: Path):
    found = find_interpreter()
    mirrored = make_reachable(
        Interpreter(
            executable=found.executable,
            prefix=found.prefix,
            standard_library=found.standard_library,
            libraries=(*found.libraries, _private_copy(tmp_path)),
            platlibdir=found.platlibdir,
        ),
        tmp_path / "mirror",
    )
    assert mirrored.prefix == tmp_path / "mirror"
    assert not (mirrored.standard_library / "site-packages").exists()
    done = subprocess.run(
        [
            mirrored.executable,
            *FLAGS,
            "-c",
            "import ctypes, json, sqlite3, ssl, sys; print(sys.prefix, json.__file__)",
        ],
        env=mirrored.get_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    prefix, module = done.stdout.split()
    assert prefix == str(mirrored.prefix)
    assert module.startswith(prefix)


def _private_copy(folder: Path) -> Path:
    """A library only its owner can read, so that the interpreter counts as out of reach."""
    path = folder / "libprivate.so"
    path.write_bytes(b"")
    path.chmod(0o600)
    return path


def test_an_interpreter_that_is_open_to_all_is_used_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(interpreters, "is_open_to_others", lambda path: True)
    found = find_interpreter()
    assert make_reachable(found, tmp_path / "mirror") is found
    assert not (tmp_path / "mirror").exists()


def test_without_any_interpreter_each_ones_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\necho '{\"version\": [3, 8]}'\n")
    old.chmod(0o755)
    monkeypatch.setattr(sys, "_base_executable", str(old))
    monkeypatch.setattr(interpreters, "_DISTRIBUTION", tmp_path / "absent")
    with pytest.raises(SandboxUnavailable) as refused:
        find_interpreter()
    assert "too old" in refused.value.reasons[str(old)]
    assert "absent" in refused.value.reasons[str(tmp_path / "absent")]


def test_the_thread_cap_leaves_room_above_all_tasks_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    load = tmp_path / "loadavg"
    load.write_text("0.1 0.2 0.3 2/345 9999\n")
    monkeypatch.setattr(tasks, "_LOAD", load)
    assert tasks.count_tasks_limit() == 345 + 64
    load.write_text("nonsense")
    assert tasks.count_tasks_limit() == 32_768

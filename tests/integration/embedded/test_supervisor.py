"""Real processes under the real supervisor: nothing outlives it, whatever is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from project.embedded.home import HomeInUse, lock_home
from project.embedded.supervisor import ProcessSpec, Supervisor
from tests.support.waiting import wait_until

STUBBORN = """\
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
folder, name = sys.argv[1], sys.argv[2]
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
draft = os.path.join(folder, name + ".draft")
open(draft, "w").write(f"{os.getpid()} {os.getppid()} {child.pid}")
os.replace(draft, os.path.join(folder, name + f".{os.getpid()}.pids"))
time.sleep(600)
"""
POLITE = """\
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("goodbye", flush=True), sys.exit(0)))
print("hello", flush=True)
draft = os.path.join(sys.argv[1], sys.argv[2] + ".draft")
open(draft, "w").write(f"{os.getpid()}")
os.replace(draft, os.path.join(sys.argv[1], sys.argv[2] + f".{os.getpid()}.pids"))
while True:
    time.sleep(1)
"""

Started = Callable[..., "subprocess.Popen[str]"]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pids_of(folder: Path, name: str, *, other_than: int = 0) -> list[int]:
    """Command, warden and grandchild of a stubborn process, once it is up."""

    def newest() -> list[int]:
        for path in folder.glob(f"{name}.*.pids"):
            found = [int(part) for part in path.read_text().split()]
            if found[0] != other_than:
                return found
        return []

    return wait_until(newest)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Started]:
    started: list[subprocess.Popen[str]] = []

    def run(*, grace_seconds: float = 0.5, **scripts: str) -> "subprocess.Popen[str]":
        lines = []
        for name, text in scripts.items():
            (tmp_path / f"{name}.py").write_text(text)
            lines.append(f"{name}: {sys.executable} {tmp_path}/{name}.py {tmp_path} {name}")
        (tmp_path / "Procfile").write_text("\n".join(lines) + "\n")
        command = [
            sys.executable,
            "-m",
            "tests.integration.embedded.supervised",
            str(tmp_path),
            str(grace_seconds),
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_a_stop_ends_even_stubborn_processes_and_their_grandchildren_within_ten_seconds(
    start: Started, tmp_path: Path
) -> None:
    supervisor = start(grace_seconds=4.0, one=STUBBORN, two=STUBBORN, three=POLITE)
    pids = pids_of(tmp_path, "one") + pids_of(tmp_path, "two") + pids_of(tmp_path, "three")

    began = time.monotonic()
    supervisor.send_signal(signal.SIGINT)
    output, _ = supervisor.communicate(timeout=20)

    assert supervisor.returncode == 0
    assert time.monotonic() - began < 10
    assert "three | goodbye" in output
    assert not [pid for pid in pids if is_alive(pid)]


def test_a_second_stop_signal_does_not_wait_for_the_grace(start: Started, tmp_path: Path) -> None:
    supervisor = start(grace_seconds=20.0, one=STUBBORN)
    pids = pids_of(tmp_path, "one")
    supervisor.send_signal(signal.SIGTERM)
    assert supervisor.stdout is not None
    wait_until(lambda: "stopping" in str(supervisor.stdout.readline()))  # type: ignore[union-attr]

    began = time.monotonic()
    supervisor.send_signal(signal.SIGTERM)
    supervisor.communicate(timeout=20)

    assert time.monotonic() - began < 10
    assert not [pid for pid in pids if is_alive(pid)]


def test_a_supervisor_killed_with_9_leaves_nothing_behind_and_its_lock_comes_free(
    start: Started, tmp_path: Path
) -> None:
    supervisor = start(one=STUBBORN, two=POLITE)
    pids = pids_of(tmp_path, "one")

    supervisor.kill()
    supervisor.wait()
    lock = lock_home(tmp_path)

    os.close(lock)
    assert not [pid for pid in pids if is_alive(pid)]


def test_a_process_killed_with_9_is_started_again_and_its_orphans_are_gone(
    start: Started, tmp_path: Path
) -> None:
    start(one=STUBBORN)
    command, _, grandchild = pids_of(tmp_path, "one")

    os.kill(command, signal.SIGKILL)

    again = pids_of(tmp_path, "one", other_than=command)
    assert is_alive(again[0])
    assert not is_alive(grandchild)


def test_a_warden_killed_with_9_takes_its_command_along_and_is_replaced(
    start: Started, tmp_path: Path
) -> None:
    start(one=STUBBORN)
    command, warden, grandchild = pids_of(tmp_path, "one")

    os.kill(warden, signal.SIGKILL)

    again = pids_of(tmp_path, "one", other_than=command)
    assert is_alive(again[0])
    wait_until(lambda: not is_alive(command) and not is_alive(grandchild))


def test_a_second_supervisor_in_the_same_home_is_refused_with_the_first_ones_pid(
    start: Started, tmp_path: Path
) -> None:
    supervisor = start(one=POLITE)
    assert supervisor.stdout is not None
    wait_until(lambda: "ready" in str(supervisor.stdout.readline()))  # type: ignore[union-attr]

    with pytest.raises(HomeInUse) as refused:
        lock_home(tmp_path)

    assert refused.value.pid == supervisor.pid


def test_a_one_shot_process_gives_its_exit_code_and_its_last_unended_line(tmp_path: Path) -> None:
    lines: list[tuple[str, str]] = []
    script = "import sys; sys.stdout.write('half a line'); sys.stdout.flush(); sys.exit(7)"
    spec = ProcessSpec(
        name="once",
        command=f'{sys.executable} -c "{script}"',
        environment=os.environ,
        folder=tmp_path,
        is_restarted=False,
    )

    with Supervisor(output=lambda name, line: lines.append((name, line))) as supervisor:
        code = supervisor.run_to_end(spec)

    assert code == 7
    assert lines == [("once", "half a line")]


def test_a_command_that_does_not_exist_is_named_and_tried_again_with_a_pause(tmp_path: Path) -> None:
    lines: list[str] = []
    spec = ProcessSpec(name="ghost", command="no-such-program", environment=os.environ, folder=tmp_path)

    with Supervisor(output=lambda _, line: lines.append(line)) as supervisor:
        supervisor.start(spec)
        supervisor.run_until(lambda: any("in 1.0 s" in line for line in lines), timeout_seconds=10)

    assert any("not found" in line or "No such file" in line for line in lines)
    assert any("ghost ended (exit code 127); starting it again in 0.3 s" in line for line in lines)
    assert any("starting it again in 1.0 s" in line for line in lines)


def test_a_supervisor_tied_to_its_parent_stops_everything_when_the_parent_is_gone(
    start: Started, tmp_path: Path
) -> None:
    (tmp_path / "Procfile").write_text(f"one: {sys.executable} {tmp_path}/one.py {tmp_path} one\n")
    (tmp_path / "one.py").write_text(STUBBORN)
    command = f"TIED=1 {sys.executable} -m tests.integration.embedded.supervised {tmp_path} 0.5 & wait"
    parent = subprocess.Popen(["/bin/sh", "-c", command], stdout=subprocess.DEVNULL, start_new_session=True)
    pids = pids_of(tmp_path, "one")

    parent.kill()
    parent.wait()

    wait_until(lambda: not any(is_alive(pid) for pid in pids))


def test_waves_are_stopped_from_the_last_to_the_first(tmp_path: Path) -> None:
    lines: list[str] = []
    (tmp_path / "polite.py").write_text(POLITE)

    with Supervisor(output=lambda name, line: lines.append(f"{name} {line}")) as supervisor:
        for wave, name in enumerate(("server", "client")):
            spec = ProcessSpec(
                name=name,
                command=f"{sys.executable} {tmp_path}/polite.py {tmp_path} {name}",
                environment=os.environ,
                folder=tmp_path,
                wave=wave,
            )
            supervisor.start(spec)
        assert supervisor.run_until(lambda: len(lines) == 2, timeout_seconds=10)
        supervisor.stop(lowest_wave=1)
        assert list(supervisor.get_pids()) == ["server"]

    assert lines[2:] == ["client goodbye", "server goodbye"]

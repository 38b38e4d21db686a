"""Opening, aborting, dying and closing: nothing of a jail is left, whatever happens to whom."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.sandbox.conftest import PRESENT, run_good_script
from tests.support.waiting import wait_until
from workers.keeper.sandbox.data import AbortHandle, FailureCode, Sandbox, SandboxRequest
from workers.keeper.sandbox.errors import SandboxBroken, SandboxUnavailable
from workers.keeper.sandbox.opening import ENGINES, open_sandbox

REPOSITORY = Path(__file__).parents[3]
LOCAL = [name for name in PRESENT if name != "docker"]
SLEEP = SandboxRequest(script=b"import time\ntime.sleep(600)", deadline_seconds=600)

KEEPER = """
import sys, threading
from workers.keeper.sandbox.data import SandboxRequest
from workers.keeper.sandbox.opening import open_sandbox
sandbox = open_sandbox(sys.argv[1], pool_size=2)
sleep = SandboxRequest(script=b"import time\\nwhile True: time.sleep(1)", deadline_seconds=600)
threading.Thread(target=sandbox.run, args=[sleep], daemon=True).start()
print(sandbox._scratch.root, sandbox._launcher._process.pid, flush=True)
threading.Event().wait()
"""

STARTING_KEEPER = """
import sys
from workers.keeper.sandbox.opening import ENGINES
sandbox = ENGINES[sys.argv[1]](pool_size=0)
print(sandbox._scratch.root, sandbox._launcher._process.pid, flush=True)
while True:
    sandbox._start_jail().close()
"""


@pytest.fixture(params=LOCAL)
def fresh(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """An engine of the test's own, with no pool."""
    try:
        sandbox = ENGINES[request.param](pool_size=0)
    except SandboxUnavailable as exc:
        pytest.skip(f"this machine has no {request.param}: {exc.reasons}")
    yield sandbox
    sandbox.close()


def below(pid: int) -> set[int]:
    """All living descendants of a process."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            facts = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if facts[0] != "Z":
            parents[int(path.parent.name)] = int(facts[1])
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= more
    return found


def interpreters_below(pid: int) -> set[int]:
    """Those that have become the runner already: bubblewrap is through with its own part."""
    return {child for child in below(pid) if Path(f"/proc/{child}/comm").read_text().startswith("python")}


def launcher_pid(sandbox: Sandbox) -> int:
    return sandbox._launcher._process.pid  # type: ignore[attr-defined]


def test_abort_from_another_thread_ends_the_run_at_once(engine: Sandbox):
    handle = AbortHandle()
    timer = threading.Timer(0.3, handle.abort)
    timer.start()
    started_at = time.monotonic()
    result = engine.run(SLEEP, handle)
    assert (result.status, result.code) == ("failed", FailureCode.ABORTED)
    assert time.monotonic() - started_at < 20


def test_a_run_whose_handle_was_aborted_before_does_not_go_on(engine: Sandbox):
    handle = AbortHandle()
    handle.abort()
    assert engine.run(SLEEP, handle).code == FailureCode.ABORTED


def test_aborting_after_the_end_does_no_harm(engine: Sandbox):
    handle = AbortHandle()
    assert engine.run(SandboxRequest(script=b"pass"), handle).status == "ok"
    handle.abort()
    handle.abort()


def test_an_aborted_jail_leaves_no_process(fresh: Sandbox):
    handle = AbortHandle()
    script = (
        b"import threading, time\nfor _ in range(8): threading.Thread(target=time.sleep, args=[600]).start()"
    )
    worker = threading.Thread(target=fresh.run, args=[SandboxRequest(script=script), handle])
    worker.start()
    wait_until(lambda: below(launcher_pid(fresh)))
    handle.abort()
    worker.join(20)
    assert not worker.is_alive()
    assert below(launcher_pid(fresh)) == set()


@pytest.mark.parametrize("script", [b"pass", b"1/0", b"while True: pass", b"print('x' * (8 << 20))"])
def test_a_finished_jail_leaves_no_process_and_no_folder(fresh: Sandbox, script: bytes):
    fresh.run(SandboxRequest(script=script, inputs={"given": b"x"}, deadline_seconds=0.5))
    assert below(launcher_pid(fresh)) == set()
    root: Path = fresh._scratch.root  # type: ignore[attr-defined]
    assert list(root.glob("work-*")) == []


def test_many_threads_may_run_scripts_at_once(engine: Sandbox):
    def square(number: int) -> bool:
        request = SandboxRequest(
            script=b"import sys; n = int(sys.stdin.read()); print(n * n, open('inputs/n').read())",
            stdin=str(number).encode(),
            inputs={"n": str(number).encode()},
        )
        return engine.run(request).stdout == f"{number * number} {number}\n".encode()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(square, range(32)))


def test_a_launcher_that_was_killed_is_replaced(fresh: Sandbox):
    before = launcher_pid(fresh)
    os.kill(before, signal.SIGKILL)
    assert run_good_script(fresh).status == "ok"
    assert launcher_pid(fresh) != before


def test_the_jails_of_a_killed_launcher_die_with_it(fresh: Sandbox):
    failures: list[Exception] = []

    def run() -> None:
        try:
            fresh.run(SLEEP, handle)
        except SandboxBroken as exc:
            failures.append(exc)

    handle = AbortHandle()
    worker = threading.Thread(target=run)
    worker.start()
    wait_until(lambda: interpreters_below(launcher_pid(fresh)))
    pids = below(launcher_pid(fresh))
    os.kill(launcher_pid(fresh), signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    handle.abort()
    worker.join(20)
    assert not worker.is_alive()


def test_a_pooled_jail_that_died_waiting_is_replaced(engine: Sandbox):
    if engine.name not in LOCAL:
        pytest.skip("a container engine keeps no pool")
    for pid in wait_until(lambda: below(launcher_pid(engine))):
        with contextlib.suppress(ProcessLookupError):  # they die of each other
            os.kill(pid, signal.SIGKILL)
    for _ in range(3):
        assert run_good_script(engine).status == "ok"


@pytest.mark.parametrize("name", LOCAL)
def test_a_keeper_killed_with_minus_nine_leaves_no_process(name: str):
    keeper = subprocess.Popen(
        [sys.executable, "-c", KEEPER, name], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert keeper.stdout is not None
    line = keeper.stdout.readline()
    if not line:
        keeper.wait()
        keeper.stdout.close()
        pytest.skip(f"this machine has no {name}")
    root, pid = Path(line.split()[0]), int(line.split()[1])
    wait_until(lambda: len(below(pid)) >= 3)
    jails = below(pid)
    keeper.send_signal(signal.SIGKILL)
    keeper.wait()
    keeper.stdout.close()
    wait_until(lambda: not any(Path(f"/proc/{gone}").exists() for gone in {pid, *jails}))

    open_sandbox(name, pool_size=0).close()
    assert not root.exists(), "the next keeper sweeps what the killed one left"


@pytest.mark.parametrize("name", LOCAL)
def test_a_keeper_killed_while_its_jails_come_up_leaves_no_process(name: str):
    """Bubblewrap's own child outlives it when it is killed between making the child and letting it go on."""
    for _ in range(6):
        keeper = subprocess.Popen(
            [sys.executable, "-c", STARTING_KEEPER, name], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
        )
        assert keeper.stdout is not None
        line = keeper.stdout.readline()
        if not line:
            keeper.wait()
            keeper.stdout.close()
            pytest.skip(f"this machine has no {name}")
        root, pid = line.split()[0], int(line.split()[1])
        wait_until(lambda pid=pid: below(pid), every_seconds=0)
        keeper.send_signal(signal.SIGKILL)
        keeper.wait()
        keeper.stdout.close()
        wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists())
        wait_until(lambda root=root: not processes_naming(root))


def processes_naming(text: str) -> list[int]:
    """Living processes with this text in their command line, as all jails of a scratch folder have."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def own_groups() -> set[Path]:
    """The control groups this process has made and not removed."""
    return set(Path("/sys/fs/cgroup").glob(f"*/forekeep/forekeep-{os.getpid()}-*"))


def test_closing_ends_everything_and_removes_everything(fresh: Sandbox):
    groups = own_groups()
    sandbox = ENGINES[fresh.name](pool_size=3)
    root: Path = sandbox._scratch.root  # type: ignore[attr-defined]
    pid = launcher_pid(sandbox)
    wait_until(lambda: sandbox.waiting == 3)  # type: ignore[attr-defined]
    jails = below(pid)
    sandbox.close()
    wait_until(lambda: not any(Path(f"/proc/{gone}").exists() for gone in {pid, *jails}))
    assert not root.exists()
    assert own_groups() <= groups
    with pytest.raises(SandboxBroken):
        run_good_script(sandbox)


def test_opening_and_closing_leaks_no_descriptor(fresh: Sandbox):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        sandbox = ENGINES[fresh.name](pool_size=2)
        run_good_script(sandbox)
        sandbox.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_many_runs_leak_no_descriptor(engine: Sandbox):
    run_good_script(engine)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        run_good_script(engine)
    assert len(os.listdir("/proc/self/fd")) <= before + 6


def test_a_sandbox_is_refused_in_another_process_than_its_own(fresh: Sandbox):
    child = os.fork()
    if child == 0:
        try:
            run_good_script(fresh)
        except SandboxBroken:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_unknown_engine_is_refused_with_those_there_are():
    with pytest.raises(SandboxUnavailable) as refused:
        open_sandbox("chroot")
    assert "bubblewrap" in refused.value.reasons["chroot"]


def test_auto_opens_an_engine_that_holds():
    sandbox = open_sandbox(pool_size=0)
    try:
        assert sandbox.name in LOCAL
        assert json.loads(run_good_script(sandbox).stdout) == {"got": [1]}
    finally:
        sandbox.close()


def test_as_root_no_jail_runs_as_root(fresh: Sandbox):
    handle = AbortHandle()
    worker = threading.Thread(target=fresh.run, args=[SLEEP, handle])
    worker.start()
    try:
        for pid in wait_until(lambda: below(launcher_pid(fresh))) | {launcher_pid(fresh)}:
            status = Path(f"/proc/{pid}/status").read_text()
            uids = {int(uid) for uid in status.partition("Uid:")[2].split()[:4]}
            assert 0 not in uids
    finally:
        handle.abort()
        worker.join()

"""Runs one command so that nothing of it outlives the supervisor that asked for it.

Usage: `warden.py CONTROL_FD GRACE_SECONDS COMMAND…`; run by path, without site packages, so that it
starts in milliseconds. What must hold: when the supervisor goes away in whatever way (its end of the
control pipe closes), when it sends SIGTERM, or when the command ends, every descendant of the command
is gone before the warden exits. A warden killed with -9 takes its command with it (PR_SET_PDEATHSIG).
"""

import contextlib
import ctypes
import os
import select
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_IS_LINUX = sys.platform.startswith("linux")


def main() -> int:
    """Run the command to its end and return its exit code (128 + signal where one ended it)."""
    control, grace_seconds = int(sys.argv[1]), float(sys.argv[2])
    os.set_inheritable(control, False)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, _do_nothing)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)

    command = _start(sys.argv[3:])
    code = _watch(command, control, wake_read, grace_seconds)
    _kill_descendants(command)
    return code


def _start(arguments: list[str]) -> int:
    warden = os.getpid()
    command = os.fork()
    if command:
        return command
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.setpgid(0, 0)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != warden:
        os._exit(137)
    try:
        os.execvp(arguments[0], arguments)
    except OSError as exc:
        os.write(2, f"{arguments[0]}: {exc.strerror}\n".encode())
    os._exit(127)


def _watch(command: int, control: int, wake: int, grace_seconds: float) -> int:
    """Wait for the command; a first stop asks it to end, a second stop or the end of the grace kills it."""
    kill_at: float | None = None
    watched = [control, wake]
    while True:
        code = _reap(command)
        if code is not None:
            return code
        left = None if kill_at is None else kill_at - time.monotonic()
        if left is not None and left <= 0:
            _kill_descendants(command)
            return 137

        readable, _, _ = select.select(watched, [], [], left)
        is_stop_asked = False
        if control in readable and not os.read(control, 1):
            watched.remove(control)
            is_stop_asked = True
        if wake in readable:
            numbers = os.read(wake, 512)
            is_stop_asked = is_stop_asked or any(n != signal.SIGCHLD for n in numbers)
        if is_stop_asked and kill_at is None:
            kill_at = time.monotonic() + grace_seconds
            _signal(command, signal.SIGTERM)
        elif is_stop_asked and control in watched:
            kill_at = time.monotonic()


def _reap(command: int) -> int | None:
    """Collect everything that ended; the command's exit code where it is among them."""
    code = None
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if ended == 0:
            return code
        if ended == command:
            code = os.waitstatus_to_exitcode(status)
            code = 128 - code if code < 0 else code


def _kill_descendants(command: int) -> None:
    """SIGKILL the whole tree until none of it is left (orphans come back to this subreaper)."""
    give_up_at = time.monotonic() + 5.0
    while time.monotonic() < give_up_at:
        living = _descendants()
        if not _IS_LINUX:
            with contextlib.suppress(OSError):
                os.killpg(command, signal.SIGKILL)
        for pid in living:
            _signal(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        if not living:
            return
        select.select([], [], [], 0.01)


def _descendants() -> list[int]:
    parents: dict[int, list[int]] = {}
    if not _IS_LINUX:
        return []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:
                state, parent = stat.read().rpartition(b")")[2].split()[:2]
                if state != b"Z":
                    parents.setdefault(int(parent), []).append(int(name))
    found: list[int] = []
    waiting = [os.getpid()]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _prctl(option: int, value: int) -> None:
    if _IS_LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _do_nothing(number: int, frame: object) -> None:
    """The wake-up pipe carries the news."""


if __name__ == "__main__":
    sys.exit(main())

"""The keeper's side of the launcher: one small process that starts all jails of an open sandbox.

As root, the launcher and everything it starts runs as an unprivileged uid from its first
instruction. It is started again when it is found dead.
"""

import array
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from workers.keeper.sandbox.errors import SandboxBroken
from workers.keeper.sandbox.interpreter import FLAGS, Interpreter
from workers.keeper.sandbox.scratch import Scratch

PROGRAMS: Final = Path(__file__).parent / "programs"
_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 10.0
_PACKET_BYTES: Final = 1 << 17


class Launcher:
    """Starts jails. `uid` is what it drops to (None: stays who the keeper is).

    With `is_forking` it holds a warm runner and jails are forks of it; without, jails are programs.
    Raises SandboxBroken where it does not come up.
    """

    def __init__(
        self, *, interpreter: Interpreter, scratch: Scratch, uid: int | None, is_forking: bool
    ) -> None:
        launcher = scratch.add_file("launcher.py", (PROGRAMS / "launcher.py").read_bytes())
        self.runner = scratch.add_file("runner.py", (PROGRAMS / "runner.py").read_bytes())
        self._log = scratch.root / "launcher.log"
        self._command = [str(interpreter.executable), *FLAGS, str(launcher)]
        self._runner_argument = str(self.runner) if is_forking else ""
        self._environment = interpreter.get_environment()
        self._uid = uid
        self._lock = threading.Lock()
        self._start()

    def start(self, request: Mapping[str, Any], descriptors: Sequence[int]) -> None:
        """Ask for one jail; the caller closes its copies of the descriptors. Raises SandboxBroken."""
        packet = json.dumps(request).encode()
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        with self._lock:
            try:
                self._socket.sendmsg([packet], ancillary)
            except OSError:
                self._stop()
                self._start()
                self._socket.sendmsg([packet], ancillary)

    def close(self) -> None:
        """End it; the kernel ends its jails with it."""
        with self._lock:
            self._stop()

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        identity: dict[str, Any] = {}
        if self._uid is not None:
            identity = {"user": self._uid, "group": self._uid, "extra_groups": []}
        try:
            with theirs, self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    [*self._command, str(theirs.fileno()), self._runner_argument],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    env=self._environment,
                    cwd="/",
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                    **identity,
                )
        except (OSError, subprocess.SubprocessError) as exc:
            ours.close()
            raise SandboxBroken(reason=f"the launcher does not start: {exc}"[:300]) from exc
        self._socket = ours
        self._socket.settimeout(_START_SECONDS)
        try:
            is_up = self._socket.recv(_PACKET_BYTES) == b"ready"
        except OSError:
            is_up = False
        if not is_up:
            self._stop()
            raise SandboxBroken(reason="the launcher does not start", said=_read_tail(self._log))

    def _stop(self) -> None:
        """Let it go: it kills its jails and ends; where it does not, it is killed."""
        self._socket.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Report:
    """What the launcher says of one jail: when it has started, and when it has ended."""

    def __init__(self) -> None:
        self._ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def fileno(self) -> int:
        """Readable when there is something to receive."""
        return self._ours.fileno()

    def receive(self, timeout_seconds: float) -> tuple[bytes, int | None] | None:
        """The next message, with the descriptor it brings; empty at the end; None when time is over."""
        if not is_readable(self._ours.fileno(), timeout_seconds):
            return None
        integers = array.array("i")
        message, ancillary, _, _ = self._ours.recvmsg(_PACKET_BYTES, socket.CMSG_SPACE(integers.itemsize))
        for _, _, data in ancillary:
            integers.frombytes(data[: integers.itemsize])
        return message, integers[0] if integers else None

    def close(self) -> None:
        """Stop listening."""
        self._ours.close()


def is_readable(descriptor: int, timeout_seconds: float) -> bool:
    """Wait until there is something to read, or the end of the stream; False when time is over."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(max(0.0, timeout_seconds) * 1000))


def kill_process(pidfd: int) -> None:
    """SIGKILL, unless it has ended already."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)


def open_child(pid: int, parent_pid: int) -> int | None:
    """A pidfd of a process of which only the pid is known; None where it is not that parent's child."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return None
    try:
        facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if int(facts[1]) == parent_pid:
            return pidfd
    except (OSError, IndexError, ValueError):
        pass
    os.close(pidfd)
    return None


def _read_tail(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_bytes()[-1000:].decode("utf-8", "replace")
    return ""

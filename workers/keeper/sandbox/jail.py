"""One jail: asked for ahead, given one job, gone afterwards.

It comes up by itself while it waits in the pool; `run` hands the job over and follows it to its end,
which the launcher reports and nothing the script can write.
"""

import contextlib
import io
import json
import os
import shutil
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from workers.keeper.sandbox.cgroups import Cgroups, Group
from workers.keeper.sandbox.data import PYTHON, AbortHandle, SandboxRequest
from workers.keeper.sandbox.errors import SandboxBroken
from workers.keeper.sandbox.following import Follower, Observed, Streams
from workers.keeper.sandbox.launching import is_readable, kill_process, open_child
from workers.keeper.sandbox.programs.launcher import STARTED
from workers.keeper.sandbox.programs.runner import READY

_READY_SECONDS: Final = 30.0
_GONE_SECONDS: Final = 5.0
_TAIL_BYTES: Final = 1000
_PROCESS_CPU_CLOCK: Final = 2
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class Jail:
    """A jail that was asked for; it may not be up yet."""

    def __init__(self, *, streams: Streams, work: Path) -> None:
        self.work = work
        self.pid = 0
        self.group: Group | None = None
        self._streams = streams
        self._outer_pid = 0
        self._pidfds: list[int] = []
        self._has_ended = False
        for descriptor in (streams.stdin, streams.stdout, streams.stderr, streams.control):
            os.set_blocking(descriptor.fileno(), False)

    def wait_ready(self, cgroups: Cgroups | None) -> None:
        """Wait until it waits for its job; raises SandboxBroken with what it said instead.

        From here on `pid` is the process the script will run in, as this machine numbers it, and
        `group` its own control groups where there are any; rlimits and seccomp bind it without.
        """
        deadline = time.monotonic() + _READY_SECONDS
        if not self._learn_pid(_READY_SECONDS):
            raise SandboxBroken(reason="the jail was not started")

        self.pid = self._outer_pid
        if self._streams.info is not None:
            self.pid = self._enter(_read_all(self._streams.info, deadline))
        if _read_some(self._streams.control, deadline) != READY:
            raise SandboxBroken(reason="the jail did not come up", said=self._read_complaint(deadline))
        if cgroups is not None:
            with contextlib.suppress(OSError):
                self.group = cgroups.add(self.pid)

    def run(self, request: SandboxRequest, header: Mapping[str, object], handle: AbortHandle) -> Observed:
        """Give it its job and follow that to the end."""
        is_python = request.language == PYTHON
        script = request.script if is_python else b""
        head = json.dumps({**header, "script_bytes": len(script)}).encode()
        follower = Follower(
            streams=self._streams,
            payload=struct.pack("<I", len(head)) + head + script + request.stdin,
            stdout_limit_bytes=request.stdout_limit_bytes,
            kill=self.kill,
            kill_harder=self._kill_all,
            memory_limit_bytes=None if is_python else request.memory_bytes,
            read_memory=lambda: _read_resident_bytes(self.pid),
        )
        handle.attach(self.kill)
        try:
            observed = follower.follow(request.deadline_seconds)
        finally:
            handle.detach()
        self._has_ended = True
        return observed

    def read_cpu_seconds(self) -> float:
        """What it has used so far, its outer process included."""
        return sum(_read_cpu_clock(pid) for pid in {self.pid, self._outer_pid})

    def kill(self) -> None:
        """End everything in it, now: the inner process, so that the outer one can account for it."""
        for pidfd in self._pidfds[-1:]:
            kill_process(pidfd)

    def close(self) -> None:
        """End it if it still runs and remove what it had."""
        if not self._pidfds:
            self._learn_pid(0)
        if not self._has_ended:
            self.kill()
            if self._pidfds and self._streams.report.receive(_GONE_SECONDS) is None:
                self._kill_all()
        self._streams.close()
        while self._pidfds:
            os.close(self._pidfds.pop())
        if self.group is not None:
            self.group.close()
        shutil.rmtree(self.work, ignore_errors=True)

    def _learn_pid(self, timeout_seconds: float) -> bool:
        received = self._streams.report.receive(timeout_seconds)
        if received is None or len(received[0]) != STARTED.size or received[1] is None:
            return False
        self._pidfds.append(received[1])
        (self._outer_pid,) = STARTED.unpack(received[0])
        return True

    def _enter(self, info: bytes) -> int:
        """The pid inside, as bubblewrap tells it, and a grip on it."""
        try:
            pid = int(json.loads(info)["child-pid"])
        except (ValueError, KeyError) as exc:
            said = self._read_complaint(time.monotonic() + 1)
            raise SandboxBroken(reason="the jail did not come up", said=said) from exc
        pidfd = open_child(pid, self._outer_pid)
        if pidfd is None:
            raise SandboxBroken(reason="the jail did not stay up")
        self._pidfds.append(pidfd)
        return pid

    def _read_complaint(self, deadline: float) -> str:
        return _read_all(self._streams.stderr, deadline)[-_TAIL_BYTES:].decode("utf-8", "replace")

    def _kill_all(self) -> None:
        for pidfd in reversed(self._pidfds):
            kill_process(pidfd)


def _read_cpu_clock(pid: int) -> float:
    """The CPU time of any process, from the clock the kernel keeps of it; 0 where it is gone."""
    with contextlib.suppress(OSError):
        return time.clock_gettime(~pid << 3 | _PROCESS_CPU_CLOCK)
    return 0.0


def _read_resident_bytes(pid: int) -> int:
    """What a process has in memory now; 0 where it is gone."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    return 0


def _read_some(stream: io.FileIO, deadline: float) -> bytes:
    """The next bytes; empty at the end of the stream or of the time."""
    if not is_readable(stream.fileno(), deadline - time.monotonic()):
        return b""
    return stream.read(1 << 16) or b""


def _read_all(stream: io.FileIO, deadline: float) -> bytes:
    """Everything to the end of the stream, or of the time."""
    parts = []
    while part := _read_some(stream, deadline):
        parts.append(part)
    return b"".join(parts)

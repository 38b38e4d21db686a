"""Following one job to its end: bytes in, bytes out, limits kept, the end as the launcher reports it.

Nothing here waits on the script's good will: it may close, flood or ignore every stream it has.
"""

import io
import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from workers.keeper.sandbox.data import STDERR_LIMIT_BYTES, STDERR_TAIL_BYTES, FailureCode
from workers.keeper.sandbox.launching import Report
from workers.keeper.sandbox.programs.launcher import ENDED

_READ_BYTES: Final = 1 << 16
_CONTROL_BYTES_MAX: Final = 64
#: How long a killed jail may take to be reported; after that its outer process is killed too.
_GONE_SECONDS: Final = 5.0
#: How often the memory of a job is looked at where no limit of the kernel's holds it closely.
_WATCH_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """The keeper's ends of a jail's pipes. `info` is where bubblewrap tells the pid inside."""

    stdin: io.FileIO
    stdout: io.FileIO
    stderr: io.FileIO
    control: io.FileIO
    info: io.FileIO | None
    report: Report

    def close(self) -> None:
        """Close them all; again is a no-op."""
        for stream in (self.stdin, self.stdout, self.stderr, self.control, self.info, self.report):
            if stream is not None:
                stream.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What was seen of one job. `stopped_for` is why the keeper ended it, None where it did not.

    `wait_status` is None where the launcher itself was lost.
    """

    stdout: bytes
    stderr_tail: bytes
    control: bytes
    stopped_for: FailureCode | None
    wait_status: int | None
    cpu_seconds: float
    max_resident_kibibytes: int
    wall_seconds: float


class Follower:
    """One job being followed. `kill` ends the jail, `kill_harder` also what should have reported it.

    With a `memory_limit_bytes` the job is ended once it is seen to have more in memory.
    """

    def __init__(
        self,
        *,
        streams: Streams,
        payload: bytes,
        stdout_limit_bytes: int,
        kill: Callable[[], None],
        kill_harder: Callable[[], None],
        memory_limit_bytes: int | None = None,
        read_memory: Callable[[], int] = lambda: 0,
    ) -> None:
        self._streams = streams
        self._unsent = memoryview(payload)
        self._stdout_limit_bytes = stdout_limit_bytes
        self._kill = kill
        self._kill_harder = kill_harder
        self._memory_limit_bytes = memory_limit_bytes
        self._read_memory = read_memory
        self._look_at = 0.0
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._stderr_bytes = 0
        self._control = b""
        self._stopped_for: FailureCode | None = None
        self._killed_at: float | None = None
        self._end: tuple[int | None, float, float, int] | None = None

    def follow(self, deadline_seconds: float) -> Observed:
        """Hand the payload over and return when the jail is gone and its streams are empty."""
        started_at = time.monotonic()
        deadline = started_at + deadline_seconds
        streams = self._streams
        with selectors.DefaultSelector() as selector:
            selector.register(streams.stdin, selectors.EVENT_WRITE, self._send)
            selector.register(streams.stdout, selectors.EVENT_READ, self._take_stdout)
            selector.register(streams.stderr, selectors.EVENT_READ, self._take_stderr)
            selector.register(streams.control, selectors.EVENT_READ, self._take_control)
            selector.register(streams.report, selectors.EVENT_READ, self._take_end)
            while self._end is None:
                for key, _ in selector.select(self._patience_seconds(deadline)):
                    act: Callable[[], bool] = key.data
                    if not act():
                        selector.unregister(key.fileobj)
                        if key.fileobj is streams.stdin:
                            streams.stdin.close()
                self._enforce(deadline)
        wall_seconds = time.monotonic() - started_at

        for act in (self._take_stdout, self._take_stderr, self._take_control):
            while act():
                pass
        wait_status, user_seconds, system_seconds, max_resident = self._end
        return Observed(
            stdout=bytes(self._stdout),
            stderr_tail=bytes(self._stderr),
            control=self._control,
            stopped_for=self._stopped_for,
            wait_status=wait_status,
            cpu_seconds=user_seconds + system_seconds,
            max_resident_kibibytes=max_resident,
            wall_seconds=wall_seconds,
        )

    def stop(self, code: FailureCode) -> None:
        """End the jail; the first reason counts."""
        if self._killed_at is None:
            self._stopped_for = code
            self._killed_at = time.monotonic()
        self._kill()

    def _patience_seconds(self, deadline: float) -> float:
        until = deadline if self._killed_at is None else self._killed_at + _GONE_SECONDS
        if self._killed_at is None and self._memory_limit_bytes is not None:
            until = min(until, self._look_at)
        return max(0.0, until - time.monotonic())

    def _enforce(self, deadline: float) -> None:
        now = time.monotonic()
        if self._killed_at is None and now >= deadline:
            self.stop(FailureCode.SCRIPT_TIMEOUT)
        elif self._killed_at is not None and now >= self._killed_at + _GONE_SECONDS:
            self._killed_at = now
            self._kill_harder()
        elif self._memory_limit_bytes is not None and now >= self._look_at:
            self._look_at = now + _WATCH_SECONDS
            if self._killed_at is None and self._read_memory() > self._memory_limit_bytes:
                self.stop(FailureCode.SCRIPT_MEMORY)

    # Each of these moves some bytes and returns whether there may be more.

    def _send(self) -> bool:
        try:
            sent = self._streams.stdin.write(self._unsent[:_READ_BYTES])
        except BrokenPipeError:
            return False
        self._unsent = self._unsent[sent or 0 :]
        return bool(self._unsent)

    def _take_stdout(self) -> bool:
        data = _read(self._streams.stdout)
        if data:
            self._stdout += data
            if len(self._stdout) > self._stdout_limit_bytes:
                del self._stdout[self._stdout_limit_bytes :]
                self.stop(FailureCode.SCRIPT_OUTPUT_TOO_LARGE)
        return bool(data)

    def _take_stderr(self) -> bool:
        data = _read(self._streams.stderr)
        if data:
            self._stderr += data
            del self._stderr[:-STDERR_TAIL_BYTES]
            self._stderr_bytes += len(data)
            if self._stderr_bytes > STDERR_LIMIT_BYTES:
                self.stop(FailureCode.SCRIPT_OUTPUT_TOO_LARGE)
        return bool(data)

    def _take_control(self) -> bool:
        data = _read(self._streams.control)
        self._control = (self._control + data)[:_CONTROL_BYTES_MAX]
        return bool(data)

    def _take_end(self) -> bool:
        received = self._streams.report.receive(0)
        if received is not None and len(received[0]) == ENDED.size:
            self._end = ENDED.unpack(received[0])
        elif received is not None:
            self._end = (None, 0.0, 0.0, 0)
        return self._end is None


def _read(stream: io.FileIO) -> bytes:
    """What is there; nothing at the end of the stream, and nothing while it is empty.

    While a job runs this is called only when there is something; afterwards nobody writes any more.
    """
    return stream.read(_READ_BYTES) or b""

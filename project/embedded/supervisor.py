"""Runs many processes in the foreground, each under its own warden, and starts crashed ones again.

One thread, one loop. What must hold: a stop ends everything within ten seconds (later waves first);
a process that ends on its own is started again with a growing pause; nothing that was started
outlives the supervisor, even one killed with -9 (the wardens see their control pipe close).
"""

import contextlib
import os
import secrets
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final, Self

_WARDEN: Final = Path(__file__).with_name("warden.py")
_PAUSES_SECONDS: Final = (0.3, 1.0, 2.0, 4.0, 8.0, 15.0)
_STEADY_SECONDS: Final = 20.0
_LINE_MAX_BYTES: Final = 65_536
_TOKEN_VARIABLE: Final = "FOREKEEP_PROCESS_TOKEN"
_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: Takes one line of output: the name of the process and the text.
Output = Callable[[str, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """One process: `command` is a line for /bin/sh; wave 0 is stopped last (it serves the others)."""

    name: str
    command: str
    environment: Mapping[str, str]
    folder: Path
    wave: int = 1
    grace_seconds: float = 4.0
    is_restarted: bool = True


@dataclass(slots=True, kw_only=True)
class _Running:
    """A started warden and what is known of it."""

    spec: ProcessSpec
    process: subprocess.Popen[bytes]
    control: int
    started_at: float
    failures: int
    token: str
    pending: bytes = b""
    is_ending: bool = False


class Supervisor:
    """Start, watch, restart and stop; a context manager that leaves nothing behind.

    `kept_fd` is a descriptor every warden holds open until it ends: with a lock on it, the lock is
    free only when the last descendant is gone. `is_tied_to_parent` asks for a stop when the process
    that started the supervisor (make) goes away.
    """

    def __init__(
        self, *, output: Output, kept_fd: int | None = None, is_tied_to_parent: bool = False
    ) -> None:
        self.output = output
        self.stop_reason: str | None = None
        self._kept_fd = kept_fd
        self._parent = os.getppid() if is_tied_to_parent else None
        self._running: dict[str, _Running] = {}
        self._resting: dict[str, tuple[float, ProcessSpec, int]] = {}
        self._codes: dict[str, int] = {}
        self._selector = selectors.DefaultSelector()
        self._wake = os.pipe()

    def __enter__(self) -> Self:
        """Take over SIGINT, SIGTERM and SIGHUP: each asks for a stop."""
        os.set_blocking(self._wake[0], False)
        os.set_blocking(self._wake[1], False)
        self._selector.register(self._wake[0], selectors.EVENT_READ, None)
        signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        for number in _STOP_SIGNALS:
            signal.signal(number, self._note_signal)
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop everything, whatever happened."""
        self.stop()
        signal.set_wakeup_fd(-1)
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        self._selector.close()
        for fd in self._wake:
            os.close(fd)

    def start(self, spec: ProcessSpec) -> None:
        """Start a process; its output lines go to `output` from now on."""
        self._start(spec, failures=0)

    def run_until(self, is_done: Callable[[], object], timeout_seconds: float | None = None) -> bool:
        """Keep everything running until `is_done()`; False when a stop was asked or time is over."""
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while self.stop_reason is None:
            if is_done():
                return True
            if deadline is not None and time.monotonic() > deadline:
                return False
            self._turn(0.1)
        return False

    def run_to_end(self, spec: ProcessSpec, timeout_seconds: float | None = None) -> int | None:
        """Run a process that ends by itself; its exit code, or None when time is over or a stop was asked."""
        self._start(spec, failures=0)
        self.run_until(lambda: spec.name in self._codes, timeout_seconds)
        return self._codes.pop(spec.name, None)

    def get_pids(self) -> dict[str, int]:
        """The process id of each running warden, by name."""
        return {name: item.process.pid for name, item in self._running.items()}

    def stop(self, *, lowest_wave: int = 0) -> None:
        """Stop everything from this wave up, wave by wave; a second stop signal kills at once."""
        self._resting = {name: rest for name, rest in self._resting.items() if rest[1].wave < lowest_wave}
        items = [item for item in self._running.values() if item.spec.wave >= lowest_wave]
        for item in items:
            item.is_ending = True
        for wave in sorted({item.spec.wave for item in items}, reverse=True):
            self._stop_set([item for item in items if item.spec.wave == wave])

    def _start(self, spec: ProcessSpec, *, failures: int) -> None:
        control_read, control_write = os.pipe()
        kept = () if self._kept_fd is None else (self._kept_fd,)
        token = secrets.token_hex(16)
        arguments = [sys.executable, "-I", "-S", str(_WARDEN), str(control_read), str(spec.grace_seconds)]
        arguments += ["/bin/sh", "-c", f"exec {spec.command}"]
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**spec.environment, _TOKEN_VARIABLE: token},
            cwd=spec.folder,
            pass_fds=(control_read, *kept),
            start_new_session=True,
        )
        os.close(control_read)
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        running = _Running(
            spec=spec,
            process=process,
            control=control_write,
            started_at=time.monotonic(),
            failures=failures,
            token=token,
        )
        self._running[spec.name] = running
        self._selector.register(process.stdout, selectors.EVENT_READ, running)

    def _turn(self, wait_seconds: float) -> None:
        """One turn of the loop: signals, output, ended processes, processes due again."""
        for key, _ in self._selector.select(wait_seconds):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake[0], 512)
            else:
                self._read(key.data)
        for running in [item for item in self._running.values() if item.process.poll() is not None]:
            self._collect(running)
        if self._parent is not None and os.getppid() != self._parent:
            self.stop_reason = self.stop_reason or "the starting process is gone"
        now = time.monotonic()
        for name, (due_at, spec, failures) in list(self._resting.items()):
            if due_at <= now:
                del self._resting[name]
                self._start(spec, failures=failures)

    def _read(self, running: _Running) -> bool:
        """Take what the process wrote; False where nothing was there."""
        assert running.process.stdout is not None
        try:
            data = os.read(running.process.stdout.fileno(), 65_536)
        except BlockingIOError:
            return False
        *lines, running.pending = (running.pending + data).split(b"\n")
        if not data or len(running.pending) > _LINE_MAX_BYTES:
            lines.append(running.pending)
            running.pending = b""
        for line in lines:
            text = line.decode("utf-8", "replace").rstrip()
            if text:
                self.output(running.spec.name, text)
        if not data:
            with contextlib.suppress(KeyError):
                self._selector.unregister(running.process.stdout)
        return bool(data)

    def _collect(self, running: _Running) -> None:
        """A warden ended: drain it, then plan the restart unless this end was wanted."""
        assert running.process.stdout is not None
        spec, code = running.spec, running.process.returncode
        while self._read(running):
            pass
        with contextlib.suppress(KeyError):
            self._selector.unregister(running.process.stdout)
        running.process.stdout.close()
        os.close(running.control)
        del self._running[spec.name]
        self._codes[spec.name] = code
        if code < 0:
            _kill_marked(running.token)
        if running.is_ending or not spec.is_restarted:
            return

        has_been_steady = time.monotonic() - running.started_at > _STEADY_SECONDS
        failures = 0 if has_been_steady else running.failures
        pause = _PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS) - 1)]
        self.output("system", f"{spec.name} ended ({_end_text(code)}); starting it again in {pause} s")
        self._resting[spec.name] = (time.monotonic() + pause, spec, failures + 1)

    def _stop_set(self, items: list[_Running]) -> None:
        stops_seen = self.stop_reason
        for item in items:
            item.is_ending = True
            item.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + max((item.spec.grace_seconds for item in items), default=0) + 1.0
        has_hurried = False
        while any(item.process.returncode is None for item in items):
            self._turn(0.05)
            if not has_hurried and self.stop_reason != stops_seen:
                has_hurried = True
                for item in items:
                    item.process.send_signal(signal.SIGTERM)
            if time.monotonic() > deadline:
                for item in items:
                    item.process.kill()

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        again = "" if self.stop_reason is None else " again"
        self.stop_reason = f"{signal.Signals(number).name}{again}"


def _kill_marked(token: str) -> None:
    """SIGKILL what a killed warden left behind, found by the mark in its environment (Linux)."""
    mark = f"{_TOKEN_VARIABLE}={token}".encode()
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in environ.read_bytes().split(b"\0"):
                os.kill(int(environ.parent.name), signal.SIGKILL)


def _end_text(code: int) -> str:
    number = -code if code < 0 else code - 128
    if number in set(signal.Signals):
        return signal.Signals(number).name
    return f"exit code {code}"

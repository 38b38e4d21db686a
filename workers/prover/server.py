"""The prover's one loop: takes requests from a Unix socket, forks a process per proof, kills what is late.

At most `generations` proofs are under way at once, of which as many compute as there are cores; the others
wait in the order they came. None is dropped, but a queue at its bound refuses new ones. A request's time
counts from its arrival. It ends early where it is cancelled, or where everybody who waits for it has hung
up. The loop is single-threaded, so that forking is safe; a proof never runs in it.
"""

import contextlib
import logging
import os
import re
import selectors
import signal
import socket
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from apps.kernel.errors import DomainError
from apps.proofs.data import ProofRequest, witness_from_json
from apps.proofs.errors import ProofCancelled, ProofTimedOut, ProverUnavailable
from project.env import Proofs
from workers.prover.keyring import KeyRing
from workers.prover.proving import Proving, start_proving
from workers.prover.wire import FrameBroken, FrameReader, answer_of, encode_frame

_IDLE_SECONDS: Final = 60.0
_BACKLOG: Final = 64
_LONGEST_SECONDS: Final = 3600
_HANDLE: Final = re.compile(r"[\w.:/-]{1,128}", re.ASCII)
_log = logging.getLogger("forekeep.prover")


@dataclass(slots=True, kw_only=True)
class Job:
    """A proof that was asked for, until everybody who asked has an answer."""

    request: ProofRequest
    arrived_at: float
    callers: list[socket.socket] = field(default_factory=list)
    proving: Proving | None = None

    @property
    def deadline(self) -> float:
        """When it is late."""
        return self.arrived_at + self.request.timeout_seconds


class ProverServer:
    """Open until `run` returns; everything in it belongs to the one thread that runs it."""

    def __init__(self, config: Proofs) -> None:
        self._config = config
        self._keys = KeyRing(config.keys_folder)
        self._jobs: dict[str, Job] = {}
        self._readers: dict[socket.socket, FrameReader] = {}
        self._selector = selectors.DefaultSelector()
        self._is_stopping = False
        self._started = 0
        folder, name = config.socket.parent, config.socket.name
        #: one per core: so many compute at once, and the first are not slowed down by those behind them
        self._lanes = [folder / f"{name}.lane-{n}" for n in range(os.cpu_count() or 1)]
        self._wake, self._woken = socket.socketpair()
        self._listener = _listen(config)
        self._on(self._listener, self._accept)
        self._on(self._woken, self._drain)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; proofs under way are then killed."""
        self._wake.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        for size in self._config.circuit_sizes:
            self._want(size)
        try:
            while not self._is_stopping:
                self._pass()
        finally:
            self._close()

    def _pass(self) -> None:
        for key, _ in self._selector.select(self._compute_wait()):
            key.data()
        self._load()
        for job in [job for job in self._jobs.values() if job.deadline <= time.monotonic()]:
            self._end(job, answer_of(ProofTimedOut(seconds=job.request.timeout_seconds)))
        self._start_waiting()

    def _compute_wait(self) -> float:
        if self._keys.is_loading:
            return 0.0
        left = (job.deadline - time.monotonic() for job in self._jobs.values())
        return max(min(left, default=_IDLE_SECONDS), 0.0)

    def _load(self) -> None:
        if not self._keys.is_loading:
            return
        loading = self._keys.step()
        if loading.is_done:
            _log.info("proving key loaded: %s steps", loading.size)
        if loading.error is not None:
            _log.error("proving key not loaded: %s steps, %s", loading.size, loading.error.code)
            for job in [job for job in self._jobs.values() if job.request.witness.size == loading.size]:
                self._end(job, answer_of(loading.error))

    def _want(self, size: int) -> None:
        try:
            self._keys.get(size)
        except DomainError as exc:
            _log.error("no proving key yet: %s steps, %s", size, exc.code)

    def _start_waiting(self) -> None:
        free = self._config.generations - sum(job.proving is not None for job in self._jobs.values())
        for job in [job for job in self._jobs.values() if job.proving is None]:
            if free <= 0:
                return
            free -= self._start(job)

    def _start(self, job: Job) -> bool:
        """Whether a process was started for it."""
        try:
            keys = self._keys.get(job.request.witness.size)
            if keys is None:
                return False
            job.proving = start_proving(
                job.request,
                keys.proving,
                keys.verifying,
                lane=self._lanes[self._started % len(self._lanes)],
                close_inherited=self._close_inherited,
            )
            self._started += 1
        except DomainError as exc:
            self._end(job, answer_of(exc))
            return False
        except OSError as exc:
            self._end(job, answer_of(ProverUnavailable(reason=f"cannot fork: {exc}")))
            return False
        self._on(job.proving.pipe, lambda: self._read_proof(job))
        return True

    def _read_proof(self, job: Job) -> None:
        answer = job.proving.read() if job.proving is not None else None
        if answer is not None:
            self._end(job, answer)

    def _end(self, job: Job, answer: Mapping[str, Any]) -> None:
        """Stop its process, answer everybody who waits for it, and forget it."""
        self._jobs.pop(job.request.handle, None)
        found = dict(answer)
        if job.proving is not None:
            self._selector.unregister(job.proving.pipe)
            job.proving.kill()
            cost = job.proving.finish()
            if found.get("ok"):
                waited_seconds = job.proving.started_at - job.arrived_at
                found |= cost | {"waited_seconds": round(waited_seconds, 4)}
            elif cost["exit"]:
                _log.info("proof ended: %s, %s", job.request.handle, found.get("code"))
        for caller in job.callers:
            self._answer(caller, found)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            caller, _ = self._listener.accept()
            caller.setblocking(True)
            caller.settimeout(1.0)
            self._readers[caller] = FrameReader()
            self._on(caller, lambda: self._read_request(caller))

    def _read_request(self, caller: socket.socket) -> None:
        reader = self._readers.get(caller)
        try:
            piece = caller.recv(1 << 16)
            if not piece or reader is None:
                self._hang_up(caller)
                return
            body = reader.feed(piece)
        except (OSError, FrameBroken):
            self._hang_up(caller)
            return
        if body is None:
            return
        del self._readers[caller]
        try:
            self._serve(caller, body)
        except DomainError as exc:
            self._answer(caller, answer_of(exc))
        except (KeyError, TypeError, ValueError) as exc:
            self._answer(caller, answer_of(ProverUnavailable(reason=f"malformed request: {exc!r}"[:200])))

    def _serve(self, caller: socket.socket, body: Mapping[str, Any]) -> None:
        match body.get("do"):
            case "prove":
                self._take(caller, body)
            case "cancel":
                job = self._jobs.get(str(body["handle"]))
                if job is not None:
                    self._end(job, answer_of(ProofCancelled()))
                self._answer(caller, {"ok": True, "was_there": job is not None})
            case "status":
                running = sum(job.proving is not None for job in self._jobs.values())
                status = {"running": running, "waiting": len(self._jobs) - running, "sizes": self._keys.sizes}
                self._answer(caller, {"ok": True, "pid": os.getpid(), **status})
            case other:
                raise ProverUnavailable(reason=f"unknown request {str(other)[:80]}")

    def _take(self, caller: socket.socket, body: Mapping[str, Any]) -> None:
        """A new job, or one more caller for a handle that is being served."""
        handle = str(body["handle"])
        if not _HANDLE.fullmatch(handle):
            raise ProverUnavailable(reason="a handle is 1 to 128 letters, digits and -_.:/")
        if handle not in self._jobs:
            if len(self._jobs) >= self._config.prover_waiting_max + self._config.generations:
                raise ProverUnavailable(reason="too many proofs wait already")
            request = ProofRequest(
                handle=handle,
                witness=witness_from_json(body["witness"]),
                timeout_seconds=_seconds(body["timeout_seconds"]),
                delay_seconds=_seconds(body["delay_seconds"]),
            )
            self._jobs[handle] = Job(request=request, arrived_at=time.monotonic())
        self._jobs[handle].callers.append(caller)

    def _hang_up(self, caller: socket.socket) -> None:
        self._forget(caller)
        for job in list(self._jobs.values()):
            if caller in job.callers:
                job.callers.remove(caller)
                if not job.callers:
                    self._end(job, answer_of(ProofCancelled()))

    def _answer(self, caller: socket.socket, answer: Mapping[str, Any]) -> None:
        with contextlib.suppress(OSError):
            caller.sendall(encode_frame(answer))
        self._forget(caller)

    def _forget(self, caller: socket.socket) -> None:
        self._readers.pop(caller, None)
        self._selector.unregister(caller)
        caller.close()

    def _on(self, source: socket.socket, act: Callable[[], None]) -> None:
        self._selector.register(source, selectors.EVENT_READ, act)

    def _drain(self) -> None:
        self._woken.recv(4096)

    def _stop(self, number: int, frame: object) -> None:
        self._is_stopping = True

    def _close_inherited(self) -> None:
        """In a child: let go of everything that is the server's."""
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()
        self._wake.close()

    def _close(self) -> None:
        for job in list(self._jobs.values()):
            self._end(job, answer_of(ProverUnavailable(reason="the prover stops")))
        signal.set_wakeup_fd(-1)
        for path in (self._config.socket, *self._lanes):
            path.unlink(missing_ok=True)
        self._close_inherited()


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST_SECONDS:
        raise ValueError(f"0 to {_LONGEST_SECONDS} seconds are expected")
    return float(value)


def _listen(config: Proofs) -> socket.socket:
    """The socket, for this user only; one that a dead server left is replaced."""
    config.socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if config.socket.exists() and stat.S_ISSOCK(config.socket.stat().st_mode):
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(config.socket)) == 0:
                raise OSError(f"a prover listens on {config.socket} already")
        config.socket.unlink()
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o077)
    try:
        listener.bind(str(config.socket))
    finally:
        os.umask(before)
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener

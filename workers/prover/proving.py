"""One proof in one process: forked from the server, which holds the keys, and killed as a group.

The child is in a process group of its own, dies with the server, and sends one frame down a pipe. It
proves, verifies what it made, and says what went wrong otherwise: also where the native library panics.
"""

import contextlib
import ctypes
import fcntl
import gc
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

from apps.kernel.errors import DomainError
from apps.kernel.hashing import to_hex
from apps.proofs.data import ProofRequest, VerifyingKey
from apps.proofs.domain.statement import evaluate
from apps.proofs.errors import ProofFailed
from apps.proofs.groth16 import ProvingKey, prove, verify
from workers.prover.wire import FrameBroken, FrameReader, answer_of, encode_frame

_PR_SET_PDEATHSIG: Final = 1
_IS_LINUX: Final = sys.platform == "linux"
_KIBIBYTE: Final = 1024


@dataclass(slots=True, kw_only=True)
class Proving:
    """A proof that is being made."""

    pid: int
    pipe: socket.socket = field(repr=False)
    started_at: float
    reader: FrameReader = field(default_factory=FrameReader, repr=False)

    def kill(self) -> None:
        """End the whole process group at once."""
        for end in (os.killpg, os.kill):
            try:
                end(self.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue

    def read(self) -> dict[str, Any] | None:
        """The answer once it is whole, else None; ProofFailed's answer where the process is gone."""
        try:
            piece = self.pipe.recv(1 << 16)
            if piece:
                return self.reader.feed(piece)
        except BlockingIOError:
            return None
        except (OSError, FrameBroken):
            pass
        return answer_of(ProofFailed(reason="the process ended without an answer"))

    def finish(self) -> dict[str, Any]:
        """Wait for the process, which has answered or was killed; what it cost."""
        self.pipe.close()
        _, status, usage = os.wait4(self.pid, 0)
        scale = _KIBIBYTE if _IS_LINUX else 1
        return {
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 4),
            "peak_memory_bytes": usage.ru_maxrss * scale,
            "exit": status,
        }


def start_proving(
    request: ProofRequest,
    proving_key: ProvingKey,
    verifying_key: VerifyingKey,
    *,
    lane: Path,
    close_inherited: Callable[[], None],
) -> Proving:
    """Fork a process that makes this proof; `close_inherited` closes the server's sockets in it.

    Processes of one lane (a file) compute one after the other, in the order they came.
    """
    ours, theirs = socket.socketpair()
    server = os.getpid()
    pid = os.fork()
    if pid == 0:
        _be_child(
            server, ours, theirs, close_inherited, lambda: _make(request, proving_key, verifying_key, lane)
        )
    theirs.close()
    with contextlib.suppress(PermissionError, ProcessLookupError):  # the child was faster, or is gone
        os.setpgid(pid, pid)
    ours.setblocking(False)
    return Proving(pid=pid, pipe=ours, started_at=time.monotonic())


def tie_to(parent: int, number: int) -> bool:
    """Let this process get a signal when its parent ends (on Linux); False where it has ended already."""
    if _IS_LINUX:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    return os.getppid() == parent


def _make(
    request: ProofRequest, key: ProvingKey, verifying_key: VerifyingKey, lane: Path
) -> Mapping[str, Any]:
    with lane.open("wb") as file:
        # a lock ends with its process, however that ends
        fcntl.flock(file, fcntl.LOCK_EX)
        started_at = time.monotonic()
        run = evaluate(request.witness)
        proof = prove(key, run)
        public_input = int(run.assignment[1])
        if not verify(verifying_key, [public_input], proof):
            raise ProofFailed(reason="the proof does not verify: the keys do not belong together")
        wall_seconds = time.monotonic() - started_at
    if request.delay_seconds > 0:
        time.sleep(request.delay_seconds)
    return {
        "ok": True,
        "proof": to_hex(proof.to_bytes()),
        "public_input": hex(public_input),
        "wall_seconds": round(wall_seconds, 4),
        "delay_seconds": request.delay_seconds,
    }


def _be_child(
    server: int,
    ours: socket.socket,
    theirs: socket.socket,
    close_inherited: Callable[[], None],
    make: Callable[[], Mapping[str, Any]],
) -> NoReturn:
    code = 1
    try:
        gc.disable()
        os.setpgid(0, 0)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        if not tie_to(server, signal.SIGKILL):
            os._exit(1)
        ours.close()
        close_inherited()
        theirs.sendall(encode_frame(_answer(make)))
        code = 0
    finally:
        os._exit(code)


def _answer(make: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    try:
        return make()
    except DomainError as exc:
        return answer_of(exc)
    except BaseException as exc:  # a panic of the native library is no Exception
        return answer_of(ProofFailed(reason=f"{type(exc).__name__}: {exc}"[:200]))

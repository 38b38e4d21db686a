"""A prover as a child process: started, awaited, stopped. Whoever needs one for itself uses this."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from apps.proofs.errors import ProverUnavailable
from workers.prover.client import ProverClient

_ROOT: Final = Path(__file__).resolve().parents[2]
_POLL_SECONDS: Final = 0.02


class ProverProcess:
    """`python -m workers.prover` in a session of its own; a context manager that stops it.

    It also ends with the process that made this object.
    """

    def __init__(self, *, socket: Path, keys: Path, environ: Mapping[str, str] | None = None) -> None:
        self.client = ProverClient(socket)
        self._environ = {
            **os.environ,
            "PYTHONPATH": str(_ROOT),
            "FOREKEEP_PROOFS_SOCKET": str(socket),
            "FOREKEEP_PROOFS_KEYS_FOLDER": str(keys),
            **(environ or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The server's process id."""
        if self._process is None:
            raise ProverUnavailable(reason="not started")
        return self._process.pid

    def start(self, timeout_seconds: float = 30.0) -> None:
        """Start it and wait until it answers; its first key may still be loading.

        Raises ProverUnavailable, also where another one has the socket.
        """
        command = [sys.executable, "-m", "workers.prover", "--parent", str(os.getpid())]
        self._process = subprocess.Popen(
            command, cwd=_ROOT, env=self._environ, stdin=subprocess.DEVNULL, start_new_session=True
        )
        until = time.monotonic() + timeout_seconds
        while True:
            with suppress(ProverUnavailable):
                if self.client.get_status()["pid"] == self._process.pid:
                    return
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise ProverUnavailable(reason=f"did not start: exit code {self._process.poll()}")
            time.sleep(_POLL_SECONDS)

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """End it and every proof; doing so again is a no-op."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

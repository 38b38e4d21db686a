"""What goes into a sandbox, what comes out, and the handle that ends it early.

A result never depends on the engine: the same script, inputs and limits give the same bytes.
"""

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from workers.keeper.sandbox.errors import SandboxRequestInvalid

MEBIBYTE: Final = 1024 * 1024
STDERR_TAIL_BYTES: Final = 4096
#: Errors are read to the end so that a script cannot block on them, but not without end.
STDERR_LIMIT_BYTES: Final = 64 * MEBIBYTE
THREADS_MAX: Final = 64
PYTHON: Final = "python"
JAVASCRIPT: Final = "javascript"
TYPESCRIPT: Final = "typescript"
#: What a request may ask for; what a sandbox runs is among its own `languages`.
LANGUAGES: Final = (PYTHON, JAVASCRIPT, TYPESCRIPT)
_SMALLEST_MEMORY_BYTES: Final = 64 * MEBIBYTE
_LONGEST_DEADLINE_SECONDS: Final = 3600.0
_INPUT_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


class SandboxStatus(StrEnum):
    """How a run ended."""

    #: Exit code 0, output within its limit.
    OK = "ok"
    #: Anything else; `code` says what.
    FAILED = "failed"


class FailureCode(StrEnum):
    """Why a run failed."""

    #: The script exited with another code than 0 (an uncaught exception is 1).
    SCRIPT_FAILED = "script_failed"
    #: The wall deadline or the CPU limit was reached.
    SCRIPT_TIMEOUT = "script_timeout"
    #: The script ran out of its memory.
    SCRIPT_MEMORY = "script_memory"
    #: More on stdout (or far more on stderr) than allowed.
    SCRIPT_OUTPUT_TOO_LARGE = "script_output_too_large"
    #: A signal ended the script: it crashed, or the machine killed it.
    SCRIPT_KILLED = "script_killed"
    #: The keeper ended it through the AbortHandle.
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRequest:
    """One script to run once.

    `stdin` is what the script reads, `inputs` the files it finds under `./inputs/`. `cpu_seconds`
    is no tighter than the deadline where it is None. Raises SandboxRequestInvalid.
    """

    script: bytes
    language: str = PYTHON
    stdin: bytes = b""
    inputs: Mapping[str, bytes] = field(default_factory=dict)
    cpu_cores: int = 1
    memory_bytes: int = 512 * MEBIBYTE
    deadline_seconds: float = 60.0
    cpu_seconds: float | None = None
    stdout_limit_bytes: int = MEBIBYTE

    def __post_init__(self) -> None:
        if self.language not in LANGUAGES:
            raise SandboxRequestInvalid(reason="no such language runs here", language=self.language[:40])
        for name in self.inputs:
            if not _INPUT_NAME.fullmatch(name):
                raise SandboxRequestInvalid(reason="not the name of an input", name=name[:120])
        if self.memory_bytes < _SMALLEST_MEMORY_BYTES:
            raise SandboxRequestInvalid(reason="too little memory", smallest_bytes=_SMALLEST_MEMORY_BYTES)
        if not 0 < self.deadline_seconds <= _LONGEST_DEADLINE_SECONDS:
            raise SandboxRequestInvalid(
                reason="deadline out of bounds", longest_seconds=_LONGEST_DEADLINE_SECONDS
            )
        if self.cpu_seconds is not None and self.cpu_seconds <= 0:
            raise SandboxRequestInvalid(reason="CPU limit out of bounds")
        if self.cpu_cores < 1 or self.stdout_limit_bytes < 0:
            raise SandboxRequestInvalid(reason="limit out of bounds")


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxResult:
    """How one run ended and what it took.

    `exit_code` is the script's own, 128 + n where signal n ended it, None where it never began.
    CPU time and wall time count from the moment the script was handed over.
    """

    status: SandboxStatus
    code: FailureCode | None
    exit_code: int | None
    stdout: bytes
    stderr_tail: str
    cpu_seconds: float
    wall_seconds: float
    peak_memory_bytes: int


class AbortHandle:
    """Ends a run from another thread; aborting before, twice or after the end does no harm."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kill: Callable[[], None] | None = None
        self._is_aborted = False

    @property
    def is_aborted(self) -> bool:
        """Whether abort() was called."""
        return self._is_aborted

    def abort(self) -> None:
        """Kill the jail now, with everything in it."""
        with self._lock:
            self._is_aborted = True
            if self._kill is not None:
                self._kill()

    def attach(self, kill: Callable[[], None]) -> None:
        """The engine says how its jail is killed; an earlier abort kills it at once."""
        with self._lock:
            self._kill = kill
            if self._is_aborted:
                kill()

    def detach(self) -> None:
        """The engine says that the jail is gone; from here on aborting only sets the flag."""
        with self._lock:
            self._kill = None


class Sandbox(Protocol):
    """An engine that runs scripts, one jail per run. Safe to use from many threads."""

    @property
    def name(self) -> str:
        """The engine's name."""
        ...

    @property
    def languages(self) -> tuple[str, ...]:
        """What it runs on this machine, `python` always; another one is a SandboxRequestInvalid."""
        ...

    def run(self, request: SandboxRequest, handle: AbortHandle | None = None) -> SandboxResult:
        """Run one script to its end; raises SandboxBroken where the jail itself failed."""
        ...

    def close(self) -> None:
        """End every jail and remove everything the engine made on this machine."""
        ...

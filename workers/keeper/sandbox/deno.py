"""Deno, which runs JavaScript and TypeScript in the same jails as Python.

A jail's runner becomes it: with the limits set and the filter shut, the one exec the filter still lets
through (`programs/runner.py`). Deno itself gets no permission but to read `inputs`; nothing here relies
on that. It needs no folder of its own: what it compiles, it compiles anew each time.
"""

import os
import platform
import shutil
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from workers.keeper.sandbox.data import JAVASCRIPT, MEBIBYTE, TYPESCRIPT, SandboxRequest
from workers.keeper.sandbox.following import Observed
from workers.keeper.sandbox.scratch import is_open_to_others

LANGUAGES: Final = (JAVASCRIPT, TYPESCRIPT)
#: Where the jail's cache would be; no jail can make it, and Deno does without.
_NOWHERE: Final = "/nowhere"
_SCRIPT_NAMES: Final[Mapping[str, str]] = {JAVASCRIPT: "script.js", TYPESCRIPT: "script.ts"}
#: What loads the program; the one other file that is executed.
_LOADERS: Final[Mapping[str, str]] = {
    "x86_64": "/lib64/ld-linux-x86-64.so.2",
    "aarch64": "/lib/ld-linux-aarch64.so.1",
}
_ENVIRONMENT: Final = {
    "DENO_DIR": _NOWHERE,
    # else it tries for 0.15 s to keep what it compiled
    "DENO_EMIT_CACHE_MODE": "disable",
    "DENO_NO_PACKAGE_JSON": "1",
    "DENO_NO_UPDATE_CHECK": "1",
    "HOME": _NOWHERE,
    "LC_ALL": "C.UTF-8",
    "NO_COLOR": "1",
    "TZ": "UTC",
}
_FLAGS: Final = (
    "--no-prompt",
    "--no-remote",
    "--no-npm",
    "--no-config",
    "--no-lock",
    "--no-check",
    "--no-code-cache",
    "--cached-only",
    "--quiet",
    # 0 would mean a seed from the machine
    "--seed=1",
)
#: What Deno lets a script do, and what it is let do while a jail is tested without Deno's help.
PERMISSIONS: Final = ("--allow-read=inputs",)
EVERY_PERMISSION: Final = ("--allow-all",)
#: What V8 and Deno take beside the heap, measured: some 35 MiB resident before the first line.
_BESIDE_HEAP_BYTES: Final = 64 * MEBIBYTE
_SMALLEST_HEAP_BYTES: Final = 16 * MEBIBYTE
#: Writable mappings V8 reserves and hardly touches: its code range (512 MiB) and stacks of threads.
_RESERVED_BYTES: Final = 640 * MEBIBYTE
#: V8 reserves terabytes; below half of the machine's range the lowest addresses stay out of reach.
_ADDRESS_SPACE_BYTES: Final = 1 << 46
#: How V8, Deno and Rust say that there was no memory, fatally or in an exception.
_LACK_OF_MEMORY: Final = (
    b"out of memory",
    b"Array buffer allocation failed",
    b"could not allocate memory",
    b"memory allocation of ",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deno:
    """The program on this machine, the path jails see it at, and the filter it runs behind."""

    executable: Path
    seen_at: str
    filter_hex: str
    permissions: tuple[str, ...] = PERMISSIONS

    def make_header(self, request: SandboxRequest) -> dict[str, Any]:
        """What the runner is told beyond a script of its own: what to become, and other limits.

        V8 reserves far more addresses than it uses, so that the limit is on what may be written to.
        """
        heap_bytes = max(_SMALLEST_HEAP_BYTES, request.memory_bytes - _BESIDE_HEAP_BYTES)
        heap = f"--v8-flags=--max-old-space-size={heap_bytes // MEBIBYTE}"
        return {
            "memory_bytes": _ADDRESS_SPACE_BYTES,
            "data_bytes": request.memory_bytes + _RESERVED_BYTES,
            "program": {
                "path": self.seen_at,
                "argv": ["deno", "run", *_FLAGS, *self.permissions, heap, script_name(request)],
                "env": _ENVIRONMENT,
                "filter": self.filter_hex,
            },
        }


def find_deno() -> Path | None:
    """The one installed beside this Python, else the first on the path; None where there is none."""
    beside = Path(sysconfig.get_path("scripts")) / "deno"
    if os.access(beside, os.X_OK):
        return beside.resolve()
    found = shutil.which("deno")
    return None if found is None else Path(found).resolve()


def make_deno_reachable(executable: Path, folder: Path) -> Path:
    """The same program where any uid can reach it: itself, or a link to it, else a copy, in `folder`."""
    if is_open_to_others(executable):
        return executable
    folder.mkdir(mode=0o755, exist_ok=True)
    folder.chmod(0o755)
    target = folder / "deno"
    try:
        os.link(executable, target)
    except OSError:
        shutil.copy2(executable, target)
    return target


def get_loader() -> str:
    """The dynamic loader's path."""
    return _LOADERS[platform.machine()]


def script_name(request: SandboxRequest) -> str:
    """What the script is called in its folder; the ending tells Deno the language."""
    return _SCRIPT_NAMES[request.language]


def says_out_of_memory(observed: Observed) -> bool:
    """Whether the end of a failed run's errors blames the memory, as V8's last words do."""
    return any(words in observed.stderr_tail for words in _LACK_OF_MEMORY)

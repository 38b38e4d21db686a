"""What both local engines stand on: who the jails are, their interpreter, their scratch folder."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from workers.keeper.sandbox.deno import find_deno, make_deno_reachable
from workers.keeper.sandbox.errors import SandboxUnavailable
from workers.keeper.sandbox.interpreter import Interpreter, find_interpreter, make_reachable
from workers.keeper.sandbox.scratch import Scratch
from workers.keeper.sandbox.seccomp import DENO, compile_filter, get_architecture

#: "nobody": what a keeper started as root lets its jails be. Root itself never starts one.
UNPRIVILEGED_UID: Final = 65_534
#: Shared libraries of the system and what finds them; nothing in there is a secret.
LIBRARY_FOLDERS: Final = ("/usr/lib", "/usr/lib64", "/lib", "/lib64")
READABLE_EXTRAS: Final = ("/etc/ld.so.cache", "/usr/share/zoneinfo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """Everything an engine needs before it can plan a jail; `deno` is None where this machine has none."""

    interpreter: Interpreter
    scratch: Scratch
    uid: int | None
    filter_hex: str
    deno: Path | None
    deno_filter_hex: str


def lay_foundation() -> Foundation:
    """Raises SandboxUnavailable where this machine lacks something every local engine needs."""
    architecture = get_architecture()
    if architecture is None:
        raise SandboxUnavailable(reasons={"seccomp": f"no filter for {os.uname().machine}"})
    uid = UNPRIVILEGED_UID if os.geteuid() == 0 else None
    if uid is not None and not _is_mapped(uid):
        raise SandboxUnavailable(
            reasons={"uid": f"root here, and uid {uid} does not exist in this namespace"}
        )
    interpreter = find_interpreter()
    scratch = Scratch(is_shared=uid is not None, group=uid)
    deno = find_deno()
    if uid is not None:
        interpreter = make_reachable(interpreter, scratch.root / "python")
        deno = deno and make_deno_reachable(deno, scratch.root / "deno")
    return Foundation(
        interpreter=interpreter,
        scratch=scratch,
        uid=uid,
        filter_hex=compile_filter(architecture).hex(),
        deno=deno,
        deno_filter_hex=compile_filter(architecture, DENO).hex(),
    )


def _is_mapped(uid: int) -> bool:
    """Whether this user namespace has such a uid to drop to."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/uid_map").read_text().splitlines():
            first, _, count = (int(part) for part in line.split())
            if first <= uid < first + count:
                return True
        return False
    return True

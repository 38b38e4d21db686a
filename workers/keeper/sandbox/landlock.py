"""Jails by Landlock and seccomp alone: needs no package and no root, works inside containers.

A warm runner is forked for each jail; the fork shuts itself in (Landlock: reading the interpreter,
shared libraries and its own work folder; then, with its job at hand, the seccomp filter). Weaker
than namespaces in two ways: a script can see that a path exists and its size, though not open it,
and it sees the machine's host name and uptime.
"""

import ctypes
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from workers.keeper.sandbox.cgroups import open_cgroups
from workers.keeper.sandbox.deno import Deno, get_loader
from workers.keeper.sandbox.errors import SandboxUnavailable
from workers.keeper.sandbox.foundation import LIBRARY_FOLDERS, READABLE_EXTRAS, Foundation, lay_foundation
from workers.keeper.sandbox.jailed import CONTROL_DESCRIPTOR, JailedSandbox, Plan
from workers.keeper.sandbox.launching import Launcher
from workers.keeper.sandbox.tasks import count_tasks_limit

NAME: Final = "landlock"
_SYS_LANDLOCK_CREATE: Final = 444
_CREATE_VERSION: Final = 1


def open_landlock(*, pool_size: int) -> JailedSandbox:
    """Open the engine; raises SandboxUnavailable, SandboxBroken."""
    abi = read_abi()
    foundation = lay_foundation()
    try:
        launcher = Launcher(
            interpreter=foundation.interpreter,
            scratch=foundation.scratch,
            uid=foundation.uid,
            is_forking=True,
        )
    except BaseException:
        foundation.scratch.close()
        raise

    def make_request(work: Path) -> Mapping[str, Any]:
        return {"config": build_config(foundation, work, abi)}

    plan = Plan(
        name=NAME,
        make_request=make_request,
        tells_pid=False,
        get_tasks_limit=count_tasks_limit,
        deno=_plan_deno(foundation),
    )
    return JailedSandbox(
        plan=plan,
        launcher=launcher,
        scratch=foundation.scratch,
        cgroups=open_cgroups(),
        pool_size=pool_size,
    )


def read_abi() -> int:
    """The kernel's Landlock version; raises SandboxUnavailable where it has none or it is off."""
    libc = ctypes.CDLL(None, use_errno=True)
    version = int(libc.syscall(_SYS_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _CREATE_VERSION))
    if version < 1:
        reason = os.strerror(ctypes.get_errno())
        raise SandboxUnavailable(reasons={NAME: f"the kernel has no Landlock, or it is off ({reason})"})
    return version


def build_config(foundation: Foundation, work: Path, abi: int) -> dict[str, Any]:
    """What the runner is told; the launcher adds its own pid as `parent`."""
    interpreter = foundation.interpreter
    readable = [
        interpreter.standard_library,
        *interpreter.libraries,
        *LIBRARY_FOLDERS,
        *READABLE_EXTRAS,
        work,
    ]
    executable = [] if foundation.deno is None else [str(foundation.deno), get_loader()]
    return {
        "work": str(work),
        "filter": foundation.filter_hex,
        "control": CONTROL_DESCRIPTOR,
        "landlock": {"abi": abi, "paths": [str(path) for path in readable], "executable": executable},
    }


def _plan_deno(foundation: Foundation) -> Deno | None:
    found = foundation.deno
    if found is None:
        return None
    return Deno(executable=found, seen_at=str(found), filter_hex=foundation.deno_filter_hex)

"""Jails by bubblewrap: own user, pid, network, IPC, UTS and cgroup namespaces, read-only files.

Inside there is the interpreter under /python, /deno, the system's shared libraries, the job's folder
under /work, and nothing else: no /proc, no /dev, no /tmp, no place to write. The runner then shuts the
seccomp filter on top. bubblewrap itself is started with an empty environment.
"""

import json
import os
import platform
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from workers.keeper.sandbox.cgroups import open_cgroups
from workers.keeper.sandbox.data import THREADS_MAX
from workers.keeper.sandbox.deno import Deno
from workers.keeper.sandbox.errors import SandboxUnavailable
from workers.keeper.sandbox.foundation import (
    LIBRARY_FOLDERS,
    READABLE_EXTRAS,
    UNPRIVILEGED_UID,
    Foundation,
    lay_foundation,
)
from workers.keeper.sandbox.interpreter import FLAGS
from workers.keeper.sandbox.jailed import CONTROL_DESCRIPTOR, INFO_DESCRIPTOR, JailedSandbox, Plan
from workers.keeper.sandbox.launching import Launcher
from workers.keeper.sandbox.tasks import count_tasks_limit

NAME: Final = "bubblewrap"
_PYTHON: Final = Path("/python")
_RUNNER: Final = "/runner.py"
_DENO: Final = "/deno"
_WORK: Final = "/work"
#: From 5.14 on RLIMIT_NPROC counts per user namespace, so each jail has its own count.
_OWN_COUNT_SINCE: Final = (5, 14)


def open_bubblewrap(*, pool_size: int) -> JailedSandbox:
    """Open the engine; raises SandboxUnavailable, SandboxBroken."""
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxUnavailable(reasons={NAME: "bwrap is not installed"})
    foundation = lay_foundation()
    try:
        launcher = Launcher(
            interpreter=foundation.interpreter,
            scratch=foundation.scratch,
            uid=foundation.uid,
            is_forking=False,
        )
    except BaseException:
        foundation.scratch.close()
        raise
    has_own_count = _kernel_version() >= _OWN_COUNT_SINCE

    def make_request(work: Path) -> Mapping[str, Any]:
        return {"argv": build_command(program, foundation, launcher.runner, work), "env": {}}

    plan = Plan(
        name=NAME,
        make_request=make_request,
        tells_pid=True,
        get_tasks_limit=(lambda: THREADS_MAX) if has_own_count else count_tasks_limit,
        deno=_plan_deno(foundation),
    )
    return JailedSandbox(
        plan=plan,
        launcher=launcher,
        scratch=foundation.scratch,
        cgroups=open_cgroups(),
        pool_size=pool_size,
    )


def build_command(program: str, foundation: Foundation, runner: Path, work: Path) -> list[str]:
    """The bwrap command line of one jail."""
    interpreter = foundation.interpreter
    config = {
        "work": _WORK,
        "filter": foundation.filter_hex,
        "control": CONTROL_DESCRIPTOR,
        "parent": None,
        "landlock": None,
    }
    environment = interpreter.get_environment(_PYTHON)
    return [
        program,
        *("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"),
        *("--unshare-cgroup-try", "--uid", str(UNPRIVILEGED_UID), "--gid", str(UNPRIVILEGED_UID)),
        *("--hostname", "sandbox", "--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL"),
        *("--info-fd", str(INFO_DESCRIPTOR)),
        *(part for name, value in environment.items() for part in ("--setenv", name, value)),
        *_library_mounts(),
        *(part for path in READABLE_EXTRAS for part in ("--ro-bind-try", path, path)),
        *("--ro-bind", str(interpreter.executable), f"{_PYTHON}/bin/python3"),
        *("--ro-bind", str(interpreter.standard_library), f"{_PYTHON}/{interpreter.folder_name}"),
        *(
            part
            for path in interpreter.libraries
            for part in ("--ro-bind", str(path.resolve()), f"{_PYTHON}/lib/{path.name}")
        ),
        *(("--ro-bind", str(foundation.deno), _DENO) if foundation.deno else ()),
        *("--ro-bind", str(runner), _RUNNER, "--ro-bind", str(work), _WORK),
        *("--remount-ro", "/", "--chdir", _WORK, "--"),
        *(f"{_PYTHON}/bin/python3", *FLAGS, _RUNNER, json.dumps(config, separators=(",", ":"))),
    ]


def _plan_deno(foundation: Foundation) -> Deno | None:
    if foundation.deno is None:
        return None
    return Deno(executable=foundation.deno, seen_at=_DENO, filter_hex=foundation.deno_filter_hex)


def _library_mounts() -> list[str]:
    """The library folders as they are here: links as links, folders as read-only mounts."""
    mounts: list[str] = []
    for folder in LIBRARY_FOLDERS:
        if os.path.islink(folder):
            mounts += ["--symlink", os.readlink(folder), folder]
        else:
            mounts += ["--ro-bind-try", folder, folder]
    return mounts


def _kernel_version() -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2])

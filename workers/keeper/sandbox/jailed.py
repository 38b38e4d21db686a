"""The engine both local jails share: a launcher, a pool, one jail per run. They differ in their plan."""

import contextlib
import io
import itertools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.keeper.sandbox.cgroups import Cgroups, Group, GroupLimits
from workers.keeper.sandbox.data import PYTHON, THREADS_MAX, AbortHandle, SandboxRequest, SandboxResult
from workers.keeper.sandbox.deno import LANGUAGES as DENO_LANGUAGES
from workers.keeper.sandbox.deno import Deno, says_out_of_memory, script_name
from workers.keeper.sandbox.errors import SandboxBroken, SandboxRequestInvalid
from workers.keeper.sandbox.following import Streams
from workers.keeper.sandbox.jail import Jail
from workers.keeper.sandbox.judging import get_cpu_limit_seconds, judge
from workers.keeper.sandbox.launching import Launcher, Report
from workers.keeper.sandbox.pool import JailPool
from workers.keeper.sandbox.programs.runner import LOCKED, NO_PROGRAM
from workers.keeper.sandbox.scratch import Scratch, fill_inputs, fill_script

#: Descriptors a jailed program finds open besides its standard streams.
CONTROL_DESCRIPTOR = 3
INFO_DESCRIPTOR = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How one engine asks the launcher for a jail.

    `make_request` gives the launcher's request for a work folder; `tells_pid` says that the program
    writes the pid inside to INFO_DESCRIPTOR; `get_tasks_limit` gives RLIMIT_NPROC for the next job,
    `deno` is None where this machine has none.
    """

    name: str
    make_request: Callable[[Path], Mapping[str, Any]]
    tells_pid: bool
    get_tasks_limit: Callable[[], int]
    deno: Deno | None


class JailedSandbox:
    """A Sandbox of local jails. It belongs to the process that opened it."""

    def __init__(
        self, *, plan: Plan, launcher: Launcher, scratch: Scratch, cgroups: Cgroups | None, pool_size: int
    ) -> None:
        self._plan = plan
        self._deno = plan.deno
        self._launcher = launcher
        self._scratch = scratch
        self._cgroups = cgroups
        self._owner_pid = os.getpid()
        self._cpus = itertools.cycle(sorted(os.sched_getaffinity(0)))
        self._is_closed = False
        self._pool = JailPool(self._start_jail, pool_size)

    @property
    def name(self) -> str:
        """The engine's name."""
        return self._plan.name

    @property
    def languages(self) -> tuple[str, ...]:
        """See Sandbox."""
        return (PYTHON, *(DENO_LANGUAGES if self._deno else ()))

    @property
    def deno(self) -> Deno | None:
        """How Deno is started; None where only Python runs."""
        return self._deno

    def use_deno(self, deno: Deno | None) -> None:
        """From here on start it like this, or never."""
        self._deno = deno

    @property
    def limits(self) -> tuple[str, ...]:
        """The cgroup controllers in use on top of rlimits."""
        return self._cgroups.controllers if self._cgroups else ()

    @property
    def waiting(self) -> int:
        """How many jails wait for a job now."""
        return self._pool.waiting

    def run(self, request: SandboxRequest, handle: AbortHandle | None = None) -> SandboxResult:
        """See Sandbox. A jail that fails before the script begins is replaced once."""
        if os.getpid() != self._owner_pid:
            raise SandboxBroken(reason="a sandbox belongs to the process that opened it")
        if request.language not in self.languages:
            raise SandboxRequestInvalid(reason="no such language runs here", language=request.language)
        handle = handle or AbortHandle()
        try:
            return self._run_in(self._pool.take(), request, handle)
        except SandboxBroken:
            return self._run_in(self._start_jail(), request, handle)

    def close(self) -> None:
        """See Sandbox."""
        if os.getpid() != self._owner_pid:
            return
        self._is_closed = True
        self._pool.close()
        self._launcher.close()
        if self._cgroups is not None:
            self._cgroups.close()
        self._scratch.close()

    def _run_in(self, jail: Jail, request: SandboxRequest, handle: AbortHandle) -> SandboxResult:
        try:
            self._limit_group(jail.group, request)
            fill_inputs(jail.work, request.inputs)
            is_python = request.language == PYTHON
            if not is_python:
                fill_script(jail.work, script_name(request), request.script)
            cpu_before = jail.read_cpu_seconds()
            observed = jail.run(request, self._make_header(request, jail.group), handle)
            if observed.stopped_for is None and not handle.is_aborted:
                if LOCKED not in observed.control:
                    raise SandboxBroken(reason="the jail died before the script began")
                if NO_PROGRAM in observed.control:
                    raise SandboxBroken(reason="the jail could not become the script's runtime")
                if observed.wait_status is None:
                    raise SandboxBroken(reason="the launcher was lost, and the jail with it")
            was_out_of_memory = jail.group is not None and jail.group.was_out_of_memory()
            return judge(
                observed,
                request,
                is_aborted=handle.is_aborted,
                was_out_of_memory=was_out_of_memory or (not is_python and says_out_of_memory(observed)),
                cpu_before=cpu_before,
            )
        finally:
            jail.close()

    def _make_header(self, request: SandboxRequest, group: Group | None) -> dict[str, object]:
        """What the runner limits itself to. Where no quota holds it to its cores, it is pinned to them."""
        has_quota = group is not None and "cpu" in group.folders
        return {
            "memory_bytes": request.memory_bytes,
            "cpu_seconds": get_cpu_limit_seconds(request),
            "tasks": self._plan.get_tasks_limit(),
            "cpus": [] if has_quota else [next(self._cpus) for _ in range(request.cpu_cores)],
            **(self._deno.make_header(request) if self._deno and request.language != PYTHON else {}),
        }

    def _limit_group(self, group: Group | None, request: SandboxRequest) -> None:
        """The job's limits for the whole jail, on top of those the runner sets for its process."""
        if self._cgroups is None or group is None:
            return
        limits = GroupLimits(
            memory_bytes=request.memory_bytes, tasks=THREADS_MAX, cpu_cores=request.cpu_cores
        )
        with contextlib.suppress(OSError):
            self._cgroups.limit(group, limits)

    def _start_jail(self) -> Jail:
        """A jail that waits for its job. Raises SandboxBroken."""
        if self._is_closed:
            raise SandboxBroken(reason="the sandbox is closed")
        work = self._scratch.add_work()
        report = Report()
        stdin, our_stdin = os.pipe()
        our_stdout, stdout = os.pipe()
        our_stderr, stderr = os.pipe()
        our_control, control = os.pipe()
        our_info, info = os.pipe() if self._plan.tells_pid else (None, None)
        streams = Streams(
            stdin=io.FileIO(our_stdin, "wb"),
            stdout=io.FileIO(our_stdout, "rb"),
            stderr=io.FileIO(our_stderr, "rb"),
            control=io.FileIO(our_control, "rb"),
            info=None if our_info is None else io.FileIO(our_info, "rb"),
            report=report,
        )
        theirs = [
            descriptor for descriptor in (stdin, stdout, stderr, control, info) if descriptor is not None
        ]
        jail = Jail(streams=streams, work=work)
        try:
            self._launcher.start(self._plan.make_request(work), [report.theirs.fileno(), *theirs])
        except (OSError, SandboxBroken) as exc:
            jail.close()
            raise SandboxBroken(reason=f"the launcher is lost: {exc}"[:300]) from exc
        finally:
            report.theirs.close()
            for descriptor in theirs:
                os.close(descriptor)
        try:
            jail.wait_ready(self._cgroups)
        except BaseException:
            jail.close()
            raise
        return jail

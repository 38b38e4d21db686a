"""From what was seen of a job to its result. Pure; the same for every engine."""

import os
import signal
from typing import Final

from workers.keeper.sandbox.data import FailureCode, SandboxRequest, SandboxResult, SandboxStatus
from workers.keeper.sandbox.following import Observed
from workers.keeper.sandbox.programs.runner import OUT_OF_MEMORY

#: A shell's and bubblewrap's way of saying "ended by signal n": exit code 128 + n.
SIGNAL_BASE: Final = 128
_LAST_SIGNAL: Final = 64


def judge(
    observed: Observed,
    request: SandboxRequest,
    *,
    is_aborted: bool,
    was_out_of_memory: bool,
    cpu_before: float,
) -> SandboxResult:
    """The result of a job that had begun.

    What the keeper did comes first (abort, deadline, output limit), then what the kernel did
    (memory, CPU limit, signal), then the script's own exit code.
    """
    exit_code = exit_code_of(observed.wait_status)
    cpu_seconds = max(0.0, observed.cpu_seconds - cpu_before)
    code = _failure_of(observed, exit_code, is_aborted, was_out_of_memory)
    if code in (None, FailureCode.SCRIPT_KILLED) and cpu_seconds > get_cpu_limit_seconds(request):
        code = FailureCode.SCRIPT_TIMEOUT
    return SandboxResult(
        status=SandboxStatus.OK if code is None else SandboxStatus.FAILED,
        code=code,
        exit_code=exit_code,
        stdout=observed.stdout,
        stderr_tail=observed.stderr_tail.decode("utf-8", "replace"),
        cpu_seconds=cpu_seconds,
        wall_seconds=observed.wall_seconds,
        peak_memory_bytes=observed.max_resident_kibibytes * 1024,
    )


def get_cpu_limit_seconds(request: SandboxRequest) -> float:
    """The CPU time a job may take: its own limit, else all its cores for the whole deadline.

    The kernel ends a job at the next whole second beyond; one that ended by itself in between has
    still taken too much.
    """
    return request.cpu_seconds or request.deadline_seconds * request.cpu_cores


def exit_code_of(wait_status: int | None) -> int | None:
    """A wait status as an exit code, 128 + n for signal n."""
    if wait_status is None:
        return None
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else SIGNAL_BASE - code


def _failure_of(
    observed: Observed, exit_code: int | None, is_aborted: bool, was_out_of_memory: bool
) -> FailureCode | None:
    if observed.stopped_for is not None:
        return FailureCode.ABORTED if is_aborted else observed.stopped_for
    if exit_code == 0:
        return None
    if is_aborted and exit_code in (None, SIGNAL_BASE + signal.SIGKILL):
        return FailureCode.ABORTED
    if was_out_of_memory or OUT_OF_MEMORY in observed.control:
        return FailureCode.SCRIPT_MEMORY
    if exit_code is None or SIGNAL_BASE < exit_code <= SIGNAL_BASE + _LAST_SIGNAL:
        return FailureCode.SCRIPT_KILLED
    return FailureCode.SCRIPT_FAILED

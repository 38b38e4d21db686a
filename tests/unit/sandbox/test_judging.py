"""From what was seen to what is said: who ended the job decides, in a fixed order."""

import signal
from dataclasses import replace

import pytest

from workers.keeper.sandbox.data import FailureCode, SandboxRequest, SandboxResult
from workers.keeper.sandbox.following import Observed
from workers.keeper.sandbox.judging import exit_code_of, judge

REQUEST = SandboxRequest(script=b"", deadline_seconds=10)
SEEN = Observed(
    stdout=b"out",
    stderr_tail=b"err\xff",
    control=b"L",
    stopped_for=None,
    wait_status=0,
    cpu_seconds=1.5,
    max_resident_kibibytes=2048,
    wall_seconds=3.0,
)


def result_of(seen: Observed, request: SandboxRequest = REQUEST, **facts: bool) -> SandboxResult:
    told = {"is_aborted": False, "was_out_of_memory": False, **facts}
    return judge(seen, request, cpu_before=0.5, **told)


def test_a_script_that_ended_well_is_ok_and_measured():
    result = result_of(SEEN)
    assert (result.status, result.code, result.exit_code) == ("ok", None, 0)
    assert (result.cpu_seconds, result.wall_seconds, result.peak_memory_bytes) == (1.0, 3.0, 2 << 20)
    assert (result.stdout, result.stderr_tail) == (b"out", "err\ufffd")


@pytest.mark.parametrize(
    ("wait_status", "exit_code", "code"),
    [
        (1 << 8, 1, FailureCode.SCRIPT_FAILED),
        (128 << 8, 128, FailureCode.SCRIPT_FAILED),
        (139 << 8, 139, FailureCode.SCRIPT_KILLED),
        (signal.SIGSEGV, 139, FailureCode.SCRIPT_KILLED),
        (signal.SIGKILL, 137, FailureCode.SCRIPT_KILLED),
        (255 << 8, 255, FailureCode.SCRIPT_FAILED),
        (None, None, FailureCode.SCRIPT_KILLED),
    ],
)
def test_an_exit_code_says_whether_it_failed_or_was_killed(
    wait_status: int | None, exit_code: int | None, code: FailureCode
):
    result = result_of(replace(SEEN, wait_status=wait_status))
    assert (result.status, result.exit_code, result.code) == ("failed", exit_code, code)


def test_both_engines_ways_of_telling_a_signal_read_the_same():
    assert exit_code_of(signal.SIGKILL) == exit_code_of((128 + signal.SIGKILL) << 8) == 137


@pytest.mark.parametrize("code", [FailureCode.SCRIPT_TIMEOUT, FailureCode.SCRIPT_OUTPUT_TOO_LARGE])
def test_what_the_keeper_ended_it_for_comes_first(code: FailureCode):
    seen = replace(SEEN, stopped_for=code, wait_status=signal.SIGKILL, control=b"LM")
    assert result_of(seen, was_out_of_memory=True).code == code


def test_an_abort_comes_before_everything():
    seen = replace(SEEN, stopped_for=FailureCode.SCRIPT_TIMEOUT, wait_status=signal.SIGKILL)
    assert result_of(seen, is_aborted=True).code == FailureCode.ABORTED
    assert result_of(replace(seen, stopped_for=None), is_aborted=True).code == FailureCode.ABORTED
    lost = replace(seen, stopped_for=None, wait_status=None)
    assert result_of(lost, is_aborted=True).code == FailureCode.ABORTED


def test_a_script_that_ended_before_its_abort_keeps_its_own_end():
    assert result_of(SEEN, is_aborted=True).status == "ok"
    assert result_of(replace(SEEN, wait_status=1 << 8), is_aborted=True).code == FailureCode.SCRIPT_FAILED


@pytest.mark.parametrize(("control", "was_out_of_memory"), [(b"LM", False), (b"L", True)])
def test_lack_of_memory_is_told_by_the_runner_or_by_the_kernel(control: bytes, was_out_of_memory: bool):
    seen = replace(SEEN, wait_status=1 << 8, control=control)
    assert result_of(seen, was_out_of_memory=was_out_of_memory).code == FailureCode.SCRIPT_MEMORY


def test_a_script_that_ran_short_of_memory_and_still_ended_well_is_ok():
    assert result_of(replace(SEEN, control=b"LM")).status == "ok"


@pytest.mark.parametrize("wait_status", [0, signal.SIGKILL, signal.SIGXCPU])
def test_more_cpu_than_allowed_is_a_timeout_however_it_ended(wait_status: int):
    request = SandboxRequest(script=b"", cpu_seconds=0.9)
    assert result_of(replace(SEEN, wait_status=wait_status), request).code == FailureCode.SCRIPT_TIMEOUT


def test_a_failure_of_its_own_is_no_timeout():
    request = SandboxRequest(script=b"", cpu_seconds=0.9)
    assert result_of(replace(SEEN, wait_status=1 << 8), request).code == FailureCode.SCRIPT_FAILED

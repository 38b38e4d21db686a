"""Requests that no jail takes, and the handle that ends one early."""

import pytest

from workers.keeper.sandbox.data import MEBIBYTE, AbortHandle, SandboxRequest
from workers.keeper.sandbox.errors import SandboxRequestInvalid


@pytest.mark.parametrize(
    "limits",
    [
        {"language": "cobol"},
        {"memory_bytes": MEBIBYTE},
        {"deadline_seconds": 0},
        {"deadline_seconds": -1.0},
        {"deadline_seconds": float("nan")},
        {"deadline_seconds": 1e9},
        {"cpu_seconds": 0},
        {"cpu_cores": 0},
        {"stdout_limit_bytes": -1},
        {"inputs": {"../x": b""}},
    ],
)
def test_a_request_out_of_bounds_is_refused(limits: dict):
    with pytest.raises(SandboxRequestInvalid):
        SandboxRequest(script=b"", **limits)


def test_a_plain_request_has_the_documented_limits():
    request = SandboxRequest(script=b"pass", deadline_seconds=5)
    assert (request.memory_bytes, request.cpu_cores, request.stdout_limit_bytes) == (
        512 * MEBIBYTE,
        1,
        MEBIBYTE,
    )


def test_aborting_kills_what_is_attached():
    handle, killed = AbortHandle(), []
    handle.attach(lambda: killed.append(1))
    handle.abort()
    assert killed == [1]
    assert handle.is_aborted


def test_an_abort_before_the_jail_is_there_kills_it_when_it_comes():
    handle, killed = AbortHandle(), []
    handle.abort()
    handle.attach(lambda: killed.append(1))
    assert killed == [1]


def test_an_abort_after_the_end_kills_nothing():
    handle, killed = AbortHandle(), []
    handle.attach(lambda: killed.append(1))
    handle.detach()
    handle.abort()
    assert killed == []

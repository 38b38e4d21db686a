"""A real prover: its own process, socket and keys, shared by the tests of one test process."""

import contextlib
import os
from pathlib import Path

import pytest

from apps.proofs.keys import ensure_keys
from tests.support.proofs import seeded_draw
from tests.support.waiting import wait_until
from workers.prover.process import ProverProcess


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """A folder with the 16-step circuit's keys."""
    folder = tmp_path_factory.mktemp("prover-keys")
    ensure_keys(folder, 16, draw=seeded_draw())
    return folder


@pytest.fixture(scope="session")
def process(keys, tmp_path_factory):
    """A prover of two slots with its key loaded."""
    socket = tmp_path_factory.mktemp("prover") / "p.sock"
    with ProverProcess(socket=socket, keys=keys, environ={"FOREKEEP_PROOFS_GENERATIONS": "2"}) as started:
        wait_until(lambda: started.client.get_status()["sizes"] == [16], timeout_seconds=60)
        yield started


@pytest.fixture
def prover(process):
    """Its client; nothing runs or waits when the test begins and ends."""
    yield process.client
    wait_until(lambda: is_idle(process.client))
    assert not children_of(process.pid)


def is_idle(client):
    """Whether nothing runs or waits."""
    status = client.get_status()
    return status["running"] == status["waiting"] == 0


def children_of(pid):
    """The process ids of a process' children."""
    with contextlib.suppress(FileNotFoundError):
        return [int(name) for name in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def is_alive(pid):
    """Whether this process is there and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")


def facts_of(pid):
    """(process group, nice value) of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return os.getpgid(pid), int(fields[16])

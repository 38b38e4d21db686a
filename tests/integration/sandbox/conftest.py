"""Every engine this machine has, opened once per test process."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.keeper.sandbox.container import is_engine_there
from workers.keeper.sandbox.data import Sandbox, SandboxRequest, SandboxResult
from workers.keeper.sandbox.errors import SandboxUnavailable
from workers.keeper.sandbox.opening import ENGINES, open_sandbox

PRESENT = [name for name in ENGINES if name != "docker" or is_engine_there()]
GOOD_SCRIPT = b"import json, sys\nprint(json.dumps({'got': json.load(sys.stdin)}))\n"


@pytest.fixture(scope="session", params=PRESENT)
def open_engine(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    try:
        sandbox = open_sandbox(request.param, pool_size=1)
    except SandboxUnavailable as exc:
        pytest.skip(f"this machine has no {request.param}: {exc.reasons}")
    yield sandbox
    sandbox.close()


@pytest.fixture
def engine(open_engine: Sandbox) -> Iterator[Sandbox]:
    """An open engine; after the test it must still run a good script."""
    yield open_engine
    after = run_good_script(open_engine)
    assert (after.status, after.stdout) == ("ok", b'{"got": [1]}\n')


@pytest.fixture
def open_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder any uid may reach and change, as far as mode bits say."""
    folder = Path(f"/tmp/forekeep-open-{os.getpid()}-{tmp_path.name}")
    folder.mkdir()
    folder.chmod(0o777)
    yield folder
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def run_good_script(sandbox: Sandbox) -> SandboxResult:
    return sandbox.run(SandboxRequest(script=GOOD_SCRIPT, stdin=b"[1]", deadline_seconds=20))

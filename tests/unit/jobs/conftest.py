"""Running an example's script as a keeper does."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture
def run(tmp_path):
    """Run a script as a keeper does: one document in, one out, its files under ./inputs."""

    def run_script(script, *, inputs=(), environ=None, **document):
        folder = tmp_path / "inputs"
        folder.mkdir(exist_ok=True)
        for name in inputs:
            shutil.copy(EXAMPLES / "data" / name, folder / name)
        document = {"params": None, "parents": {}, "due_at": "2026-01-01T00:00:00Z", "task": "t", **document}
        done = subprocess.run(
            [sys.executable, *(() if environ else ("-I",)), EXAMPLES / script],
            input=json.dumps({**document, "inputs": list(inputs)}).encode(),
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            check=False,
            timeout=60,
        )
        if done.returncode:
            raise AssertionError(done.stderr.decode())
        assert done.stdout.count(b"\n") == 1
        return json.loads(done.stdout)

    return run_script

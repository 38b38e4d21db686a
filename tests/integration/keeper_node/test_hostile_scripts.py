"""Hostile and broken scripts through a node's whole execution, in the real sandbox of this machine.

Whatever a script does, the keeper answers with a signed receipt that names the failure, and works on.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.execution.data import receipt_from_json
from apps.kernel.eip712 import require_signer
from tests.factories.keepers import DOMAIN
from tests.factories.nodes import make_assignment, make_node, signed
from workers.keeper.execute import execute
from workers.keeper.sandbox.data import Sandbox
from workers.keeper.sandbox.opening import open_sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """The best engine of this machine."""
    engine = open_sandbox("auto", pool_size=1)
    yield engine
    engine.close()


@pytest.fixture
def node(tmp_path: Path, sandbox: Sandbox) -> Any:
    """A node whose sandbox outlives it."""

    class Lent:
        """The shared sandbox, which a node's end does not close."""

        run = staticmethod(sandbox.run)
        languages = sandbox.languages

        def close(self) -> None:
            """The fixture closes it."""

    return make_node(tmp_path, executor=Lent())


def _result(node: Any, source: str, **limits: Any) -> dict[str, Any]:
    spec = {
        "script": {"cid": node.store.put(source.encode()), "language": "python"},
        "limits": {"deadline_seconds": 5, "memory_mb": 128, "cpu_seconds": 5, **limits},
    }
    execute(node, signed(make_assignment(node.address, spec)))
    receipt, signature = receipt_from_json(node.outbox.receipts[-1])
    require_signer(receipt.digest(DOMAIN), signature, node.address)
    return dict(receipt.result)


SOCKET = "import socket; socket.create_connection(('127.0.0.1', 80), 2)"
OPEN = "from pathlib import Path; Path('/etc/forekeep').write_text('x')"
SHADOW = "print(open('/etc/shadow').read())"
FORK = "import os\nwhile True: os.fork()"
SUBPROCESS = "import subprocess; subprocess.run(['/bin/sh', '-c', 'true'], check=True)"


@pytest.mark.parametrize(
    ("source", "codes"),
    [
        ("while True: pass", {"script_timeout"}),
        ("import time; time.sleep(60)", {"script_timeout"}),
        ("x = bytearray(10**10); print('{}')", {"script_memory", "script_failed", "script_killed"}),
        (
            "x = []\nwhile True: x.append(bytearray(10**7))",
            {"script_memory", "script_failed", "script_killed"},
        ),
        ("while True: print('x' * 10**6)", {"script_output_too_large"}),
        ("print('x' * (2 * 1024 * 1024))", {"script_output_too_large"}),
        (FORK, {"script_failed", "script_killed", "script_timeout"}),
        (SUBPROCESS, {"script_failed", "script_killed"}),
        (SOCKET, {"script_failed", "script_killed"}),
        (OPEN, {"script_failed", "script_killed"}),
        (SHADOW, {"script_failed", "script_killed"}),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", {"script_killed", "script_failed"}),
        ("raise SystemExit(3)", {"script_failed"}),
        ("1 / 0", {"script_failed"}),
        ("this is no python", {"script_failed"}),
        ("", {"script_not_json"}),
        ("print('hello')", {"script_not_json"}),
        ("print('{}'); print('{}')", {"script_not_json"}),
        ("print('[1]')", {"script_output_not_object"}),
        ("import json; print(json.dumps({'big': 2**70}))", {"script_not_json"}),
        ("import sys; sys.stdout.buffer.write(b'\\xff\\xfe')", {"script_not_json"}),
    ],
)
def test_a_script_that_misbehaves_fails_with_its_code_and_the_node_works_on(
    node: Any, source: str, codes: set[str]
) -> None:
    limits = {"deadline_seconds": 1} if codes == {"script_timeout"} else {}

    result = _result(node, source, **limits)

    assert result["status"] == "failed"
    assert result["error_code"] in codes, result
    assert _result(node, "print('{}')")["status"] == "ok"


def test_a_scripts_failure_carries_the_end_of_its_errors_and_what_it_took(node: Any) -> None:
    result = _result(node, "x = sum(range(10**6))\nraise ValueError('the rows do not add up')")

    assert "the rows do not add up" in result["error_detail"]
    assert result["cpu_ms"] > 0
    assert result["wall_ms"] > 0


def test_a_script_sees_neither_the_keepers_environment_nor_its_files(
    node: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEPER_SECRET_FOR_TEST", "hunter2")
    source = f"""
import json, os
found = dict(os.environ)
try:
    found["listing"] = os.listdir({str(tmp_path)!r})
except OSError as exc:
    found["refused"] = type(exc).__name__
print(json.dumps({{"found": sorted(found)}}))
"""

    result = _result(node, source)

    output = node.store.get(result["output_cid"])
    assert b"KEEPER_SECRET_FOR_TEST" not in output
    assert b"listing" not in output
    assert b"refused" in output


def test_the_same_script_gives_the_same_bytes_every_time(node: Any) -> None:
    source = "import json; print(json.dumps({'hash': str(hash('x')), 'set': list({'a', 'b', 'c'})}))"

    first, second = _result(node, source), _result(node, source)

    assert first["output_cid"] == second["output_cid"]

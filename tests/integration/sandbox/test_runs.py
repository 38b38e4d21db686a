"""What an honest script sees and what is said of its run, the same on every engine present."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.sandbox.attacks import PREAMBLE
from workers.keeper.sandbox.data import MEBIBYTE, FailureCode, Sandbox, SandboxRequest
from workers.keeper.sandbox.output import parse_output


def test_a_script_reads_its_stdin_and_its_inputs_and_prints_its_answer(engine: Sandbox):
    script = b"""
import csv, json, sys
told = json.load(sys.stdin)
with open("inputs/prices.csv") as file:
    rows = list(csv.DictReader(file))
print(json.dumps({"symbol": told["params"], "high": max(int(row["price"]) for row in rows)}))
"""
    request = SandboxRequest(
        script=script, stdin=b'{"params": "ACME"}', inputs={"prices.csv": b"day,price\n1,7\n2,9\n"}
    )
    result = engine.run(request)
    assert (result.status, result.code, result.exit_code) == ("ok", None, 0)
    assert parse_output(result.stdout) == {"symbol": "ACME", "high": 9}
    assert result.stderr_tail == ""


def test_what_a_script_took_is_measured(engine: Sandbox):
    script = b"kept = bytearray(80 << 20)\nfor _ in range(4_000_000): pass\n"
    result = engine.run(SandboxRequest(script=script))
    assert result.status == "ok"
    assert 80 * MEBIBYTE <= result.peak_memory_bytes < 140 * MEBIBYTE
    assert 0.02 < result.cpu_seconds <= result.wall_seconds + 0.05

    idle = engine.run(SandboxRequest(script=b"import time; time.sleep(0.3)"))
    assert idle.cpu_seconds < 0.15
    assert idle.wall_seconds >= 0.3
    assert idle.peak_memory_bytes < 40 * MEBIBYTE


@pytest.mark.parametrize(
    ("script", "exit_code", "said"),
    [
        (b"raise SystemExit", 0, ""),
        (b"exit()", 0, ""),
        (b"import sys; sys.exit(3)", 3, ""),
        (b"raise SystemExit('no prices')", 1, "no prices\n"),
        (b"import os; os._exit(9)", 9, ""),
        (b"1/0", 1, "ZeroDivisionError: division by zero\n"),
        (b"raise KeyboardInterrupt", 1, "KeyboardInterrupt\n"),
        (b"def f(:\n", 1, "SyntaxError: invalid syntax\n"),
    ],
)
def test_a_script_ends_with_its_own_exit_code(engine: Sandbox, script: bytes, exit_code: int, said: str):
    result = engine.run(SandboxRequest(script=script))
    assert result.exit_code == exit_code
    assert result.code == (FailureCode.SCRIPT_FAILED if exit_code else None)
    assert result.stderr_tail.endswith(said)


def test_a_traceback_shows_the_scripts_own_lines_and_no_others(engine: Sandbox):
    result = engine.run(SandboxRequest(script=b"def halve(x):\n    return x / 0  # here\n\nhalve(1)\n"))
    assert "return x / 0  # here" in result.stderr_tail
    assert 'File "script.py", line 4, in <module>' in result.stderr_tail
    assert "runner" not in result.stderr_tail


def test_only_the_tail_of_stderr_is_kept(engine: Sandbox):
    script = b"import sys\nfor n in range(10_000): print('line', n, file=sys.stderr)"
    result = engine.run(SandboxRequest(script=script))
    assert len(result.stderr_tail) == 4096
    assert result.stderr_tail.endswith("line 9999\n")


def test_output_of_a_failed_script_is_kept(engine: Sandbox):
    result = engine.run(SandboxRequest(script=b"print('so far', flush=True)\n1/0"))
    assert result.stdout == b"so far\n"


@pytest.mark.parametrize("size", [0, 1, 65_536, 3 * MEBIBYTE])
def test_a_large_stdin_arrives_whole(engine: Sandbox, size: int):
    script = b"import sys; data = sys.stdin.buffer.read(); print(len(data), set(data))"
    result = engine.run(SandboxRequest(script=script, stdin=b"\x07" * size))
    assert result.stdout == f"{size} { ({7} if size else set()) }\n".encode()


def test_a_script_that_ignores_a_large_stdin_is_no_failure(engine: Sandbox):
    result = engine.run(SandboxRequest(script=b"print('done')", stdin=bytes(3 * MEBIBYTE)))
    assert (result.status, result.stdout) == ("ok", b"done\n")


def test_the_whole_standard_library_can_be_imported(engine: Sandbox):
    script = b"""
import importlib, json, sys
left_out = {"antigravity", "this", "idlelib", "tkinter", "turtle", "turtledemo", "ensurepip", "lib2to3",
            "msilib", "winreg", "winsound", "_winapi", "msvcrt", "nt", "_scproxy", "_overlapped", "venv"}
failed = {}
for name in sorted(sys.stdlib_module_names - left_out):
    if name.startswith('_'):
        continue
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        pass
    except Exception as exc:
        failed[name] = repr(exc)
import decimal, hashlib, sqlite3, zoneinfo
print(json.dumps(failed))
"""
    result = engine.run(SandboxRequest(script=b"import warnings; warnings.simplefilter('ignore')\n" + script))
    assert (result.status, parse_output(result.stdout)) == ("ok", {}), result.stderr_tail


def test_packages_of_the_machine_are_not_there(engine: Sandbox):
    script = b"""
import importlib, sys
for name in ("django", "pip", "setuptools", "numpy", "requests"):
    try:
        importlib.import_module(name)
        print("there is", name)
    except ModuleNotFoundError:
        pass
print([path for path in sys.path if "site-packages" in path or "dist-packages" in path])
"""
    assert engine.run(SandboxRequest(script=script)).stdout == b"[]\n"


def test_the_script_runs_on_the_keepers_own_version_of_python(engine: Sandbox):
    result = engine.run(SandboxRequest(script=b"import sys; print(list(sys.version_info[:2]))"))
    assert json.loads(result.stdout) == list(sys.version_info[:2])


def test_time_and_language_are_the_same_everywhere(engine: Sandbox):
    script = b"import sys, time; print(time.tzname, time.localtime(0)[:6], sys.stdout.encoding, 'h\xc3\xa9')"
    result = engine.run(SandboxRequest(script=script))
    assert result.stdout.decode() == "('UTC', 'UTC') (1970, 1, 1, 0, 0, 0) utf-8 hé\n"


def test_the_attacks_are_real_ones(tmp_path: Path):
    """Outside a jail the attacking scripts' helpers do gain what they try for."""
    script = """
attempt("fork", lambda: os.waitpid(os.fork() or os._exit(0), 0))
attempt("read", lambda: open("/etc/passwd").read(5))
attempt("list", os.listdir, "/")
attempt("socket", lambda: socket.socket().close())
attempt("write", lambda: open(told + "/intruder", "w").close())
attempt("call", call, 39)
attempt("refused", call, 9999)
"""
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + script],
        input=json.dumps(str(tmp_path)).encode(),
        capture_output=True,
        check=True,
    )
    assert [name for name, _ in json.loads(done.stdout)] == [
        "fork",
        "read",
        "list",
        "socket",
        "write",
        "call",
    ]

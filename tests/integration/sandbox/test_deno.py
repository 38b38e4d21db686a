"""JavaScript and TypeScript in the jails: the same interface and the same failures as Python's."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.sandbox.test_lifecycle import below, launcher_pid
from tests.support.waiting import wait_until
from workers.keeper.sandbox.data import (
    MEBIBYTE,
    TYPESCRIPT,
    AbortHandle,
    FailureCode,
    Sandbox,
    SandboxRequest,
    SandboxResult,
)
from workers.keeper.sandbox.errors import SandboxRequestInvalid


@pytest.fixture
def deno(engine: Sandbox) -> Sandbox:
    if TYPESCRIPT not in engine.languages:
        pytest.skip(f"{engine.name} has no deno here")
    return engine


def run(sandbox: Sandbox, script: str, handle: AbortHandle | None = None, **facts: Any) -> SandboxResult:
    facts = {"language": TYPESCRIPT, "deadline_seconds": 20.0, "memory_bytes": 256 * MEBIBYTE, **facts}
    return sandbox.run(SandboxRequest(script=script.encode(), **facts), handle)


def test_a_typed_script_reads_its_document_and_its_inputs_and_prints_its_answer(deno: Sandbox):
    script = """
    enum Side { Buy = "buy", Sell = "sell" }
    interface Told { params: { symbol: string }; inputs: string[] }
    const told: Told = await new Response(Deno.stdin.readable).json();
    const text = Deno.readTextFileSync(`inputs/${told.inputs[0]}`);
    const prices: number[] = text.trim().split("\\n").map(Number);
    const high = prices.reduce((a, b) => Math.max(a, b), 0);
    console.log(JSON.stringify({ symbol: told.params.symbol, high, side: Side.Sell }));
    """
    told = {"params": {"symbol": "ACME"}, "inputs": ["prices"]}
    result = run(deno, script, stdin=json.dumps(told).encode(), inputs={"prices": b"7\n9\n8\n"})
    assert (result.status, result.code, result.exit_code) == ("ok", None, 0), result
    assert json.loads(result.stdout) == {"symbol": "ACME", "high": 9, "side": "sell"}
    assert result.stderr_tail == ""
    assert 0 < result.cpu_seconds < 10
    assert 20 * MEBIBYTE < result.peak_memory_bytes < 128 * MEBIBYTE


def test_a_plain_script_runs_too_and_types_are_no_javascript(deno: Sandbox):
    assert run(deno, "console.log([1, 2].map((n) => n * 2).length)", language="javascript").stdout == b"2\n"
    typed = run(deno, "const a: number = 1;", language="javascript")
    assert (typed.code, typed.exit_code) == (FailureCode.SCRIPT_FAILED, 1)


@pytest.mark.parametrize("size", [0, 65_536, 3 * MEBIBYTE])
def test_a_large_stdin_arrives_whole(deno: Sandbox, size: int):
    script = "console.log((await new Response(Deno.stdin.readable).bytes()).length)"
    assert run(deno, script, stdin=b"\x07" * size).stdout == f"{size}\n".encode()


def test_two_runs_print_the_same(deno: Sandbox):
    script = """
    const random = Array.from({ length: 5 }, Math.random);
    const zone = new Date(0).toString();
    console.log(JSON.stringify([random, zone, (1234.5).toLocaleString(), navigator.language, 0.1 + 0.2]));
    """
    first, second = run(deno, script), run(deno, script)
    assert first.status == "ok"
    assert first.stdout == second.stdout
    assert b"GMT+0000" in first.stdout


@pytest.mark.parametrize(
    ("script", "exit_code", "said"),
    [
        ("throw new Error('no prices')", 1, "Error: no prices"),
        ("await Promise.reject(new TypeError('late'))", 1, "TypeError: late"),
        ("Deno.exit(3)", 3, ""),
        ("const a = ;", 1, "SyntaxError"),
        ("console.error('why'); Deno.exit(1)", 1, "why"),
        ("import x from 'https://example.org/x.ts'; console.log(x)", 1, "error:"),
        ("await import('npm:lodash')", 1, "error:"),
        ("await new Promise(() => {})", 1, "Top-level await promise never resolved"),
    ],
)
def test_a_failing_script_fails_with_its_own_words(deno: Sandbox, script: str, exit_code: int, said: str):
    result = run(deno, script)
    assert (result.code, result.exit_code) == (FailureCode.SCRIPT_FAILED, exit_code)
    assert said in result.stderr_tail


@pytest.mark.parametrize(
    "script",
    [
        "for (;;) {}",
        "await new Promise((done) => setTimeout(done, 1e9))",
        "setInterval(() => {}, 10)",
        "/(a+)+$/.test('a'.repeat(60) + 'b')",
        "try { for (;;) {} } finally { for (;;) {} }",
    ],
)
def test_a_script_without_end_is_ended_at_its_deadline(deno: Sandbox, script: str):
    result = run(deno, script, deadline_seconds=0.8)
    assert result.code == FailureCode.SCRIPT_TIMEOUT
    assert 0.8 <= result.wall_seconds < 8


def test_a_script_that_burns_its_cpu_limit_is_ended_long_before_its_deadline(deno: Sandbox):
    result = run(deno, "for (;;) {}", cpu_seconds=0.5, deadline_seconds=60.0)
    assert result.code == FailureCode.SCRIPT_TIMEOUT
    assert result.cpu_seconds < 3


@pytest.mark.parametrize(
    "script",
    [
        "const kept = []; for (;;) kept.push(new Array(1000).fill(kept.length + 0.5));",
        "const kept = []; for (;;) kept.push(new Uint8Array(1 << 24).fill(7));",
        "new Uint8Array(2 ** 31).fill(1);",
        "const kept = []; for (;;) kept.push({ name: 'x'.repeat(10) + kept.length });",
        "const kept = new Map(); for (;;) kept.set(kept.size, String(kept.size));",
        "const kept = []; for (;;) { const m = new WebAssembly.Memory({ initial: 1000 });"
        " new Uint8Array(m.buffer).fill(1); kept.push(m); }",
        "const kept = []; for (;;) kept.push(new Uint8Array(new SharedArrayBuffer(1 << 24)).fill(1));",
    ],
)
def test_more_memory_than_allowed_ends_the_script(deno: Sandbox, script: str):
    result = run(deno, script, memory_bytes=192 * MEBIBYTE, deadline_seconds=60.0)
    assert result.code == FailureCode.SCRIPT_MEMORY
    assert result.peak_memory_bytes <= 384 * MEBIBYTE


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_two_gigabytes_of_output_are_cut_short(deno: Sandbox, stream: str):
    script = f"""
    const block = new Uint8Array(1 << 20).fill(120);
    for (let n = 0; n < 2048; n++) Deno.{stream}.writeSync(block);
    """
    result = run(deno, script, deadline_seconds=60.0)
    assert result.code == FailureCode.SCRIPT_OUTPUT_TOO_LARGE
    assert len(result.stdout) <= MEBIBYTE
    assert len(result.stderr_tail) <= 4096


def test_abort_from_another_thread_ends_the_run_and_leaves_no_process(deno: Sandbox):
    handle = AbortHandle()
    timer = threading.Timer(0.4, handle.abort)
    timer.start()
    started_at = time.monotonic()
    result = run(deno, "for (;;) {}", handle, deadline_seconds=300.0)
    assert result.code == FailureCode.ABORTED
    assert time.monotonic() - started_at < 20
    wait_until(lambda: not any(is_deno(pid) for pid in below(launcher_pid(deno))))


def is_deno(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith("deno")
    except OSError:
        return False


def test_an_engine_without_deno_refuses_the_script_and_says_so(deno: Sandbox):
    kept = deno.deno  # type: ignore[attr-defined]
    deno.use_deno(None)  # type: ignore[attr-defined]
    try:
        assert deno.languages == ("python",)
        with pytest.raises(SandboxRequestInvalid):
            run(deno, "1")
    finally:
        deno.use_deno(kept)  # type: ignore[attr-defined]

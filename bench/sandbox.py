"""What a jail costs: latency of one small script, cold and from the pool, against a bare interpreter.

    python -m bench.sandbox [runs]

All of them run in turn in the same process, so that a busy machine slows them alike; read the ratios.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from bench.figures import Figure, tell
from workers.keeper.sandbox.data import TYPESCRIPT, SandboxRequest
from workers.keeper.sandbox.deno import find_deno
from workers.keeper.sandbox.errors import SandboxUnavailable
from workers.keeper.sandbox.interpreter import find_interpreter
from workers.keeper.sandbox.jailed import JailedSandbox
from workers.keeper.sandbox.opening import PREFERRED, open_sandbox

REQUEST = SandboxRequest(
    script=b"import json, sys\nprint(json.dumps([json.load(sys.stdin), open('inputs/a').read()]))\n",
    stdin=b'{"due_at": "2026-11-20T00:00:00Z", "params": null}',
    inputs={"a": b"x" * 4096},
)
DENO_REQUEST = replace(
    REQUEST,
    language=TYPESCRIPT,
    script=b"const told: object = await new Response(Deno.stdin.readable).json();\n"
    b"console.log(JSON.stringify([told, Deno.readTextFileSync('inputs/a')]));\n",
)
POOL_SIZE = 2
BARE_PYTHON, BARE_DENO = "bare python -I", "bare deno run"


def measure(act: Callable[[], object], before: Callable[[], None] = lambda: None) -> float:
    """Milliseconds of one call."""
    before()
    started_at = time.perf_counter()
    act()
    return (time.perf_counter() - started_at) * 1000


def wait_for_pool(sandbox: JailedSandbox) -> None:
    """Until the pool is full, so that a pooled run is one."""
    while sandbox.waiting < POOL_SIZE:
        time.sleep(0.001)


def run_in(sandbox: JailedSandbox, request: SandboxRequest = REQUEST) -> Callable[[], object]:
    """One run that must succeed."""

    def run() -> object:
        result = sandbox.run(request)
        if result.status != "ok":
            raise SystemExit(f"{sandbox.name}: {result}")
        return result

    return run


def measure_rate(run: Callable[[], object], runs: int) -> float:
    """Runs per second from two threads."""
    with ThreadPoolExecutor(2) as pool:
        started_at = time.perf_counter()
        list(pool.map(lambda _: run(), range(runs)))
        return runs / (time.perf_counter() - started_at)


def main(runs: int) -> None:
    """Print the table."""
    python = str(find_interpreter().executable)
    cases: dict[str, tuple[Callable[[], object], Callable[[], None]]] = {
        BARE_PYTHON: (lambda: subprocess.run([python, "-I", "-c", "pass"], check=True), lambda: None),
        "bare python -I -S": (
            lambda: subprocess.run([python, "-I", "-S", "-c", "pass"], check=True),
            lambda: None,
        ),
    }
    deno = find_deno()
    if deno is not None:
        command = [str(deno), "run", "--no-config", "--no-lock", "--no-remote", "--no-npm", "-"]
        cases[BARE_DENO] = (
            lambda: subprocess.run(command, input=b"", check=True, env={"DENO_NO_UPDATE_CHECK": "1"}),
            lambda: None,
        )
    opened: list[JailedSandbox] = []
    for name in PREFERRED:
        for label, pool_size in (("cold", 0), ("pooled", POOL_SIZE)):
            try:
                sandbox = open_sandbox(name, pool_size=pool_size)
            except SandboxUnavailable as exc:
                print(f"{name}: {exc.reasons}", file=sys.stderr)
                continue
            assert isinstance(sandbox, JailedSandbox)
            opened.append(sandbox)
            wait = (lambda kept: lambda: wait_for_pool(kept))(sandbox) if pool_size else (lambda: None)
            cases[f"{name} {label}"] = (run_in(sandbox), wait)
            if TYPESCRIPT in sandbox.languages:
                cases[f"{name} {label}, deno"] = (run_in(sandbox, DENO_REQUEST), wait)

    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(runs):
        for name, (act, before) in cases.items():
            times[name].append(measure(act, before))

    bases = {
        beside: statistics.median(times[beside]) for beside in (BARE_PYTHON, BARE_DENO) if beside in times
    }
    print(f"one small script, {runs} runs each, in turn")
    for name, values in times.items():
        p50, p99 = statistics.median(values), statistics.quantiles(values, n=100)[98]
        beside = BARE_DENO if name.endswith("deno") or name == BARE_DENO else BARE_PYTHON
        tell(
            [
                Figure(
                    bench="sandbox",
                    name=f"{name}, p50",
                    value=p50,
                    unit="ms",
                    ratio=p50 / bases[beside],
                    beside=beside,
                )
            ]
        )
        tell([Figure(bench="sandbox", name=f"{name}, p99", value=p99, unit="ms")])

    for sandbox in opened:
        if sandbox.waiting:
            rate, name = measure_rate(run_in(sandbox), runs), f"{sandbox.name} pooled, two at a time"
            tell([Figure(bench="sandbox", name=name, value=rate, unit="/s")])
        sandbox.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)

"""Creating jobs over the REST API of the real web process: latency at 100 requests/s, and the highest rate.

    python -m bench.api [--seconds 10] [--database postgresql://…]

Open loop: requests start on time whether or not earlier ones were answered. Beside it, in the same run and
at the same rate: GET /healthz, which is the same server and middleware without a database. The highest rate
is the last step at which all are answered, at the offered rate, with p99 below 250 ms.
"""

import argparse
import json
import os
import sys
from typing import Any, Final

from bench.database import scratch_database
from bench.deployment import Scratch, run_in_deployment
from bench.errors import BenchFailed, run_bench, run_to_end
from bench.figures import Figure, percentile, tell
from bench.load import Load, request_bytes, run_load
from bench.pipeline import load_text
from project.embedded.home import API_KEY_FILE

_RATE: Final = 100.0
_LIMIT_MS: Final = 50.0
_SUSTAINED_MS: Final = 250.0
_STEP: Final = 1.25
_STEP_SECONDS: Final = 3.0
_SCRIPT: Final = "import json, sys\nprint(json.dumps({'seen': json.load(sys.stdin)['params']}))\n"


def main() -> None:
    """Measure on SQLite, and on PostgreSQL where its URL is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long 100 requests/s are kept up")
    parser.add_argument("--database", default=os.environ.get("DATABASE_URL", ""))
    parser.add_argument("--only", choices=("sqlite", "postgresql"), default="")
    options = parser.parse_args()
    if options.only == "postgresql":
        with scratch_database(options.database) as url:
            bench_on("PostgreSQL", {"DATABASE_URL": url}, options.seconds)
        return
    bench_on("SQLite", {}, options.seconds)
    if options.database and options.only != "sqlite":
        run_to_end(
            [sys.executable, "-m", "bench.api", *sys.argv[1:], "--only", "postgresql"], timeout_seconds=400
        )


def bench_on(database: str, overrides: dict[str, str], seconds: float) -> None:
    """One deployment on one database."""
    print(f"API on {database}: POST /api/v1/jobs, open loop; load {load_text()}")
    environment = {
        "FOREKEEP_WEB_RATE_LIMIT_PER_MINUTE": "10000000",
        "LOG_LEVEL": "WARNING",
        **overrides,
    }
    figures = run_in_deployment(
        environment, lambda scratch: measure(scratch, f"API, {database}", seconds), timeout_seconds=300
    )
    tell(figures)


def measure(scratch: Scratch, bench: str, seconds: float) -> list[Figure]:
    """Warm up, then the peer and the jobs at 100/s, then faster and faster."""
    port = scratch.plan.ports["web"]
    key = (scratch.plan.home / API_KEY_FILE).read_text().strip()
    headers = {
        "Host": f"127.0.0.1:{port}",
        "Authorization": f"Bearer {key}",
        "Content-Type": "application/json",
    }

    def create(number: int) -> bytes:
        return request_bytes("POST", "/api/v1/jobs", headers, _body(number))

    def ask_health(number: int) -> bytes:
        del number
        return request_bytes("GET", "/healthz", headers)

    def load(make: Any, rate: float, long: float) -> Load:
        found = run_load("127.0.0.1", port, rate=rate, seconds=long, make=make)
        if scratch.is_over.is_set():
            raise BenchFailed("stopped meanwhile")
        return found

    _require_all(load(create, _RATE / 2, 3.0), 201)
    peer = load(ask_health, _RATE, min(seconds, 5.0))
    before = scratch.cpu_seconds()
    jobs = load(create, _RATE, seconds)
    used = {name: after - before.get(name, 0.0) for name, after in scratch.cpu_seconds().items()}
    _require_all(peer, 200)
    _require_all(jobs, 201)
    best = _RATE
    while True:
        step = load(create, best * _STEP, _STEP_SECONDS)
        if not _is_sustained(step):
            break
        best *= _STEP
    return _figures(bench, jobs, peer, best, used.get("web", 0.0))


def _figures(bench: str, jobs: Load, peer: Load, best: float, web_seconds: float) -> list[Figure]:
    def at(load: Load, share: float) -> float:
        return percentile(load.latencies, share) * 1e3

    healthz = "GET /healthz at the same rate"
    p50, p99 = at(jobs, 0.5), at(jobs, 0.99)
    return [
        Figure(
            bench=bench,
            name="create job at 100/s, p50",
            value=p50,
            unit="ms",
            ratio=p50 / at(peer, 0.5),
            beside=healthz,
        ),
        Figure(
            bench=bench,
            name="create job at 100/s, p99",
            value=p99,
            unit="ms",
            ratio=p99 / _LIMIT_MS,
            beside="the limit, 50 ms",
        ),
        Figure(bench=bench, name="GET /healthz at 100/s, p99 (peer)", value=at(peer, 0.99), unit="ms"),
        Figure(
            bench=bench,
            name="create job, highest sustained rate",
            value=best,
            unit="/s",
            ratio=best / _RATE,
            beside="100/s",
        ),
        Figure(
            bench=bench,
            name="CPU of web per request",
            value=web_seconds * 1e3 / len(jobs.latencies),
            unit="ms",
        ),
    ]


def _is_sustained(load: Load) -> bool:
    return (
        set(load.statuses) == {201}
        and load.answered_per_second > 0.95 * load.offered_per_second
        and percentile(load.latencies, 0.99) * 1e3 < _SUSTAINED_MS
    )


def _require_all(load: Load, status: int) -> None:
    if set(load.statuses) != {status}:
        raise BenchFailed(f"not all were answered with {status}: {load.statuses}")


def _body(number: int) -> bytes:
    """A job of one scripted step that reports to a contract once a day."""
    step = {
        "key": "main",
        "script_source": _SCRIPT,
        "params": {"number": number},
        "limits": {"deadline_seconds": 30, "memory_mb": 128, "cpu_seconds": 10},
    }
    return json.dumps(
        {
            "name": f"bench {number}",
            "trigger_kind": "time",
            "schedule": {"kind": "cron", "expression": "0 6 * * *", "zone": "Europe/Berlin"},
            "steps": [step],
        }
    ).encode()


if __name__ == "__main__":
    run_bench(main)

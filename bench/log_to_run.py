"""From a log on the chain to its run's row: real listener, stages, broker and node.

    python -m bench.log_to_run [--logs 200] [--confirmations 1] [--database postgresql://…]

On a private SQLite file, or on PostgreSQL (a scratch database of its own) where `--database` names a server.
The clock starts when the node is asked for the log, and runs until the committed row is seen, the blocks that
confirm the log included. Beside it, in the same run: the limit of 100 ms, and how long the same log takes to
a bare WebSocket subscription.
"""

import argparse
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from bench.database import scratch_database
from bench.deployment import Scratch, run_in_deployment
from bench.errors import run_bench
from bench.figures import Figure, percentile, tell
from bench.pipeline import load_text

if TYPE_CHECKING:
    from bench.logs import Delays

_LIMIT_SECONDS: Final = 0.1


def main() -> None:
    """Run the bench on one database and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logs", type=int, default=200)
    parser.add_argument("--confirmations", type=int, default=1)
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between a run and the next log")
    parser.add_argument("--database", default="")
    options = parser.parse_args()
    if options.database:
        with scratch_database(options.database) as url:
            bench_on("PostgreSQL", {"DATABASE_URL": url}, options)
        return
    bench_on("SQLite", {}, options)


def bench_on(database: str, overrides: dict[str, str], options: Any) -> None:
    """One deployment on one database."""
    print(
        f"log to run on {database}: {options.logs} logs, {options.confirmations} confirmations; {load_text()}"
    )
    environment = {
        "EXECUTOR": "bench.noop:open_noop",
        "FOREKEEP_BENCH": "1",
        "LOG_LEVEL": "WARNING",
        **overrides,
    }
    delays = run_in_deployment(
        environment,
        lambda scratch: measure(scratch, options),
        timeout_seconds=180 + options.logs * (1 + options.pause),
    )
    tell(figures_of(f"log to run, {database}", delays))


def measure(scratch: Scratch, options: Any) -> "Delays":
    """A few logs to warm up, then those that count."""
    scratch.set_up_django()
    logs, driving = import_module("bench.logs"), import_module("bench.driving")
    driving.wait_for_keepers(scratch, 5)
    logs.measure_logs(scratch, 5, confirmations=options.confirmations, pause_seconds=options.pause)
    found: Delays = logs.measure_logs(
        scratch, options.logs, confirmations=options.confirmations, pause_seconds=options.pause
    )
    return found


def figures_of(bench: str, delays: "Delays") -> list[Figure]:
    """p50 and p99 of both, each beside the limit and the bare subscription."""
    figures: list[Figure] = []
    for share in (50, 99):
        run = percentile(delays.opened, share / 100)
        bare = percentile(delays.heard, share / 100)
        name = f"log → run row, p{share}"
        figures += [
            Figure(
                bench=bench,
                name=name,
                value=run * 1e3,
                unit="ms",
                ratio=run / _LIMIT_SECONDS,
                beside="the limit, 100 ms",
            ),
            Figure(
                bench=bench,
                name=name,
                value=run * 1e3,
                unit="ms",
                ratio=run / bare,
                beside="a bare subscription",
            ),
            Figure(bench=bench, name=f"log → bare subscription, p{share}", value=bare * 1e3, unit="ms"),
        ]
    return figures


if __name__ == "__main__":
    run_bench(main)

"""How late a firing is: many jobs due at one instant, on a deployment that is up.

    python -m bench.fires [--jobs 10,1000,10000] [--database postgresql://…]

Lateness is what somebody else sees: from the instant to the moment at which the committed row is there to be
read, looked for every few milliseconds. Told twice: for the firing itself, which is marked with all others of
its instant at once, and for its open run. Beside it, in the same run: the limit of 250 ms for a thousand, and
what the same look costs on its own.
"""

import argparse
import time
from importlib import import_module
from typing import Any, Final

from bench.database import scratch_database
from bench.deployment import Scratch, run_in_deployment
from bench.errors import run_bench
from bench.figures import Figure, percentile, tell
from bench.pipeline import load_text

LIMIT_SECONDS: Final = 0.25
_EACH_JOB_SECONDS: Final = 0.02


def main() -> None:
    """One deployment, one instant after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", default="10,1000,10000")
    parser.add_argument("--database", default="")
    options = parser.parse_args()
    counts = [int(text) for text in options.jobs.split(",")]
    if options.database:
        with scratch_database(options.database) as url:
            bench_on("PostgreSQL", {"DATABASE_URL": url}, counts)
        return
    bench_on("SQLite", {}, counts)


def bench_on(database: str, overrides: dict[str, str], counts: list[int]) -> None:
    """All counts on one database."""
    print(f"fires on {database}: {counts} jobs due at once; {load_text()}")
    environment = {
        "EXECUTOR": "bench.noop:open_noop",
        "FOREKEEP_BENCH": "1",
        "FOREKEEP_PROOFS_IS_REQUIRED": "0",
        "LOG_LEVEL": "WARNING",
        **overrides,
    }
    run_in_deployment(
        environment,
        lambda scratch: measure_all(scratch, database, counts),
        timeout_seconds=300 + sum(counts) * 0.1,
    )


def measure_all(scratch: Scratch, database: str, counts: list[int]) -> None:
    """One count after the other; each figure is told at once."""
    for count in counts:
        tell(measure(scratch, database, count))


def measure(scratch: Scratch, database: str, count: int) -> list[Figure]:
    """Create the jobs, then watch their firings and runs appear."""
    scratch.set_up_django()
    driving: Any = import_module("bench.driving")
    models: Any = import_module("apps.jobs.models")
    tasks: Any = import_module("apps.tasks.models")
    selectors: Any = import_module("apps.eventlog.selectors")
    timedelta = import_module("datetime").timedelta

    at = selectors.get_database_now() + timedelta(seconds=8 + count * _EACH_JOB_SECONDS)
    jobs = [driving.make_job(1, [at]).id for _ in range(count)]
    firings = models.Firing.objects.filter(due_at=at).exclude(status="pending")
    runs = tasks.Run.objects.filter(due_at=at)
    scratch.wait_for(
        lambda: models.Firing.objects.filter(due_at=at).count() == len(jobs), 120, what="the look-ahead"
    )
    early = selectors.get_database_now() < at
    seen: dict[str, list[float]] = {"firing": [], "run": []}
    look = 0.0
    deadline = time.monotonic() + 120 + count * 0.05
    while len(seen["run"]) < count and time.monotonic() < deadline:
        began = time.perf_counter()
        found = {"firing": firings.count(), "run": runs.count()}
        late = (selectors.get_database_now() - at).total_seconds()
        look = time.perf_counter() - began
        for name, number in found.items():
            seen[name] += [late] * (number - len(seen[name]))
        scratch.is_over.wait(0.002 if late > -0.1 else 0.05)
    bench = f"fires, {database}, {count} at once"
    figures = [Figure(bench=bench, name="laid out before its time", value=float(early), unit="1 is yes")]
    for name, lates in seen.items():
        for share in (50, 99):
            value = percentile(lates, share / 100)
            figures.append(
                Figure(
                    bench=bench,
                    name=f"{name} late, p{share}",
                    value=value * 1e3,
                    unit="ms",
                    ratio=value / LIMIT_SECONDS,
                    beside="the limit, 250 ms",
                )
            )
    figures.append(Figure(bench=bench, name="one look", value=look * 1e3, unit="ms"))
    figures.append(Figure(bench=bench, name="opened", value=float(len(seen["run"])), unit=f"of {count}"))
    return figures


if __name__ == "__main__":
    run_bench(main)

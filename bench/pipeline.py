"""Tasks through their whole life (fire → confirmed): chain, keepers, broker real; only scripts are no-ops.

    python -m bench.pipeline [--tasks 2000] [--database postgresql://…]

On a private SQLite file, and on PostgreSQL (a scratch database of its own) where `--database` or
DATABASE_URL names a server. Beside it, in the same run: as many messages through a plain Celery no-op
queue on the same Redis. Everything runs as `make up` runs it, Flower and task events included. The latencies
are those of single tasks on an idle deployment; before the crowd comes a warm-up of one run.
"""

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from bench.database import scratch_database
from bench.deployment import Scratch, run_in_deployment
from bench.errors import run_bench, run_to_end
from bench.figures import Figure, percentile, tell
from bench.peer import measure_peer

if TYPE_CHECKING:
    from bench.driving import Throughput

Latencies = dict[str, list[float]]

_IDLE_SECONDS: Final = 5.0


def main() -> None:
    """Run the bench on each database and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000)
    parser.add_argument("--per-run", type=int, default=100)
    parser.add_argument("--light", type=int, default=10, help="single runs for the latency")
    parser.add_argument("--rounds", type=int, default=1, help="how often the tasks are run; all are printed")
    parser.add_argument("--patience", type=float, default=180.0, help="seconds for one round")
    parser.add_argument("--database", default=os.environ.get("DATABASE_URL", ""))
    parser.add_argument("--only", choices=("sqlite", "postgresql"), default="")
    options = parser.parse_args()
    if options.only == "postgresql":
        with scratch_database(options.database) as url:
            bench_on("PostgreSQL", {"DATABASE_URL": url}, options)
        return
    bench_on("SQLite", {}, options)
    if options.database and options.only != "sqlite":
        # Django is set up once per process
        again = [sys.executable, "-m", "bench.pipeline", *sys.argv[1:], "--only", "postgresql"]
        run_to_end(again, timeout_seconds=_timeout(options) + 60)


def bench_on(database: str, overrides: dict[str, str], options: Any) -> None:
    """One deployment on one database."""
    print(f"pipeline on {database}: {options.tasks} tasks, {options.per_run} a run; load {load_text()}")
    environment = {
        "EXECUTOR": "bench.noop:open_noop",
        "FOREKEEP_BENCH": "1",
        "LOG_LEVEL": "WARNING",
        **overrides,
    }
    idle, latencies, rounds, peer = run_in_deployment(
        environment, lambda scratch: measure(scratch, options), timeout_seconds=_timeout(options)
    )
    bench = f"pipeline, {database}"
    tell(idle_figures(bench, idle))
    for heavy in rounds:
        tell(throughput_figures(bench, heavy, peer))
    tell(latency_figures(bench, latencies))


def measure(scratch: Scratch, options: Any) -> tuple[dict[str, float], Latencies, "list[Throughput]", float]:
    """Everything that is measured in one deployment."""
    scratch.set_up_django()
    driving = import_module("bench.driving")
    driving.wait_for_keepers(scratch, 5)
    idle = scratch.measure_idle(_IDLE_SECONDS)
    asked_started, asked_confirmed = driving.measure_asked(scratch, options.light)
    due_started, due_confirmed = driving.measure_due(scratch, options.light)
    driving.warm_up(scratch, options.per_run)
    rounds = [
        driving.measure_throughput(scratch, options.tasks, options.per_run, patience=options.patience)
        for _ in range(options.rounds)
    ]
    messages = rounds[-1].control_messages + rounds[-1].execution_messages
    latencies = {
        "asked → started": asked_started,
        "asked → confirmed": asked_confirmed,
        "due → started": due_started,
        "due → confirmed": due_confirmed,
    }
    return idle, latencies, rounds, measure_peer(scratch, int(messages))


def throughput_figures(bench: str, heavy: "Throughput", peer: float) -> list[Figure]:
    """Tasks and messages per second, messages per task, and the CPU they took."""
    tasks = heavy.tasks
    messages = heavy.control_messages + heavy.execution_messages
    rate = messages / heavy.seconds

    def figure(name: str, value: float, unit: str, ratio: float = 0.0, beside: str = "") -> Figure:
        return Figure(bench=bench, name=name, value=value, unit=unit, ratio=ratio, beside=beside)

    per_second = tasks / heavy.seconds
    per_task = heavy.control_messages / tasks
    used = {name: seconds for name, seconds in heavy.cpu.items() if seconds / tasks >= 0.00005}
    cpu = sum(used.values())
    limit = heavy.seconds * (os.cpu_count() or 1)
    return [
        figure("tasks, fired → confirmed", per_second, "/s", per_second / 200, "the aim, 200/s"),
        figure("tasks, middle 80 % of the confirmations", 0.8 * tasks / heavy.middle_seconds, "/s"),
        figure("control-plane messages per task", per_task, "", per_task / 1.5, "the limit, 1.5"),
        figure("execution messages per task", heavy.execution_messages / tasks, ""),
        figure("execution messages sent again", heavy.sent_again, ""),
        figure("messages", rate, "/s", rate / peer, "plain Celery no-ops, as many"),
        figure("plain Celery no-ops (peer)", peer, "/s"),
        figure("hub transactions", heavy.batches, ""),
        *(
            figure(f"tasks per pass of {name}", tasks / count, "")
            for name, count in sorted(heavy.passes.items(), key=lambda item: -item[1])
            if count
        ),
        figure("events per task", heavy.events / tasks, ""),
        figure("CPU per task, all processes", cpu * 1e3 / tasks, "ms", cpu / limit, "all cores' time"),
        *(
            figure(f"CPU per task, {name}", seconds * 1e3 / tasks, "ms", seconds / limit, "all cores' time")
            for name, seconds in sorted(used.items(), key=lambda item: -item[1])
        ),
    ]


def idle_figures(bench: str, idle: dict[str, float]) -> list[Figure]:
    """What the deployment costs while nothing happens."""
    return [
        Figure(bench=bench, name=f"CPU while idle, {name}", value=share * 100, unit="% of a core")
        for name, share in sorted(idle.items(), key=lambda item: -item[1])
        if share >= 0.001
    ]


def latency_figures(bench: str, latencies: Latencies) -> list[Figure]:
    """p50 and p99 of single tasks on an idle deployment."""
    return [
        Figure(bench=bench, name=f"{name}, p{share}", value=percentile(values, share / 100) * 1e3, unit="ms")
        for name, values in latencies.items()
        for share in (50, 99)
    ]


def _timeout(options: Any) -> float:
    return float(180 + 5 * options.light + options.rounds * (options.patience + 60))


def load_text() -> str:
    """The machine's load over the last minute and its cores: a bench on a busy machine says so."""
    return f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


if __name__ == "__main__":
    run_bench(main)

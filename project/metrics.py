"""Prometheus metrics of the whole deployment: base units in the name, never an id as a label.

Every process writes its values into files of `$FOREKEEP_HOME/metrics`, so one scrape of any web process
sees all of them. prometheus_client decides on its import whether to do so, and the `celery` command
imports it (through Flower's plug-in) before any of this: hence the order here, and the second decision.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from project.env import settings_or_exit

_FOLDER: Final = settings_or_exit().home / "metrics"
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_FOLDER)
_FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, values  # noqa: E402
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead  # noqa: E402
from prometheus_client.registry import Collector  # noqa: E402

values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

TASKS_TOTAL: Final = Counter("forekeep_celery_tasks_total", "Control-plane messages run", ["task", "outcome"])
TASK_SECONDS: Final = Histogram(
    "forekeep_celery_task_seconds", "Time one control-plane message took", ["task"], buckets=_SECONDS
)
STAGE_PASSES: Final = Counter("forekeep_stage_passes_total", "Passes of a pipeline stage", ["stage"])
STAGE_ROWS: Final = Counter("forekeep_stage_rows_total", "Rows a pipeline stage took", ["stage"])
STAGE_ROWS_SET_ASIDE: Final = Counter(
    "forekeep_stage_rows_set_aside_total", "Rows a stage could not process and will look at again", ["stage"]
)
INTAKE_MESSAGES: Final = Counter(
    "forekeep_intake_messages_total", "Keepers' answers, by what became of them", ["kind", "outcome"]
)
ROLLBACKS: Final = Counter("forekeep_rollbacks_total", "Cascades that were applied", ["reason"])
CASCADE_SIZE: Final = Histogram(
    "forekeep_rollback_cascade_size",
    "Tasks one cascade changed",
    buckets=(1, 2, 5, 10, 50, 100, 1_000, 10_000),
)
STAKE_SLASHED: Final = Counter("forekeep_stake_slashed_units_total", "Units slashed from bonds")
COMPUTE_WASTED: Final = Counter("forekeep_compute_wasted_units_total", "Compute that was for nothing")
DEAD_LETTERS: Final = Counter("forekeep_dead_letters_total", "Failures kept for a person to see")
ABORT_SECONDS: Final = Histogram(
    "forekeep_abort_latency_seconds", "From a cascade's abort command to a keeper's answer", buckets=_SECONDS
)
SPECULATION_STARTED: Final = Counter(
    "forekeep_speculation_started_total", "Attempts admitted ahead of their parents' confirmation"
)
SPECULATION_CONFIRMED: Final = Counter(
    "forekeep_speculation_confirmed_total", "Attempts that ran ahead and were confirmed"
)
SPECULATION_DEPTH: Final = Histogram(
    "forekeep_speculation_depth",
    "Unconfirmed ancestors on the longest path above an attempt that runs ahead",
    buckets=(1, 2, 3, 4, 5, 6, 8, 10, 15, 20),
)
COMMITMENTS_CREATED: Final = Counter("forekeep_commitments_created_total", "Commitments opened")
STAKE_BONDED: Final = Counter("forekeep_stake_bonded_units_total", "Units locked as bonds")
STAKE_RELEASED: Final = Counter("forekeep_stake_released_units_total", "Units of bonds given back")
PROOFS: Final = Counter("forekeep_proofs_total", "Proofs, by what became of them", ["outcome"])
WEBHOOK_DELIVERIES: Final = Counter(
    "forekeep_webhook_deliveries_total", "Tries of webhook deliveries, by what became of them", ["outcome"]
)
ALERTS: Final = Counter("forekeep_alerts_total", "Tries of alerts, by what became of them", ["outcome"])
REQUESTS_TOTAL: Final = Counter(
    "forekeep_http_requests_total", "HTTP requests answered", ["method", "route", "status"]
)
REQUEST_SECONDS: Final = Histogram(
    "forekeep_http_request_seconds", "Time one HTTP request took", ["route"], buckets=_SECONDS
)
#: what a pass of a stage may say it did, and what counts it
FIGURES: Final[Mapping[str, Callable[[float], None]]] = MappingProxyType(
    {
        "speculation_started": SPECULATION_STARTED.inc,
        "speculation_confirmed": SPECULATION_CONFIRMED.inc,
        "speculation_depth": SPECULATION_DEPTH.observe,
        "commitments_created": COMMITMENTS_CREATED.inc,
        "stake_bonded_units": STAKE_BONDED.inc,
        "stake_released_units": STAKE_RELEASED.inc,
        "proofs_queued": PROOFS.labels(outcome="queued").inc,
        "proofs_generated": PROOFS.labels(outcome="generated").inc,
        "proofs_deferred": PROOFS.labels(outcome="deferred").inc,
        "proofs_submitted": PROOFS.labels(outcome="submitted").inc,
    }
)


def figures_count(figures: Iterable[tuple[str, float]]) -> None:
    """Count what a pass did, once its transaction is committed; KeyError for a name that is not listed."""
    for name, amount in figures:
        FIGURES[name](amount)


def metrics_text(*rows: Collector) -> bytes:
    """The Prometheus text of all processes, and of what is read from rows for this one answer."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(_FOLDER))  # type: ignore[no-untyped-call]
    for collector in rows:
        registry.register(collector)
    return generate_latest(registry)


def metrics_process_ended(pid: int) -> None:
    """Drop the gauges of a process that has ended; its counters stay."""
    mark_process_dead(pid, path=str(_FOLDER))  # type: ignore[no-untyped-call]


def metrics_forget() -> None:
    """Drop the values of earlier processes; called when a deployment starts, before its processes."""
    shutil.rmtree(_FOLDER, ignore_errors=True)
    _FOLDER.mkdir(mode=0o700, parents=True)

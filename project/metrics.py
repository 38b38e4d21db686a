"""Prometheus metrics of the whole deployment: base units in the name, never an id as a label.

Every process writes its values into files of `$FOREKEEP_HOME/metrics`, so one scrape of any web process
sees all of them. prometheus_client decides on its import whether to do so, and the `celery` command
imports it (through Flower's plug-in) before any of this: hence the order here, and the second decision.
"""

import os
import shutil
from typing import Final

from project.env import settings_or_exit

_FOLDER: Final = settings_or_exit().home / "metrics"
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_FOLDER)
_FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, values  # noqa: E402
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead  # noqa: E402

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
REQUESTS_TOTAL: Final = Counter(
    "forekeep_http_requests_total", "HTTP requests answered", ["method", "route", "status"]
)
REQUEST_SECONDS: Final = Histogram(
    "forekeep_http_request_seconds", "Time one HTTP request took", ["route"], buckets=_SECONDS
)


def metrics_text() -> bytes:
    """The Prometheus text of all processes."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(_FOLDER))  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def metrics_process_ended(pid: int) -> None:
    """Drop the gauges of a process that has ended; its counters stay."""
    mark_process_dead(pid, path=str(_FOLDER))  # type: ignore[no-untyped-call]


def metrics_forget() -> None:
    """Drop the values of earlier processes; called when a deployment starts, before its processes."""
    shutil.rmtree(_FOLDER, ignore_errors=True)
    _FOLDER.mkdir(mode=0o700, parents=True)

"""/healthz: the process answers. /readyz: everything it needs answers too.

Ready means: database, broker, no migration missing, a beat sweep not longer ago than
`telemetry.sweep_stale_seconds`, every chain that jobs wait for being read, and somebody watching the
conditions. `sweep_record` is called by the sweep itself.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse

from apps.chains.networks import get_event_chain_ids
from apps.eventlog.selectors import get_database_now
from apps.watching.conditions import is_unwatched
from apps.watching.selectors import get_unheard
from project.celery import app

_SWEEP_KEY: Final = "last_sweep_at"
_log = structlog.get_logger("forekeep.health")


class NotReady(Exception):
    """Why one check fails, in words."""


def healthz(request: HttpRequest) -> JsonResponse:
    """200 as long as the process serves requests; asks nothing else."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> JsonResponse:
    """200 with every check `ok`, else 503 with what each check found."""
    results = {name: _run(check) for name, check in _CHECKS.items()}
    is_ready = all(result == "ok" for result in results.values())
    body = {"status": "ready" if is_ready else "not_ready", "checks": results}
    return JsonResponse(body, status=200 if is_ready else 503)


def sweep_record() -> None:
    """Note that a beat sweep ran now; Redis being away is no reason to fail a sweep."""
    try:
        cache.set(_SWEEP_KEY, time.time(), timeout=None)
    except Exception as exc:
        _log.warning("the sweep's time could not be noted", error=type(exc).__name__)


def _run(check: Callable[[], None]) -> str:
    try:
        check()
    except NotReady as exc:
        return str(exc)
    except Exception as exc:
        _log.warning("a readiness check failed", exc_info=exc)
        return f"failed ({type(exc).__name__})"
    return "ok"


def _check_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()


def _check_broker() -> None:
    with app.connection_for_write(connect_timeout=2) as broker:
        broker.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=2)


def _check_migrations() -> None:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        raise NotReady(f"{len(missing)} migrations are not applied")


def _check_sweep() -> None:
    swept_at = cache.get(_SWEEP_KEY)
    if swept_at is None:
        raise NotReady("no sweep has run yet")
    age = time.time() - float(swept_at)
    if age > settings.FOREKEEP.telemetry.sweep_stale_seconds:
        raise NotReady(f"the last sweep ran {age:.0f} s ago")


def _check_chain_events() -> None:
    lines = get_unheard(get_database_now(), get_event_chain_ids())
    if lines:
        raise NotReady("; ".join(lines))


def _check_conditions() -> None:
    if is_unwatched(get_database_now()):
        raise NotReady("nobody watches the conditions of jobs")


_CHECKS: Final[Mapping[str, Callable[[], None]]] = {
    "database": _check_database,
    "broker": _check_broker,
    "migrations": _check_migrations,
    "sweep": _check_sweep,
    "chain_events": _check_chain_events,
    "conditions": _check_conditions,
}

"""Why a job did not fire, or what its trigger saw: its status, its firings, and a list of checks."""

import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import structlog
from django.conf import settings
from django.core.cache import cache
from django.db.models import QuerySet

from apps.chains.networks import get_event_chain_ids
from apps.eventlog.selectors import events_query, get_database_now
from apps.jobs.data import FiringStatus, JobStatus, TriggerKind
from apps.jobs.models import Firing, Job
from apps.jobs.selectors import preview
from apps.kernel.ids import to_wire
from apps.ledger.selectors import get_project_balances
from apps.progress.domain.firing_checks import FiringFacts, check_firing, find_answer
from apps.progress.domain.frames import to_rfc3339
from apps.tasks.models import Run
from apps.triggers.data import LeafVerdict, decimal_text
from apps.watching.conditions import LEASE, has_fired_since_met
from apps.watching.data import SightingStatus
from apps.watching.evaluations import get_evaluations
from apps.watching.models import Sighting
from apps.watching.selectors import get_unheard, is_led, lease_name

Document = dict[str, Any]

_RECENT: Final = 10
#: where a beat sweep notes its time, which /readyz reads too
_SWEEP_KEY: Final = "last_sweep_at"
_log = structlog.get_logger("forekeep.progress")


def get_why(job: Job) -> Document:
    """What is known about why a visible job fired or did not: `answer` is the first failing check."""
    now = get_database_now()
    sightings = _sightings(job)
    since, reason = _find_status_change(job)
    balance_units, _ = get_project_balances(job.project_id)
    checks = check_firing(_facts(job, now, sightings, reason, balance_units))
    fires = preview(job, 1, now) if job.status == JobStatus.ACTIVE else ()
    return {
        "job": job.wire_id,
        "at": to_rfc3339(now),
        "status": job.status,
        "status_since": since,
        "status_reason": reason,
        "next_fire_at": to_rfc3339(fires[0]) if fires else None,
        "last_refusal": job.last_refusal,
        "balance_units": str(balance_units),
        "estimated_cost_units": None if job.estimated_cost_units is None else str(job.estimated_cost_units),
        "answer": find_answer(checks),
        "checks": [check.to_json() for check in checks],
        "firings": firing_documents(list(get_firings(job)[:_RECENT])),
        "sightings": [_sighting(one) for one in sightings],
        "evaluations": get_last_evaluations(job) if job.trigger_kind == TriggerKind.CONDITION else [],
    }


def get_firings(job: Job, *, status: FiringStatus | None = None) -> "QuerySet[Firing, Firing]":
    """A job's firings, newest first."""
    firings = Firing.objects.filter(job=job).order_by("-pk")
    return firings if status is None else firings.filter(status=status)


def firing_documents(firings: Sequence[Firing]) -> list[Document]:
    """The wire forms of one job's firings, with the runs they opened, in one query."""
    keys = {row.key for row in firings}
    runs = dict(
        Run.objects.filter(job_id__in={row.job_id for row in firings}, tick_key__in=keys).values_list(
            "tick_key", "pk"
        )
    )
    return [_firing(row, runs.get(row.key)) for row in firings]


def get_last_evaluations(job: Job) -> list[Document]:
    """What the job's condition says of the last observations of its sources, newest first."""
    return [
        {
            "at": to_rfc3339(evaluation.at) if evaluation.at else None,
            "met": evaluation.verdict.is_met,
            "comparisons": [comparison_document(leaf) for leaf in evaluation.verdict.leaves],
        }
        for evaluation in get_evaluations(job)
    ]


def comparison_document(leaf: LeafVerdict) -> Document:
    """One comparison with its value, its limits and what would turn it."""
    return {
        "source": leaf.source,
        "route": leaf.route,
        "is": str(leaf.comparison),
        "value": None if leaf.value is None else decimal_text(leaf.value),
        "limits": [decimal_text(limit) for limit in leaf.limits],
        "met": leaf.is_met,
        "fault": leaf.fault.code if leaf.fault else None,
        "flip": leaf.flip,
    }


def _facts(
    job: Job, now: datetime, sightings: Sequence[Sighting], reason: str, balance_units: int
) -> FiringFacts:
    counts = Counter(one.status for one in sightings)
    chain_id = (job.event or {}).get("chain_id")
    return FiringFacts(
        now=now,
        status=job.status,
        status_reason=reason,
        trigger_kind=job.trigger_kind,
        fires_left=job.due.fires_left,
        expires_at=job.expires_at,
        next_fire_at=next(iter(preview(job, 1, now)), None),
        sweep_age_seconds=_get_sweep_age(),
        sweep_limit_seconds=settings.FOREKEEP.telemetry.sweep_stale_seconds,
        estimated_cost_units=job.estimated_cost_units,
        balance_units=balance_units,
        last_refusal_reason=(job.last_refusal or {}).get("reason", ""),
        is_led=None if chain_id is None else is_led(lease_name(chain_id), now),
        unheard=_find_unheard(chain_id, now),
        waiting_sightings=counts[SightingStatus.SEEN],
        fired_sightings=counts[SightingStatus.FIRED],
        **_condition_facts(job, now),
    )


def _condition_facts(job: Job, now: datetime) -> dict[str, Any]:
    if job.trigger_kind != TriggerKind.CONDITION:
        return {}
    latest = next(iter(get_evaluations(job, 1)), None)
    is_met = latest.verdict.is_met if latest else None
    deciding = (
        next((leaf for leaf in latest.verdict.leaves if leaf.is_met is not True), None) if latest else None
    )
    return {
        "is_watched": is_led(LEASE, now),
        "is_met": is_met,
        "deciding": "" if deciding is None else _words_of(deciding),
        "has_fired_since_met": bool(is_met) and has_fired_since_met(job),
    }


def _words_of(leaf: LeafVerdict) -> str:
    """One comparison that is not met, in a sentence."""
    place = f"{leaf.source} {leaf.route}".strip()
    if leaf.value is None:
        return f"{place}: {leaf.fault.code if leaf.fault else 'no value'}."
    return f"{place} is {decimal_text(leaf.value)}; it turns at {leaf.flip}."


def _find_unheard(chain_id: int | None, now: datetime) -> str:
    if chain_id is None:
        return ""
    return next(
        (line for line in get_unheard(now, get_event_chain_ids()) if line.startswith(f"chain {chain_id}:")),
        "",
    )


def _find_status_change(job: Job) -> tuple[str | None, str]:
    """When and why a job that is not active came to be so."""
    if job.status == JobStatus.ACTIVE:
        return None, ""
    events = events_query(aggregate=(Job.AGGREGATE, job.aggregate_id))
    event = events.filter(event_type=f"job.{job.status}").order_by("-sequence_number").first()
    if event is None:
        return None, ""
    return to_rfc3339(event.created_at), str(event.payload.get("reason", ""))


def _get_sweep_age() -> float | None:
    """Seconds since the last beat sweep; None where none is known, also because Redis is away."""
    try:
        swept_at = cache.get(_SWEEP_KEY)
    except Exception as exc:
        _log.warning("the sweep's time could not be read", error=type(exc).__name__)
        return None
    return None if swept_at is None else max(0.0, time.time() - float(swept_at))


def _sightings(job: Job) -> list[Sighting]:
    if job.trigger_kind != TriggerKind.EVENT:
        return []
    return list(Sighting.objects.filter(job=job).order_by("-pk")[:_RECENT])


def _sighting(row: Sighting) -> Document:
    return {
        "key": row.key,
        "status": row.status,
        "reason": row.reason,
        "block_number": row.block_number,
        "due_block": row.due_block,
        "seen_at": to_rfc3339(row.seen_at),
    }


def _firing(row: Firing, run_id: Any) -> Document:
    late = None if row.fired_at is None else (row.fired_at - row.due_at).total_seconds() * 1_000
    return {
        "id": row.id.hex,
        "key": row.key,
        "kind": row.kind,
        "status": row.status,
        "reason": row.reason,
        "due_at": to_rfc3339(row.due_at),
        "fired_at": to_rfc3339(row.fired_at) if row.fired_at else None,
        "lateness_ms": None if late is None else round(late),
        "run": None if run_id is None else to_wire("run", run_id),
    }

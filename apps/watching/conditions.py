"""Conditions in the database: which are watched, what is remembered of each, and the firings they make.

A condition's state moves by compare-and-set on its sequence, in the transaction that brings in the firing; so
two pollers at once, or one that is killed between two evaluations, make each firing once.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Count, Max, Min, Q, QuerySet, Sum

from apps.eventlog.locking import lock_rows
from apps.jobs.data import FiringKind, JobStatus, TriggerKind
from apps.jobs.firings import FiringDraft, firings_add
from apps.jobs.models import Job
from apps.kernel.errors import DomainError
from apps.triggers.data import Condition, condition_from_json
from apps.watching.models import ConditionState, SourceState, WatchLease

LEASE: Final = "conditions"
#: how many observations of a source are kept
RECENT: Final = 10
#: so long conditions may wait for somebody to watch them
_UNWATCHED: Final = timedelta(seconds=15)
Revision = tuple[object, ...]
_log = structlog.get_logger("forekeep.watching")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is remembered of a condition: its truth, its latched comparisons, its number of firings."""

    sequence: int = 0
    is_met: bool | None = None
    latched: int = 0
    last_fired_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedCondition:
    """An active condition job as a poller needs it."""

    job_id: UUID
    project_id: UUID
    version: int
    armed_at: datetime
    condition: Condition
    known: Known


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionMove:
    """One evaluation that changed something: what was known before, what is known now, whether it fires."""

    job_id: UUID
    armed_at: datetime
    before: Known
    is_met: bool | None
    latched: int
    fires: bool
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a source said: values by route as text, or why there is none."""

    key: str
    kind: str
    url: str
    at: datetime
    values: Mapping[str, str]
    faults: Mapping[str, str]
    fault: str = ""

    def to_json(self) -> dict[str, Any]:
        """The form that is kept."""
        form = {"at": self.at.isoformat(), "values": dict(self.values), "faults": dict(self.faults)}
        return {**form, "fault": self.fault} if self.fault else form


def get_condition_revision(now: datetime) -> Revision:
    """Something that is another whenever the watched conditions are others."""
    found = _live(now).aggregate(
        count=Count("pk"), versions=Sum("version"), updated=Max("updated_at"), armed=Max("armed_at")
    )
    return tuple(found.values())


def is_unwatched(now: datetime) -> bool:
    """Whether conditions wait, the first of them for a while, and nobody asks their sources."""
    armed_at = _live(now).aggregate(at=Min("armed_at"))["at"]
    if armed_at is None or now - armed_at < _UNWATCHED:
        return False
    return not WatchLease.objects.filter(name=LEASE, expires_at__gt=now - _UNWATCHED).exists()


def get_condition_versions(now: datetime) -> dict[UUID, tuple[int, datetime]]:
    """Every watched condition's job with its version and since when it counts."""
    return {pk: (version, at) for pk, version, at in _live(now).values_list("pk", "version", "armed_at")}


def get_watched_conditions(job_ids: Collection[UUID]) -> list[WatchedCondition]:
    """These jobs' conditions and what is remembered of them; what cannot be read is left out and logged."""
    found: list[WatchedCondition] = []
    states = ConditionState.objects.in_bulk(list(job_ids))
    rows = Job.objects.filter(pk__in=job_ids).values_list(
        "pk", "project_id", "version", "armed_at", "condition"
    )
    for pk, project_id, version, armed_at, stored in rows:
        try:
            condition = condition_from_json(stored)
        except DomainError as exc:
            _log.error("a job's condition cannot be read", job=str(pk), code=exc.code, pointer=exc.pointer)
            continue
        found.append(
            WatchedCondition(
                job_id=pk,
                project_id=project_id,
                version=version,
                armed_at=armed_at,
                condition=condition,
                known=known_of(states.get(pk), armed_at),
            )
        )
    return found


def known_of(state: ConditionState | None, armed_at: datetime) -> Known:
    """What counts of a stored state for a job that was armed at this time."""
    if state is None:
        return Known()
    if state.armed_at != armed_at:
        return Known(sequence=state.sequence)
    return Known(
        sequence=state.sequence,
        is_met=state.is_met,
        latched=state.latched,
        last_fired_at=state.last_fired_at,
    )


def conditions_move(moves: Sequence[ConditionMove], *, now: datetime) -> tuple[dict[UUID, Known], list[UUID]]:
    """Remember what was evaluated and bring in the firings, each once; in one transaction.

    Returns what is known now of each of these jobs (a move that somebody else was faster with changes
    nothing), and the jobs that have something to open.
    """
    if not moves:
        return {}, []
    by_job = {move.job_id: move for move in moves}
    with transaction.atomic():
        active = set(Job.objects.filter(pk__in=by_job, status=JobStatus.ACTIVE).values_list("pk", flat=True))
        fresh = [_fresh(move, now) for job_id, move in by_job.items() if job_id in active]
        ConditionState.objects.bulk_create(fresh, ignore_conflicts=True, batch_size=1_000)
        states = lock_rows(ConditionState.objects.filter(pk__in=active), skip_locked=False)
        moved = [state for state in states if _carry_out(state, by_job[state.pk], now)]
        ConditionState.objects.bulk_update(
            moved,
            ["armed_at", "sequence", "is_met", "latched", "last_fired_at", "changed_at"],
            batch_size=500,
        )
        drafts = [_draft(by_job[state.pk], state, now) for state in moved if by_job[state.pk].fires]
        fired = firings_add(drafts, now=now)
    return {state.pk: known_of(state, by_job[state.pk].armed_at) for state in states}, fired


def sources_record(observations: Sequence[Observation]) -> None:
    """Keep what sources said, the newest first, a few of each."""
    if not observations:
        return
    with transaction.atomic():
        rows = SourceState.objects.in_bulk([observation.key for observation in observations])
        SourceState.objects.bulk_create(
            [_source_row(one, rows.get(one.key)) for one in observations],
            update_conflicts=True,
            unique_fields=["key"],
            update_fields=["kind", "url", "observed_at", "fault", "recent"],
            batch_size=500,
        )


def sources_purge(*, before: datetime) -> int:
    """Forget sources that nobody has asked since."""
    deleted, _ = SourceState.objects.filter(observed_at__lt=before).delete()
    return deleted


def get_source_states(keys: Iterable[str]) -> dict[str, SourceState]:
    """What these sources last said."""
    return SourceState.objects.in_bulk(list(keys))


def has_fired_since_met(job: Job) -> bool:
    """Whether an edge condition has fired and is still met: only its becoming met anew fires it again."""
    state = ConditionState.objects.filter(pk=job.pk, armed_at=job.armed_at, is_met=True).first()
    return state is not None and (job.condition or {}).get("fires") != "level"


def _live(now: datetime) -> "QuerySet[Job, Job]":
    waiting = Job.objects.filter(status=JobStatus.ACTIVE, trigger_kind=TriggerKind.CONDITION)
    return waiting.filter(Q(expires_at=None) | Q(expires_at__gt=now))


def _fresh(move: ConditionMove, now: datetime) -> ConditionState:
    return ConditionState(job_id=move.job_id, armed_at=move.armed_at, changed_at=now)


def _carry_out(state: ConditionState, move: ConditionMove, now: datetime) -> bool:
    """Move a locked state; False where it is not the one that was evaluated on."""
    if state.sequence != move.before.sequence or state.armed_at > move.armed_at:
        return False
    state.armed_at, state.changed_at = move.armed_at, now
    state.is_met, state.latched = move.is_met, move.latched
    if move.fires:
        state.sequence += 1
        state.last_fired_at = now
    return True


def _draft(move: ConditionMove, state: ConditionState, now: datetime) -> FiringDraft:
    return FiringDraft(
        job_id=move.job_id,
        key=f"condition:{state.sequence}",
        kind=FiringKind.CONDITION,
        due_at=now,
        evidence={"kind": "condition", "sequence": state.sequence, **move.evidence},
    )


def _source_row(observation: Observation, before: SourceState | None) -> SourceState:
    recent = [observation.to_json(), *(before.recent if before else [])][:RECENT]
    return SourceState(
        key=observation.key,
        kind=observation.kind,
        url=observation.url,
        observed_at=observation.at,
        fault=observation.fault,
        recent=recent,
    )

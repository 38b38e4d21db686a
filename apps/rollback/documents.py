"""The wire forms of rollbacks, dead letters and figures. Amounts are strings of integers.

Absent things are null, but for `recovery`, which is empty where a rollback was dismissed, as in its events.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from apps.kernel.errors import DomainError
from apps.kernel.ids import to_wire
from apps.rollback.data import RollbackFigures
from apps.rollback.domain.ways import find_ways
from apps.rollback.models import DeadLetter, Rollback, RollbackItem
from apps.tasks.models import Edge

Document = dict[str, Any]
_Edges = Iterable[tuple[UUID, UUID]]


def get_rollback_documents(rows: Sequence[Rollback]) -> list[Document]:
    """Rollbacks with what each did to every task. Two queries, however many there are."""
    items: defaultdict[UUID, list[RollbackItem]] = defaultdict(list)
    changed = RollbackItem.objects.filter(rollback__in=rows).select_related("task")
    for item in changed.defer("task__spec", "task__result").order_by("-position"):
        items[item.rollback_id].append(item)
    edges: defaultdict[UUID, list[tuple[UUID, UUID]]] = defaultdict(list)
    stored = Edge.objects.filter(run__in={row.run_id for row in rows}).order_by("pk")
    for run_id, parent, child in stored.values_list("run_id", "parent_id", "child_id"):
        edges[run_id].append((parent, child))
    return [
        {**rollback_summary(row), "items": _items(items.get(row.id, []), edges.get(row.run_id, ()))}
        for row in rows
    ]


def rollback_summary(row: Rollback) -> Document:
    """A rollback's own columns."""
    return {
        "id": to_wire("rbk", row.id),
        "root": to_wire("task", row.root_id),
        "run": to_wire("run", row.run_id),
        "project": to_wire("proj", row.project_id),
        "epoch": row.epoch,
        "reason": row.reason,
        "error": {"code": row.error_code, "detail": row.error_detail},
        "phase": row.phase,
        "scope": row.scope,
        "size": row.size,
        "depth": row.depth,
        "slashed_units": str(row.slashed_units),
        "slashed_keeper": row.slashed_keeper or None,
        "treasury_units": str(row.treasury_units),
        "victims": {keeper: str(units) for keeper, units in row.victims.items()},
        "released_units": str(row.released_units),
        "wasted_units": str(row.wasted_units),
        "recovery": row.recovery,
        "is_retried": row.is_retried,
        "detected_at": _time(row.detected_at),
        "applied_at": _time(row.applied_at),
        "completed_at": _time(row.completed_at),
        "abort_latencies_ms": row.abort_latencies_ms,
        "trace_id": row.trace_id,
    }


def letter_document(row: DeadLetter) -> Document:
    """A dead letter that was read with its task."""
    return {
        "id": to_wire("dl", row.id),
        "rollback": to_wire("rbk", row.rollback_id),
        "task": to_wire("task", row.task_id),
        "step": row.task.step_key,
        "status": row.task.status,
        "run": to_wire("run", row.run_id),
        "project": to_wire("proj", row.project_id),
        "epoch": row.epoch,
        "stage": row.stage,
        "reason": row.reason,
        "error": {"code": row.error_code, "detail": row.error_detail},
        "attempts": row.attempts,
        "dependents": row.dependents,
        "wasted_units": str(row.wasted_units),
        "is_final": row.is_final,
        "is_waiting": row.is_final and row.replayed_at is None and row.epoch == row.task.epoch,
        "failed_at": _time(row.failed_at),
        "replayed_at": _time(row.replayed_at),
    }


def figures_document(figures: RollbackFigures) -> Document:
    """The figures of rollbacks."""
    return {
        "count": figures.count,
        "by_reason": dict(figures.by_reason),
        "cascade_depth_max": figures.cascade_depth_max,
        "cascade_size_mean": figures.cascade_size_mean,
        "abort_latency_p99_ms": figures.abort_latency_p99_ms,
        "retried": figures.retried,
        "recovered": figures.recovered,
        "recovery_rate": figures.recovery_rate,
        "slashed_units": str(figures.slashed_units),
        "wasted_units": str(figures.wasted_units),
        "dead_letters": figures.dead_letters,
    }


def refusal_document(letter_id: UUID, refusal: DomainError) -> Document:
    """Why a dead letter was not replayed: the problem's code and title, and its facts as texts."""
    return {
        "id": to_wire("dl", letter_id),
        "code": refusal.code,
        "title": refusal.title,
        "facts": {name: str(value) for name, value in refusal.fields.items()},
    }


def _items(items: Sequence[RollbackItem], edges: _Edges) -> list[Document]:
    """The root first, then outwards."""
    ways = find_ways([item.task_id for item in items], edges)
    return [
        {
            "task": to_wire("task", item.task_id),
            "step": item.task.step_key,
            "epoch": item.epoch,
            "path": [to_wire("task", task) for task in ways.get(item.task_id, ())],
            "previous": item.previous,
            "target": item.target,
            "keeper": item.keeper or None,
            "released_units": str(item.released_units),
            "slashed_units": str(item.slashed_units),
            "wasted_units": str(item.wasted_units),
        }
        for item in items
    ]


def _time(at: datetime | None) -> str | None:
    """RFC 3339 in UTC with Z, to the microsecond."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z") if at else None

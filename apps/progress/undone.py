"""The wire forms of rollbacks and dead letters, and how far a cascade came.

A rollback is told from its root outwards: what failed, which way it went, what it took along, what it cost
and what follows. Amounts are strings of integers.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from apps.kernel.ids import to_wire
from apps.progress.domain.frames import to_rfc3339
from apps.progress.related import Related
from apps.rollback.models import DeadLetter, Rollback, RollbackItem

Document = dict[str, Any]


def rollback_summary(row: Rollback) -> Document:
    """A rollback's own columns, with its root's step."""
    return {
        "id": to_wire("rbk", row.id),
        "run": to_wire("run", row.run_id),
        "root": {"task": to_wire("task", row.root_id), "step": row.root.step_key, "epoch": row.epoch},
        "reason": row.reason,
        "error": {"code": row.error_code, "detail": row.error_detail},
        "phase": row.phase,
        "scope": row.scope,
        "size": row.size,
        "depth": row.depth,
        "slashed_keeper": row.slashed_keeper or None,
        "slashed_units": str(row.slashed_units),
        "treasury_units": str(row.treasury_units),
        "released_units": str(row.released_units),
        "wasted_units": str(row.wasted_units),
        "recovery": row.recovery,
        "is_retried": row.is_retried,
        "detected_at": to_rfc3339(row.detected_at),
        "applied_at": to_rfc3339(row.applied_at) if row.applied_at else None,
        "completed_at": to_rfc3339(row.completed_at) if row.completed_at else None,
        "trace_id": row.trace_id,
    }


def rollback_document(
    row: Rollback, items: Sequence[RollbackItem], edges: Sequence[tuple[UUID, UUID]]
) -> Document:
    """A rollback with every task it changed, the root first, each with the way the failure took to it.

    `items` come with their tasks; `edges` are those among these tasks, as (parent, child).
    """
    outwards = sorted(items, key=lambda item: -item.position)
    steps = {item.task_id: item.task.step_key for item in items}
    ways = find_ways([item.task_id for item in outwards], edges)
    return {
        **rollback_summary(row),
        "victims": {keeper: str(units) for keeper, units in row.victims.items()},
        "abort_latencies_ms": row.abort_latencies_ms,
        "items": [
            {
                "task": to_wire("task", item.task_id),
                "step": item.task.step_key,
                "epoch": item.epoch,
                "is_root": item.task_id == row.root_id,
                "keeper": item.keeper or None,
                "previous": item.previous,
                "target": item.target,
                "status": item.task.status,
                "way": [steps[task] for task in ways.get(item.task_id, ())],
                "bond_units": str(item.released_units + item.slashed_units),
                "released_units": str(item.released_units),
                "slashed_units": str(item.slashed_units),
                "wasted_units": str(item.wasted_units),
            }
            for item in outwards
        ],
    }


def letter_document(row: DeadLetter) -> Document:
    """A dead letter, with its task's step."""
    return {
        "id": to_wire("dl", row.id),
        "rollback": to_wire("rbk", row.rollback_id),
        "run": to_wire("run", row.run_id),
        "task": to_wire("task", row.task_id),
        "step": row.task.step_key,
        "status": row.task.status,
        "epoch": row.epoch,
        "stage": row.stage,
        "reason": row.reason,
        "error": {"code": row.error_code, "detail": row.error_detail},
        "attempts": row.attempts,
        "dependents": row.dependents,
        "wasted_units": str(row.wasted_units),
        "is_final": row.is_final,
        "is_waiting": row.is_final and row.replayed_at is None and row.epoch == row.task.epoch,
        "failed_at": to_rfc3339(row.failed_at),
        "replayed_at": to_rfc3339(row.replayed_at) if row.replayed_at else None,
    }


def rollbacks_of(related: Related) -> list[Document]:
    """The rollbacks that changed any of these tasks, oldest first."""
    rows = {item.rollback_id: item.rollback for items in related.undone.values() for item in items}
    return [rollback_summary(rows[key]) for key in sorted(rows)]


def find_ways(order: Sequence[UUID], edges: Sequence[tuple[UUID, UUID]]) -> dict[UUID, tuple[UUID, ...]]:
    """Task → the longest way from the root to it, both included; what it does not reach is not there.

    `order` begins with the root and has parents before their children.
    """
    parents: dict[UUID, list[UUID]] = {}
    for parent, child in edges:
        parents.setdefault(child, []).append(parent)
    ways: dict[UUID, tuple[UUID, ...]] = {task: (task,) for task in order[:1]}
    for task in order[1:]:
        above = [ways[parent] for parent in parents.get(task, ()) if parent in ways]
        if above:
            ways[task] = (*max(above, key=len), task)
    return ways

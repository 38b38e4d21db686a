"""The wire forms of running ahead: a task's decision, each attempt with its bond, what undid it, its proof.

Built from rows that are already in memory. An attempt is known by its epoch; one that was undone before
anybody held a lease on it has no keeper.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from apps.execution.models import Assignment
from apps.kernel.ids import to_wire
from apps.progress.domain.ahead_words import VERDICT_WORDS, describe_finding
from apps.progress.domain.frames import to_rfc3339
from apps.rollback.models import RollbackItem
from apps.speculation.models import Commitment, Decision
from apps.tasks.models import Failure, Task

Document = dict[str, Any]


def get_decision(task: Task) -> Decision | None:
    """The task's latest decision, which was read with it; None where none was asked."""
    decision: Decision | None = getattr(task, "decision", None)
    return decision


def speculation_of(task: Task, commitments: Iterable[Commitment]) -> Document | None:
    """What the latest decision said, and the latest commitment; null where no decision was asked."""
    decision = get_decision(task)
    if decision is None:
        return None
    latest = max(commitments, key=lambda row: row.epoch, default=None)
    return {
        "verdict": decision.verdict,
        "refusal": decision.refusal or None,
        "depth": decision.depth,
        "bond_units": str(decision.bond_units),
        "decided_at": to_rfc3339(decision.decided_at),
        "commitment": _commitment(latest) if latest else None,
    }


def decision_document(task: Task, decision: Decision) -> Document:
    """A decision with its ten checks, each in words; `ancestors` are those that were not confirmed."""
    recorded = decision.content
    return {
        "task": to_wire("task", task.id),
        "decided_at": to_rfc3339(decision.decided_at),
        "verdict": decision.verdict,
        "meaning": VERDICT_WORDS[decision.verdict],
        "refusal": decision.refusal or None,
        "depth": decision.depth,
        "bond_units": str(decision.bond_units),
        "ancestors": recorded["ancestors"],
        "checks": [describe_finding(finding) for finding in recorded["checks"]],
    }


def attempts_of(
    *,
    assignments: Iterable[Assignment],
    commitments: Iterable[Commitment],
    failures: Iterable[Failure],
    undone: Iterable[RollbackItem],
) -> list[Document]:
    """Each attempt that was leased, signalled or undone, oldest first."""
    attempts: dict[int, Document] = {}
    for lease in assignments:
        attempts[lease.epoch] = _attempt(lease.epoch, lease)
    for commitment in commitments:
        attempts.setdefault(commitment.epoch, _attempt(commitment.epoch))
        attempts[commitment.epoch]["commitment"] = _commitment(commitment)
    for failure in failures:
        attempts.setdefault(failure.epoch, _attempt(failure.epoch))
        attempts[failure.epoch]["failure"] = _failure(failure)
    for item in undone:
        attempts.setdefault(item.epoch, _attempt(item.epoch))
        attempts[item.epoch]["rollbacks"].append(_part(item))
    return [attempts[epoch] for epoch in sorted(attempts)]


def proof_of(shown: Mapping[str, Any] | None) -> Document | None:
    """A proof as its own app shows it, with its times as text."""
    if shown is None:
        return None
    return {
        name: to_rfc3339(value) if isinstance(value, datetime) else value for name, value in shown.items()
    }


def _attempt(epoch: int, lease: Assignment | None = None) -> Document:
    return {
        "epoch": epoch,
        "keeper": lease.keeper_id if lease else None,
        "is_ahead": lease is not None and len(lease.lineage) > 1,
        "began_at": to_rfc3339(lease.offered_at) if lease else None,
        "ended_at": to_rfc3339(lease.ended_at) if lease and lease.ended_at else None,
        "lease": lease.status if lease else None,
        "end_reason": (lease.end_reason or None) if lease else None,
        "commitment": None,
        "failure": None,
        "rollbacks": [],
    }


def _commitment(row: Commitment) -> Document:
    return {
        "epoch": row.epoch,
        "keeper": row.producer_id,
        "status": row.status,
        "depth": row.depth,
        "bond_units": str(row.bond_units),
        "ancestors": [{"task": f"task_{task}", "epoch": epoch} for task, epoch in row.ancestors],
        "reason": row.reason or None,
        "opened_at": to_rfc3339(row.opened_at),
        "ended_at": to_rfc3339(row.ended_at) if row.ended_at else None,
    }


def _failure(row: Failure) -> Document:
    return {
        "reason": row.reason,
        "code": row.error_code,
        "detail": row.error_detail,
        "detected_at": to_rfc3339(row.detected_at),
    }


def _part(item: RollbackItem) -> Document:
    """A task's part in one rollback."""
    rollback = item.rollback
    return {
        "id": to_wire("rbk", rollback.id),
        "root": rollback.root.step_key,
        "is_root": item.task_id == rollback.root_id,
        "reason": rollback.reason,
        "at": to_rfc3339(rollback.applied_at or rollback.detected_at),
        "previous": item.previous,
        "target": item.target,
        "released_units": str(item.released_units),
        "slashed_units": str(item.slashed_units),
        "wasted_units": str(item.wasted_units),
    }

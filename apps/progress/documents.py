"""The wire forms of runs and tasks: plain JSON values, the same for the API and for the pages.

Built from rows that are already in memory: nothing here asks the database. Absent things are null,
never an empty text; money is a string of an integer.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from apps.attestation.models import RoundItem, Vote
from apps.execution.models import Assignment
from apps.kernel.ids import to_wire
from apps.progress.attempts import attempts_of, get_decision, proof_of, speculation_of
from apps.progress.domain.frames import to_rfc3339
from apps.progress.related import Related
from apps.settlement.models import Settlement
from apps.tasks.models import Run, Task

Document = dict[str, Any]

_MEASURES: Final = (
    "cpu_ms",
    "wall_ms",
    "peak_memory_bytes",
    "compute_units",
    "gas_used",
    "started_at",
    "finished_at",
)


def run_summary(run: Run, task_counts: Mapping[str, int]) -> Document:
    """A run without its tasks; `task_counts` is status → how many."""
    return {
        "id": to_wire("run", run.id),
        "job": {"id": to_wire("job", run.job_id), "name": run.job.name},
        "project": to_wire("proj", run.project_id),
        "status": run.status,
        "tick_key": run.tick_key,
        "due_at": _time(run.due_at),
        "opened_at": _time(run.opened_at),
        "finished_at": _time(run.finished_at),
        "cancel_requested_at": _time(run.cancel_requested_at),
        "trace_id": run.trace_id,
        "tasks_total": run.tasks_total,
        "task_counts": dict(sorted(task_counts.items())),
        "escrow_units": str(run.escrow_units),
        "spent_units": str(run.spent_units),
    }


def task_summary(task: Task) -> Document:
    """A task's own columns.

    `depth` is that of the latest decision, which counts unconfirmed ancestors only; where none was asked it
    is the longest path above the task.
    """
    decision = get_decision(task)
    return {
        "id": to_wire("task", task.id),
        "run": to_wire("run", task.run_id),
        "step_key": task.step_key,
        "position": task.position,
        "status": task.status,
        "depth": decision.depth if decision else task.depth,
        "is_ahead": task.is_ahead,
        "is_failing": task.is_failing,
        "epoch": task.epoch,
        "failures": task.failures,
        "timeline": task.timeline,
        "performer": task.performer or None,
        "error": {"code": task.error_code, "detail": task.error_detail} if task.error_code else None,
        "output_cid": task.output_cid or None,
        "package_cid": task.package_cid or None,
    }


def task_document(task: Task, related: Related) -> Document:
    """A task with everything known about it."""
    assignments = related.assignments.get(task.id, [])
    commitments = related.commitments.get(task.id, [])
    item, settlement = related.items.get(task.id), related.settlements.get(task.id)
    return {
        **task_summary(task),
        "parents": [{"step": one.step, "kind": one.kind} for one in related.parents.get(task.id, ())],
        "measures": _measures(task.result),
        "assignments": [_assignment(assignment) for assignment in assignments],
        "attestation": _attestation(item, related.votes.get(task.id, ())) if item else None,
        "settlement": _settlement(settlement) if settlement else None,
        "speculation": speculation_of(task, commitments),
        "proof": proof_of(related.proofs.get(task.id)),
        "attempts": attempts_of(
            assignments=assignments,
            commitments=commitments,
            failures=related.failures.get(task.id, ()),
            undone=related.undone.get(task.id, ()),
        ),
    }


def _measures(result: Mapping[str, Any] | None) -> Document | None:
    return {name: result.get(name) for name in _MEASURES} if result else None


def _assignment(assignment: Assignment) -> Document:
    return {
        "keeper": assignment.keeper_id,
        "epoch": assignment.epoch,
        "status": assignment.status,
        "offered_at": _time(assignment.offered_at),
        "acknowledged_at": _time(assignment.acknowledged_at),
        "ended_at": _time(assignment.ended_at),
        "end_reason": assignment.end_reason or None,
        "score_card": assignment.score_card,
    }


def _attestation(item: RoundItem, cast: Sequence[Vote]) -> Document:
    votes = [vote for vote in cast if vote.number == item.number]
    positive = sum(vote.is_positive for vote in votes)
    return {
        "round": to_wire("rnd", item.round_id),
        "number": item.number,
        "committee": item.round.committee,
        "votes": [
            {"attester": vote.attester, "positive": vote.is_positive, "reason": vote.reason or None}
            for vote in votes
        ],
        "positive": positive,
        "negative": len(votes) - positive,
        "required": item.round.required,
        "verdict": item.verdict,
    }


def _settlement(settlement: Settlement) -> Document:
    return {
        "batch": to_wire("bat", settlement.batch_id),
        "status": settlement.status,
        "tx_hash": settlement.tx_hash or None,
        "block_number": settlement.block_number,
        "block_hash": settlement.block_hash or None,
        "proof_of_task": settlement.proof_of_task,
        "confirmed_at": _time(settlement.batch.confirmed_at),
        "gas_units": str(settlement.gas_units),
        "fee_units": str(settlement.fee_units),
    }


def _time(at: datetime | None) -> str | None:
    return to_rfc3339(at) if at else None

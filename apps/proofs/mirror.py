"""How a task shows what its proof does: its status follows, its events tell, its failure is signalled."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from apps.proofs.domain.deferral import ANCESTOR_FAILED, DeferredProof, ProofStatus
from apps.proofs.models import Proof
from apps.proofs.rows import COSTS
from apps.proofs.selectors import LIVE
from apps.tasks.changes import TaskChanges
from apps.tasks.data import FailureReason, TaskStatus
from apps.tasks.models import Task

_S = ProofStatus
#: a task with a proof is looked at again this late at the latest; its proof is what really wakes it
_TASK_SECONDS: Final = 3_600
#: the statuses a task passes on its way to where its proof is
_WAYS: Final[Mapping[ProofStatus, tuple[TaskStatus, ...]]] = {
    _S.QUEUED: (TaskStatus.PROVING,),
    _S.GENERATING: (TaskStatus.PROVING,),
    _S.GENERATED: (TaskStatus.PROVED,),
    _S.SUBMITTING: (TaskStatus.PROVED,),
    _S.AWAITING_ANCESTORS: (TaskStatus.PROVED, TaskStatus.WAITING_ANCESTORS),
}
_ORDER: Final = (TaskStatus.ATTESTED, *LIVE)
_ENDINGS: Final[Mapping[ProofStatus, str]] = {
    _S.FAILED: "proof.failed",
    _S.TIMED_OUT: "proof.timed_out",
    _S.CANCELLED: "proof.cancelled",
}


def task_follow(
    changes: TaskChanges, task: Task, row: Proof, before: DeferredProof, after: DeferredProof
) -> None:
    """Let a locked task follow its proof, whose row is as it is to be, and tell what happened to it.

    It never goes back: one that waited for its ancestors stays so until it is submitted.
    """
    facts: dict[str, Any] = {"proof": str(row), "circuit": row.circuit}
    if after.status in _WAYS:
        for target in _WAYS[after.status]:
            if task.status in _ORDER and _ORDER.index(target) > _ORDER.index(TaskStatus(task.status)):
                _move(changes, task, target, facts | _facts_of(target, row, before, after))
    if after.status is before.status:
        return
    if after.status is _S.SUBMITTING:
        changes.tell(task, "proof.submitted", facts | {"submission": after.submission})
    elif after.status in _ENDINGS:
        changes.tell(task, _ENDINGS[after.status], facts | {"reason": row.reason})


def task_rest(changes: TaskChanges, task: Task) -> None:
    """Nothing about a locked task is due before its proof wakes it."""
    changes.touch(task, wake_at=changes.now + timedelta(seconds=_TASK_SECONDS), stage_errors=0)


def task_give_up(changes: TaskChanges, task: Task, row: Proof, detail: str = "") -> None:
    """Signal that a locked task's proof came to a bad end."""
    changes.signal(task, _reason_of(row), row.reason or f"proof_{row.status}", detail or str(row))


def _move(changes: TaskChanges, task: Task, target: TaskStatus, facts: dict[str, Any]) -> None:
    wake_at = changes.now + timedelta(seconds=_TASK_SECONDS)
    changes.move(task, target, wake_at=wake_at, facts=facts, event=facts.pop("event", None))


def _facts_of(target: TaskStatus, row: Proof, before: DeferredProof, after: DeferredProof) -> dict[str, Any]:
    """What the event of a move is called, and what more it says; made before means submitted again."""
    if target is TaskStatus.PROVING:
        return {"event": "proof.queued", "depth": row.depth, "waits_for": len(row.ancestors)}
    if target is TaskStatus.WAITING_ANCESTORS:
        return {"event": "proof.deferred"}
    if before.generated_at is not None or after.generated_at is None:
        return {}
    cost = {name: getattr(row, name) for name in COSTS if getattr(row, name) is not None}
    return {"event": "proof.generated", "public_input": row.public_input, **(cost or {"is_shared": True})}


def _reason_of(row: Proof) -> FailureReason:
    if row.status == _S.CONFIRMED:
        return FailureReason.INVALID_STATE
    if row.status == _S.TIMED_OUT:
        return FailureReason.TIMEOUT
    if row.status == _S.CANCELLED and row.reason == ANCESTOR_FAILED:
        return FailureReason.ANCESTOR_FAILED
    return FailureReason.PROOF_GENERATION_FAILED if row.proof is None else FailureReason.PROOF_REJECTED

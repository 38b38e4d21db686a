"""What becomes of a task whose attempt did not stand: its failure is signalled, with what it counts as."""

from collections.abc import Mapping
from typing import Final

from apps.tasks.changes import TaskChanges
from apps.tasks.data import FailureReason
from apps.tasks.models import Task

#: what a keeper's error code counts as; every other one is the script's own failure
REASONS: Final[Mapping[str, FailureReason]] = {
    "script_timeout": FailureReason.TIMEOUT,
    "script_memory": FailureReason.RESOURCES_EXHAUSTED,
    "receipt_invalid": FailureReason.RESULT_REJECTED,
    "output_hash_mismatch": FailureReason.RESULT_REJECTED,
    "cid_invalid": FailureReason.RESULT_REJECTED,
}

#: what a keeper answers for; a script that fails, or a task that cannot be carried out, is its author's
BLAMED: Final = frozenset(
    {
        "attestation_invalid",
        "cid_invalid",
        "lease_expired",
        "lineage_broken",
        "output_hash_mismatch",
        "proof_rejected",
        "receipt_invalid",
    }
)


def attempt_failed(
    changes: TaskChanges, task: Task, code: str, detail: str = "", *, reason: FailureReason | None = None
) -> None:
    """Signal that a locked task's attempt failed; where that is its performer's fault, its record has it."""
    if code in BLAMED:
        changes.blame(task.performer)
    changes.signal(task, reason or REASONS.get(code, FailureReason.EXECUTION_FAILED), code, detail)

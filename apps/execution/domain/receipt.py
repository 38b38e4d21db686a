"""What a receipt means for its task: recorded, a failed attempt, or nothing at all.

Refusals (`EpochStale`, `LeaseClosed`, …) are raised and change nothing. A receipt that its keeper
signed but that contradicts itself counts as a failed attempt of that keeper.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from apps.content.domain.cid import cid_digest
from apps.eventlog.domain.forms import json_form
from apps.eventlog.errors import SecretInPayload
from apps.execution.data import ASSIGNMENT_TABLE, AssignmentStatus, Receipt
from apps.execution.domain.action import CALL_DATA_MAX_BYTES, is_custom
from apps.execution.errors import (
    AssignmentUnknown,
    EpochStale,
    LeaseClosed,
    LeaseForeign,
    OutputHashMismatch,
    ReceiptInvalid,
)
from apps.kernel.errors import DomainError
from apps.kernel.hashing import from_hex, to_hex
from apps.kernel.ids import from_wire
from apps.speculation.domain.lineage import Ground
from apps.storage.domain.updates import read_updates, snapshot_from_json
from apps.tasks.data import TaskStatus

_MEASURES: Final = ("compute_units", "cpu_ms", "wall_ms", "peak_memory_bytes", "gas_used")
_TIMES: Final = ("started_at", "finished_at")
#: what a task keeps of an accepted result; whatever else its keeper signed stays in the lease's receipt
RESULT_MEMBERS: Final = (
    "status",
    "output_cid",
    "output_hash",
    "package_cid",
    "action",
    "simulated_block",
    "parents",
    "salt",
    "statement",
    *_MEASURES,
    *_TIMES,
)
_PARENT_MEMBERS: Final = frozenset({"task", "epoch", "output_cid", "output_hash"})
_AT_WORK: Final = (TaskStatus.SCHEDULED, TaskStatus.EXECUTING)
_MAX_COUNT: Final = 1 << 53
_CODE: Final = re.compile(r"[a-z0-9_]{1,64}")
_WORD: Final = re.compile(r"0x[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseValue:
    """The lease a receipt claims, as the database has it."""

    lease: UUID
    epoch: int
    task_epoch: int
    task_status: TaskStatus
    keeper: str
    status: AssignmentStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What to do with a receipt that is the lease holder's own word."""

    is_accepted: bool
    error_code: str = ""
    error_detail: str = ""


def require_lease(receipt_lease: UUID, epoch: int, keeper: str, held: LeaseValue | None) -> None:
    """Raise unless the message speaks of the live lease of the task's current epoch, by its holder.

    Raises AssignmentUnknown, EpochStale, LeaseForeign, LeaseClosed.
    """
    if held is None or held.lease != receipt_lease:
        raise AssignmentUnknown(lease=receipt_lease.hex, epoch=epoch)
    if epoch != held.task_epoch:
        raise EpochStale(epoch=epoch, current=held.task_epoch)
    if keeper != held.keeper:
        raise LeaseForeign(keeper=keeper)
    if ASSIGNMENT_TABLE.is_ending(held.status):
        raise LeaseClosed(status=str(held.status))
    if held.task_status not in _AT_WORK:
        raise LeaseClosed(status=f"task_{held.task_status}")


def judge_receipt(receipt: Receipt, spec: Mapping[str, Any]) -> Judgement:
    """Read the result of a receipt whose lease and signature are in order."""
    result = receipt.result
    if result.get("status") == "failed":
        code = str(result.get("error_code"))
        return Judgement(
            is_accepted=False,
            error_code=code if _CODE.fullmatch(code) else "unknown",
            error_detail=_tellable(str(result.get("error_detail") or "")),
        )
    try:
        require_sound_result(result, spec)
    except DomainError as exc:
        return Judgement(is_accepted=False, error_code=exc.code, error_detail=_tellable(str(exc)))
    return Judgement(is_accepted=True)


def require_sound_result(result: Mapping[str, Any], spec: Mapping[str, Any]) -> None:
    """Raise ReceiptInvalid or OutputHashMismatch unless a successful result is complete and coherent."""
    if result.get("status") != "ok":
        raise ReceiptInvalid(reason="status is neither ok nor failed")
    for name in _MEASURES:
        _require_count(name, result.get(name))
    _require_count("simulated_block", result.get("simulated_block", 0))
    for name in _TIMES:
        _require_time(name, result.get(name))
    for name in ("output_cid", "package_cid"):
        if not isinstance(result.get(name), str):
            raise ReceiptInvalid(reason=f"{name} is missing")
    cid_digest(result["package_cid"])
    if from_hex(result.get("output_hash", ""), length=32) != cid_digest(result["output_cid"]):
        raise OutputHashMismatch(output_cid=result["output_cid"], output_hash=result["output_hash"])
    _require_sound_action(result.get("action"), spec["action"])
    _require_sound_parents(result.get("parents") or {}, spec.get("awaits") or {})
    _require_sound_updates(result, spec.get("storage"))
    _require_sound_statement(result, spec.get("proof"))


def parents_of(result: Mapping[str, Any]) -> dict[UUID, Ground]:
    """What a sound result says it was made from: each awaited parent's attempt and the hash of its output.

    `require_lineage` compares it with what is recorded of those parents.
    """
    return {
        from_wire("task", each["task"]): Ground(epoch=each["epoch"], output_hash=each["output_hash"])
        for each in (result.get("parents") or {}).values()
    }


def statement_of(result: Mapping[str, Any], spec: Mapping[str, Any]) -> tuple[int, int]:
    """Circuit and public input of the proof a sound result is to have; (0, 0) where none is asked for."""
    proof = spec.get("proof")
    return (proof["circuit"], int(result["statement"], 16)) if proof else (0, 0)


def _require_sound_action(action: Any, wanted: Mapping[str, Any] | None) -> None:
    if action is None:
        return
    if wanted is None or not isinstance(action, dict) or len(action) != 3:
        raise ReceiptInvalid(reason="an action where the task has none")
    targets = wanted["targets"] if is_custom(wanted) else [wanted["target"].lower()]
    if action.get("target") not in targets or action.get("gas_limit") != wanted["gas_limit"]:
        raise ReceiptInvalid(reason="another action than the task's")
    if len(from_hex(action.get("call_data", ""))) > CALL_DATA_MAX_BYTES:
        raise ReceiptInvalid(reason=f"call data longer than {CALL_DATA_MAX_BYTES} bytes")


def _require_sound_parents(parents: Any, awaits: Mapping[str, Mapping[str, Any]]) -> None:
    """Exactly what was awaited, each with an output whose hash is its CID's digest."""
    if not isinstance(parents, dict) or parents.keys() != awaits.keys():
        raise ReceiptInvalid(reason="other parents than were awaited")
    for step, parent in parents.items():
        if not isinstance(parent, dict) or parent.keys() != _PARENT_MEMBERS:
            raise ReceiptInvalid(reason=f"parent {step} is not named by its attempt and output")
        _require_count(f"parent {step}'s epoch", parent["epoch"])
        if (parent["task"], parent["epoch"]) != (awaits[step]["task"], awaits[step]["epoch"]):
            raise ReceiptInvalid(reason=f"parent {step} is another attempt")
        if not isinstance(parent["output_cid"], str):
            raise ReceiptInvalid(reason=f"parent {step} has no output")
        if parent["output_hash"] != to_hex(cid_digest(parent["output_cid"])):
            raise OutputHashMismatch(output_cid=parent["output_cid"], output_hash=parent["output_hash"])


def _require_sound_updates(result: Mapping[str, Any], storage: Mapping[str, Any] | None) -> None:
    """None at all, or what the job may keep under the snapshot the task was given."""
    if "storage_updates" not in result:
        return
    if storage is None or result["storage_updates"] is None:
        raise ReceiptInvalid(reason="storage updates where there are none")
    try:
        read_updates(result, snapshot_from_json(storage))
    except DomainError as exc:
        raise ReceiptInvalid(reason=f"{exc.code}: {exc.fields.get('reason', '')}") from None


def _require_sound_statement(result: Mapping[str, Any], proof: Mapping[str, Any] | None) -> None:
    """A salt and a statement of 32 bytes each where a proof is asked for, and neither where none is."""
    for name in ("salt", "statement"):
        value = result.get(name)
        if not proof and value is not None:
            raise ReceiptInvalid(reason=f"a {name} where no proof is asked for")
        if proof and not (isinstance(value, str) and _WORD.fullmatch(value)):
            raise ReceiptInvalid(reason=f"{name} is 32 bytes in lower-case hex")


def _require_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MAX_COUNT:
        raise ReceiptInvalid(reason=f"{name} is a non-negative integer")


def _require_time(name: str, value: Any) -> None:
    if value is None:
        return
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ReceiptInvalid(reason=f"{name} is a time") from None


def _tellable(text: str) -> str:
    """A text from outside as a row and an event may carry it: scripts print what they like."""
    try:
        return str(json_form(text))[:500]
    except SecretInPayload:
        return "withheld: it looks like a secret"

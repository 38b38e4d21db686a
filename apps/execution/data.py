"""What the dispatcher and a keeper say to each other about one execution.

An `Assignment` carries a task's whole specification and is signed by the dispatcher; a `Receipt`
carries the whole result and is signed by the keeper. Both signatures are EIP-712, bound to chain,
hub, purpose, task, epoch and lease. The specification and the result are bound by the keccak of
their canonical JSON. Nothing here knows Django.

Task specification (JSON)::

    {"task": "task_…", "step": "main", "due_at": "2026-…Z",
     "script": {"cid": "…", "language": "python"} | null, "inputs": {"stocks.csv": "<cid>"},
     "params": …, "parents": {"load": "<output cid>"},
     "awaits": {"clean": {"task": "task_…", "epoch": 3, "lease": "<hex>", "keeper": "0x…",
                          "kind": "data|order"}},
     "proof": {"circuit": 16} | null,
     "arguments": {"kind": "none|static|dynamic", "values": […]},
     "action": {"chain_id", "target", "function", "abi", "value_wei", "gas_limit"}
               | {"chain_id", "custom": true, "targets", "gas_limit"} | null,
     "storage": {"values": {"runs": {"value": 3, "version": 17}}, "limits": {…}},
     "limits": {"deadline_seconds", "memory_mb", "cpu_seconds"}}

`parents` are outputs that were recorded when the lease was given, `awaits` attempts that were under way:
their receipts come from keeper to keeper, or with the message. Result (JSON)::

    {"status": "ok", "output_cid": "…", "output_hash": "0x…", "package_cid": "…",
     "action": {"target": "0x…", "call_data": "0x…", "gas_limit": 200000} | null,
     "gas_used": 41234, "simulated_block": 17, "compute_units": 12, "cpu_ms": 11, "wall_ms": 15,
     "peak_memory_bytes": 9437184, "started_at": "…Z", "finished_at": "…Z",
     "parents": {"clean": {"task": "task_…", "epoch": 3, "output_cid": "…", "output_hash": "0x…"}},
     "storage_updates": {"runs": 4, "old": null},
     "salt": "0x…", "statement": "0x…"}
    {"status": "failed", "error_code": "script_timeout", "error_detail": "…", + the measures}

`parents` of a specification are outputs that were known when it was signed. `awaits` are parents that were
under way: the keeper needs a success receipt of exactly that attempt before it starts, the script reads the
output of those of kind `data`, and the result names every one in its own `parents`. `salt` and `statement`
(32 bytes each) are there where the specification asks for a proof. `storage` is there with a custom action:
what its job kept when the run was opened; `storage_updates` where the script asks for any (null: forget it).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import coincurve

from apps.execution.errors import MessageMalformed
from apps.kernel.eip712 import TypedDomain, digest, sign, struct_hash
from apps.kernel.errors import Invalid
from apps.kernel.hashing import canonical_json, from_hex, keccak, to_hex
from apps.kernel.ids import from_wire, to_wire
from apps.kernel.transitions import TransitionTable

ASSIGNMENT_TYPE: Final = (
    "Assignment(uint256 taskId,uint256 runId,uint64 epoch,uint256 lease,"
    "address keeper,uint64 expiresAt,bytes32 specHash)"
)
RECEIPT_TYPE: Final = "Receipt(uint256 taskId,uint64 epoch,uint256 lease,address keeper,bytes32 resultHash)"
_RECEIPT_MEMBERS: Final = ("task", "epoch", "lease", "keeper", "result", "signature")
ACKNOWLEDGEMENT_TYPE: Final = "Acknowledgement(uint256 taskId,uint64 epoch,uint256 lease,address keeper)"


class AssignmentStatus(StrEnum):
    """Where one lease of one task stands."""

    #: sent to the keeper, which has not answered
    OFFERED = "offered"
    #: the keeper said that it works on it
    ACKNOWLEDGED = "acknowledged"
    #: the keeper returned a valid receipt with an output
    RETURNED = "returned"
    #: the keeper returned a valid receipt that says it failed
    FAILED = "failed"
    #: no acknowledgement or receipt in time, or the keeper is gone
    EXPIRED = "expired"
    #: the task ended while the lease was open
    REVOKED = "revoked"


_S = AssignmentStatus
_ENDINGS: Final = frozenset({_S.RETURNED, _S.FAILED, _S.EXPIRED, _S.REVOKED})

ASSIGNMENT_TABLE: Final = TransitionTable(
    name="assignment",
    moves={
        _S.OFFERED: frozenset({_S.ACKNOWLEDGED, *_ENDINGS}),
        _S.ACKNOWLEDGED: _ENDINGS,
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A lease on one attempt of a task, as the dispatcher signs it."""

    task_id: UUID
    run_id: UUID
    epoch: int
    lease: UUID
    keeper: str
    expires_at: int
    spec: Mapping[str, Any]

    def digest(self, domain: TypedDomain) -> bytes:
        """The 32 bytes the dispatcher signs."""
        spec_hash = keccak(canonical_json(self.spec))
        values = (
            self.task_id.int,
            self.run_id.int,
            self.epoch,
            self.lease.int,
            self.keeper,
            self.expires_at,
            spec_hash,
        )
        return digest(domain, struct_hash(ASSIGNMENT_TYPE, values))

    def to_json(self, *, domain: TypedDomain, key: coincurve.PrivateKey) -> dict[str, Any]:
        """The signed message body."""
        return {
            "task": to_wire("task", self.task_id),
            "run": to_wire("run", self.run_id),
            "epoch": self.epoch,
            "lease": self.lease.hex,
            "keeper": self.keeper,
            "expires_at": self.expires_at,
            "spec": dict(self.spec),
            "signature": to_hex(sign(key, self.digest(domain))),
        }


def assignment_from_json(body: Mapping[str, Any]) -> tuple[Assignment, bytes]:
    """Parse a message body into the assignment and the signature it claims; raise MessageMalformed."""
    try:
        assignment = Assignment(
            task_id=from_wire("task", body["task"]),
            run_id=from_wire("run", body["run"]),
            epoch=_count(body["epoch"]),
            lease=UUID(hex=body["lease"]),
            keeper=str(body["keeper"]),
            expires_at=_count(body["expires_at"]),
            spec=_mapping(body["spec"]),
        )
        return assignment, from_hex(body["signature"], length=65)
    except (KeyError, TypeError, ValueError, AttributeError, Invalid) as exc:
        raise MessageMalformed(message="assignment", reason=repr(exc)[:200]) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A keeper's signed answer to one lease."""

    task_id: UUID
    epoch: int
    lease: UUID
    keeper: str
    result: Mapping[str, Any]

    def digest(self, domain: TypedDomain) -> bytes:
        """The 32 bytes the keeper signs."""
        result_hash = keccak(canonical_json(self.result))
        values = (self.task_id.int, self.epoch, self.lease.int, self.keeper, result_hash)
        return digest(domain, struct_hash(RECEIPT_TYPE, values))

    def to_json(self, *, domain: TypedDomain, key: coincurve.PrivateKey) -> dict[str, Any]:
        """The signed message body."""
        return {
            "task": to_wire("task", self.task_id),
            "epoch": self.epoch,
            "lease": self.lease.hex,
            "keeper": self.keeper,
            "result": dict(self.result),
            "signature": to_hex(sign(key, self.digest(domain))),
        }


def receipt_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """A well-formed receipt's body without what nobody signed."""
    return {name: body[name] for name in _RECEIPT_MEMBERS}


def receipt_from_json(body: Mapping[str, Any]) -> tuple[Receipt, bytes]:
    """Parse a message body into the receipt and the signature it claims; raise MessageMalformed.

    A result with a NUL in it is malformed: no database would keep it as it was signed.
    """
    try:
        _require_storable(body["result"])
        receipt = Receipt(
            task_id=from_wire("task", body["task"]),
            epoch=_count(body["epoch"]),
            lease=UUID(hex=body["lease"]),
            keeper=_address(body["keeper"]),
            result=_mapping(body["result"]),
        )
        return receipt, from_hex(body["signature"], length=65)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, Invalid) as exc:
        raise MessageMalformed(message="receipt", reason=repr(exc)[:200]) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """A keeper's word that it works on a lease; sent only when the work takes longer than a moment."""

    task_id: UUID
    epoch: int
    lease: UUID
    keeper: str

    def digest(self, domain: TypedDomain) -> bytes:
        """The 32 bytes the keeper signs."""
        values = (self.task_id.int, self.epoch, self.lease.int, self.keeper)
        return digest(domain, struct_hash(ACKNOWLEDGEMENT_TYPE, values))

    def to_json(self, *, domain: TypedDomain, key: coincurve.PrivateKey) -> dict[str, Any]:
        """The signed message body."""
        return {
            "task": to_wire("task", self.task_id),
            "epoch": self.epoch,
            "lease": self.lease.hex,
            "keeper": self.keeper,
            "signature": to_hex(sign(key, self.digest(domain))),
        }


def acknowledgement_from_json(body: Mapping[str, Any]) -> tuple[Acknowledgement, bytes]:
    """Parse a message body; raise MessageMalformed."""
    try:
        acknowledgement = Acknowledgement(
            task_id=from_wire("task", body["task"]),
            epoch=_count(body["epoch"]),
            lease=UUID(hex=body["lease"]),
            keeper=_address(body["keeper"]),
        )
        return acknowledgement, from_hex(body["signature"], length=65)
    except (KeyError, TypeError, ValueError, AttributeError, Invalid) as exc:
        raise MessageMalformed(message="acknowledgement", reason=repr(exc)[:200]) from None


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise ValueError("a count is a non-negative integer")
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("an object is expected")
    return value


def _require_storable(value: Any) -> None:
    if isinstance(value, str) and "\x00" in value:
        raise ValueError("a text holds a NUL")
    if isinstance(value, dict):
        _require_storable([*value, *value.values()])
    elif isinstance(value, list):
        for item in value:
            _require_storable(item)


def _address(value: Any) -> str:
    if not isinstance(value, str) or len(value) != 42 or value != value.lower():
        raise ValueError("a lower-case address is expected")
    from_hex(value, length=20)
    return value

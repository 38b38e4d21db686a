"""The package of one result: task, action, proof and signature under one CID.

Canonical JSON with four members: `task` (the lease and its whole specification), `action` (the performer's
action data: what came out and of which parents' outputs, what is to be called, what it cost, the statement
that is proved of it), `proof` (the hashes that bind specification, output and action), `signature` (the
performer's, EIP-712, over the other three). Whoever has the package can check the result without asking
anybody.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import coincurve

from apps.execution.data import Assignment
from apps.kernel.eip712 import TypedDomain, digest, require_signer, sign, struct_hash
from apps.kernel.errors import Invalid
from apps.kernel.hashing import canonical_json, from_hex, keccak, to_hex
from apps.kernel.ids import to_wire

EXECUTION_TYPE: Final = (
    "Execution(uint256 taskId,uint64 epoch,uint256 lease,address performer,bytes32 bodyHash)"
)
_ACTION_MEMBERS: Final = (
    "status",
    "output_cid",
    "output_hash",
    "action",
    "gas_used",
    "simulated_block",
    "compute_units",
    "cpu_ms",
    "wall_ms",
    "peak_memory_bytes",
    "started_at",
    "finished_at",
    "parents",
    "salt",
    "statement",
)


class PackageDiffers(Invalid):
    """A package that is not what its assignment and its result say. Fields: reason."""

    code = "package_differs"
    title = "The package does not match the result"


def build_package(
    assignment: Assignment,
    result: Mapping[str, Any],
    action_hash: bytes,
    *,
    domain: TypedDomain,
    key: coincurve.PrivateKey,
) -> bytes:
    """The package of a result that lacks only its `package_cid`."""
    body = _build_body(assignment, result, action_hash)
    signature = {
        "scheme": "eip712",
        "type": EXECUTION_TYPE,
        "signer": assignment.keeper,
        "signature": to_hex(sign(key, _digest(assignment, body, domain))),
    }
    return canonical_json({**body, "signature": signature})


def require_package(
    data: bytes, assignment: Assignment, result: Mapping[str, Any], action_hash: bytes, *, domain: TypedDomain
) -> None:
    """Raise PackageDiffers unless the package is exactly the one of this result, signed by its performer."""
    body = _build_body(assignment, result, action_hash)
    try:
        found = json.loads(data)
        signature = found.pop("signature")
        require_signer(
            _digest(assignment, body, domain), from_hex(signature["signature"], length=65), assignment.keeper
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise PackageDiffers(reason="malformed") from None
    if signature.get("signer") != assignment.keeper or signature.get("type") != EXECUTION_TYPE:
        raise PackageDiffers(reason="another signature")
    if found != body:
        raise PackageDiffers(reason="another content")


def _build_body(assignment: Assignment, result: Mapping[str, Any], action_hash: bytes) -> dict[str, Any]:
    spec_hash = keccak(canonical_json(assignment.spec))
    output_hash = from_hex(result["output_hash"], length=32)
    return {
        "task": {
            "task": to_wire("task", assignment.task_id),
            "run": to_wire("run", assignment.run_id),
            "epoch": assignment.epoch,
            "lease": assignment.lease.hex,
            "spec": dict(assignment.spec),
        },
        "action": {"performer": assignment.keeper} | {name: result.get(name) for name in _ACTION_MEMBERS},
        "proof": {
            "spec_hash": to_hex(spec_hash),
            "output_hash": to_hex(output_hash),
            "action_hash": to_hex(action_hash),
            "execution_hash": to_hex(keccak(spec_hash + output_hash + action_hash)),
        },
    }


def _digest(assignment: Assignment, body: Mapping[str, Any], domain: TypedDomain) -> bytes:
    values = (
        assignment.task_id.int,
        assignment.epoch,
        assignment.lease.int,
        assignment.keeper,
        keccak(canonical_json(body)),
    )
    return digest(domain, struct_hash(EXECUTION_TYPE, values))

"""One assignment from the dispatcher's message to the signed receipt, top to bottom.

What is refused (forged, foreign, expired, stale, without its parents' receipts) is dropped without an answer:
the database offers it again. What fails as a task is answered with a signed receipt that says so. What only
the outside world can cure is tried again until the lease is over, and then left to the next keeper. The same
assignment again gets the very same receipt. Beside its own a keeper hands over the parents' receipts that
came to it from other keepers, so that a child's never waits for its parent's.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from apps.content.domain.cid import cid_digest
from apps.execution.data import Acknowledgement, Assignment, Receipt, assignment_from_json
from apps.execution.domain.action import Action
from apps.kernel.eip712 import require_signer
from apps.kernel.hashing import to_hex
from apps.kernel.ids import to_wire
from apps.kernel.settlement_hash import NO_ACTION
from workers.keeper.errors import (
    AssignmentExpired,
    AssignmentForeign,
    BlockUnavailable,
    ChainUnavailable,
    ParametersInvalid,
    StatementImpossible,
    TaskFailed,
)
from workers.keeper.lineage import Parent, bodies_of, parents_to_json, require_parents, stand_on
from workers.keeper.measures import Measures
from workers.keeper.node import Node
from workers.keeper.outbox import RECEIPTS
from workers.keeper.package import build_package
from workers.keeper.patience import keep_trying
from workers.keeper.rpc import Simulation
from workers.keeper.sandbox.data import AbortHandle
from workers.keeper.statement import compute_public_input, salt_new
from workers.keeper.task_spec import TaskSpec, read_spec
from workers.keeper.work import Performed, perform

ACKNOWLEDGE_AFTER_SECONDS: Final = 0.25
NOT_SIMULATED: Final = Simulation(block=0, gas_used=0)


def execute(
    node: Node, body: Mapping[str, Any], *, parents: Any = (), receipts: Any = ()
) -> tuple[Mapping[str, Any], ...]:
    """Carry out an assignment, put its receipt into the outbox, and return it where it tells of a success.

    `parents` are receipts that the database sent along, `receipts` what the keeper before this one returned.
    Raises MessageMalformed, SignatureInvalid, AssignmentForeign, AssignmentExpired, EpochStale, LeaseRunning,
    ParentReceiptMissing, ParentReceiptForged, LanguageUnavailable, WorkAborted, and the errors of `OUTSIDE`;
    then nothing is answered.
    """
    assignment = require_assignment(node, body)
    key = f"{assignment.task_id.hex}:{assignment.epoch}:{assignment.lease.hex}"
    answered = node.answers.get(key)
    if answered is None:
        with node.leases.working(assignment.task_id, assignment.epoch, assignment.lease) as handle:
            answered = _answer(node, assignment, bodies_of(parents), bodies_of(receipts), handle)
            node.answers.put(key, answered)

    for receipt in (*answered["parents"], answered["receipt"]):
        node.outbox.add(RECEIPTS, receipt)
    return (answered["receipt"],) if answered["receipt"]["result"]["status"] == "ok" else ()


def require_assignment(node: Node, body: Mapping[str, Any]) -> Assignment:
    """The assignment of a message, if it is genuine, for this keeper, and its time is not over.

    Raises MessageMalformed, AssignmentForeign, SignatureInvalid, AssignmentExpired.
    """
    assignment, signature = assignment_from_json(body)
    if assignment.keeper != node.address:
        raise AssignmentForeign(keeper=assignment.keeper)
    require_signer(assignment.digest(node.domain), signature, node.dispatcher)
    if assignment.expires_at <= time.time():
        raise AssignmentExpired(expires_at=assignment.expires_at)
    return assignment


def _answer(
    node: Node,
    assignment: Assignment,
    known: Sequence[Mapping[str, Any]],
    brought: Sequence[Mapping[str, Any]],
    handle: AbortHandle,
) -> dict[str, Any]:
    """The signed receipt, and those of its parents that the database did not send, and so may not have."""
    acknowledgement = node.outbox.acknowledge_after(
        ACKNOWLEDGE_AFTER_SECONDS, lambda: _acknowledge(node, assignment)
    )
    try:
        result, used = compute_result(node, assignment, (*known, *brought), handle)
    finally:
        acknowledgement.cancel()
    leases = {body.get("lease") for body in known if isinstance(body.get("lease"), str)}
    unknown = [parent.receipt for parent in used if parent.awaited.lease.hex not in leases]
    return {"receipt": _sign_receipt(node, assignment, result), "parents": unknown}


def compute_result(
    node: Node, assignment: Assignment, given: Sequence[Mapping[str, Any]], handle: AbortHandle
) -> tuple[dict[str, Any], tuple[Parent, ...]]:
    """Do the work, simulate its action, store output and package; the result, and the parents it stands on.

    Raises ParentReceiptMissing, ParentReceiptForged, LanguageUnavailable, WorkAborted, and the errors of
    `OUTSIDE`.
    """
    started_at, until = datetime.now(UTC), float(assignment.expires_at)
    try:
        task = to_wire("task", assignment.task_id)
        spec = read_spec(assignment.spec, task=task, chain_id=node.domain.chain_id)
    except ParametersInvalid as refused:
        detail = f"{refused.pointer}: {refused.reason}"
        return _failed("parameters_invalid", detail, Measures(), started_at), ()
    parents = require_parents(spec.awaits, given, domain=node.domain)
    spec = stand_on(spec, parents)

    performed = perform(node, spec, handle, until=until)
    if performed.error_code is not None:
        return _failed(performed.error_code, performed.error_detail, performed.measures, started_at), parents
    try:
        simulation = keep_trying(
            lambda: _simulate(node, performed.action), until=until, stopping=node.stopping
        )
        finished = _Finished(spec, parents, performed, simulation, started_at, datetime.now(UTC))
        return _store(node, assignment, finished, until), parents
    except TaskFailed as failure:
        return _failed(failure.code, failure.detail, performed.measures, started_at), parents


@dataclass(frozen=True, slots=True)
class _Finished:
    spec: TaskSpec
    parents: tuple[Parent, ...]
    performed: Performed
    simulation: Simulation
    started_at: datetime
    finished_at: datetime


def _simulate(node: Node, action: Action | None) -> Simulation:
    """The action's call at the head; raise TaskFailed `action_reverts`, ChainUnavailable."""
    if action is None:
        return NOT_SIMULATED
    try:
        (simulation,) = node.chain.simulate([action], sender=node.hub, block=node.chain.get_head())
    except BlockUnavailable as exc:
        raise ChainUnavailable(reason=f"no state for its head {exc.block}") from None
    if simulation.failure is not None:
        raise TaskFailed("action_reverts", simulation.failure)
    return simulation


def _store(node: Node, assignment: Assignment, finished: _Finished, until: float) -> dict[str, Any]:
    """Put the output, then the package of the whole result; the result names both.

    Raises TaskFailed `statement_impossible`.
    """
    performed, simulation = finished.performed, finished.simulation
    output_cid = _put(node, performed.output, until)
    result: dict[str, Any] = {
        "status": "ok",
        "output_cid": output_cid,
        "output_hash": to_hex(cid_digest(output_cid)),
        "action": None if performed.action is None else performed.action.to_json(),
        "gas_used": simulation.gas_used,
        "simulated_block": simulation.block,
        **performed.measures.to_json(),
        "started_at": _time(finished.started_at),
        "finished_at": _time(finished.finished_at),
    }
    if performed.storage_updates:
        result["storage_updates"] = dict(performed.storage_updates)
    if finished.parents:
        result["parents"] = parents_to_json(finished.parents)
    if finished.spec.circuit is not None:
        result |= _state(assignment, result)
    action_hash = NO_ACTION if performed.action is None else performed.action.hash
    package = build_package(assignment, result, action_hash, domain=node.domain, key=node.identity.key)
    return {**result, "package_cid": _put(node, package, until)}


def _state(assignment: Assignment, result: Mapping[str, Any]) -> dict[str, str]:
    """The salt, and the statement that will be proved of this result."""
    salt = salt_new()
    try:
        return {"salt": salt, "statement": compute_public_input(assignment, {**result, "salt": salt})}
    except StatementImpossible as exc:
        raise TaskFailed(exc.code, str(exc.reason)) from None


def _put(node: Node, data: bytes, until: float) -> str:
    put: Callable[[], str] = lambda: node.store.put(data)  # noqa: E731
    return keep_trying(put, until=until, stopping=node.stopping)


def _failed(code: str, detail: str, measures: Measures, started_at: datetime) -> dict[str, Any]:
    return {
        "status": "failed",
        "error_code": code,
        "error_detail": detail[:500],
        "gas_used": 0,
        **measures.to_json(),
        "started_at": _time(started_at),
        "finished_at": _time(datetime.now(UTC)),
    }


def _acknowledge(node: Node, assignment: Assignment) -> dict[str, Any]:
    return Acknowledgement(
        task_id=assignment.task_id,
        epoch=assignment.epoch,
        lease=assignment.lease,
        keeper=assignment.keeper,
    ).to_json(domain=node.domain, key=node.identity.key)


def _sign_receipt(node: Node, assignment: Assignment, result: Mapping[str, Any]) -> dict[str, Any]:
    return Receipt(
        task_id=assignment.task_id,
        epoch=assignment.epoch,
        lease=assignment.lease,
        keeper=assignment.keeper,
        result=result,
    ).to_json(domain=node.domain, key=node.identity.key)


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

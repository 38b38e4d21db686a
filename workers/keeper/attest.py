"""One round's call from the dispatcher's message to the BLS-signed ballot, top to bottom.

Every item is done again from its recorded specification, with the attester's own engine, and compared:
status, parents, output, action, storage updates, gas, package, statement. Taken over from the performer are
its measures and its salt alone: they are not to be had a second time. The root is built from the attester's
*own* results; agreeing with all of them means signing the settlement message over that root, which is what
the hub verifies. A result that failed is never agreed with: nothing of it may settle.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from apps.attestation.data import Ballot, RoundCall, ballot_message, hash_items, round_call_from_json
from apps.attestation.errors import BallotMalformed
from apps.content.domain.cid import cid_digest
from apps.content.errors import CidInvalid
from apps.execution.data import Assignment, Receipt, assignment_from_json, receipt_from_json
from apps.execution.domain.action import Action
from apps.kernel import bls
from apps.kernel.eip712 import require_signer
from apps.kernel.errors import DomainError
from apps.kernel.hashing import canonical_json, to_hex
from apps.kernel.ids import to_wire
from apps.kernel.merkle import merkle_root
from apps.kernel.settlement_hash import NO_ACTION, proof_of_task, settlement_leaf, settlement_message
from workers.keeper.errors import (
    AssignmentExpired,
    AssignmentForeign,
    BlockUnavailable,
    OwnResult,
    ParametersInvalid,
    ParentReceiptForged,
    ParentReceiptMissing,
    StatementImpossible,
    TaskFailed,
)
from workers.keeper.lineage import bodies_of, parents_to_json, require_parents, stand_on
from workers.keeper.node import Node
from workers.keeper.outbox import BALLOTS
from workers.keeper.package import PackageDiffers, require_package
from workers.keeper.patience import keep_trying
from workers.keeper.rpc import Simulation
from workers.keeper.sandbox.data import AbortHandle
from workers.keeper.statement import compute_public_input
from workers.keeper.task_spec import read_spec
from workers.keeper.work import TRIGGER_UNMET, fetch, perform

_NOTHING: Final = bytes(32)
_NO_SIGNATURE: Final = "0x" + "00" * 65


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One item as this attester sees it: its own result, and why it disagrees (empty: it agrees)."""

    assignment: Assignment
    result: Mapping[str, Any]
    output_hash: bytes = _NOTHING
    action: Action | None = None
    storage_updates: Mapping[str, Any] = field(default_factory=dict)
    circuit: int = 0
    statement: str | None = None
    reason: str = ""


def attest(node: Node, body: Mapping[str, Any]) -> None:
    """Judge a round's items and put the ballot into the outbox.

    Raises BallotMalformed, SignatureInvalid, AssignmentForeign, AssignmentExpired, OwnResult, EpochStale,
    LeaseRunning, LanguageUnavailable, WorkAborted, and the errors of `OUTSIDE`; then no ballot is cast.
    """
    call, items_hash = require_call(node, body)
    key = f"{call.round_id.hex}:{call.number}:{items_hash.hex()}"
    answered = node.answers.get(key)
    if answered is None:
        with node.leases.working(call.round_id, call.number, call.round_id) as handle:
            answered = cast_ballot(node, call, judge_items(node, call, handle)).to_json()
            node.answers.put(key, answered)
    node.outbox.add(BALLOTS, answered)


def require_call(node: Node, body: Mapping[str, Any]) -> tuple[RoundCall, bytes]:
    """The call of a message with its items' hash, if it is genuine, for this keeper, and in time.

    Raises BallotMalformed, AssignmentForeign, SignatureInvalid, AssignmentExpired.
    """
    call, signature = round_call_from_json(body)
    if call.attester != node.address:
        raise AssignmentForeign(keeper=call.attester)
    if not call.items:
        raise BallotMalformed(message="round", reason="no items")
    items_hash = hash_items(call.items)
    require_signer(call.digest(node.domain, items_hash), signature, node.dispatcher)
    if call.expires_at <= time.time():
        raise AssignmentExpired(expires_at=call.expires_at)
    return call, items_hash


def judge_items(node: Node, call: RoundCall, handle: AbortHandle) -> tuple[Judged, ...]:
    """Judge every item of a call, in order."""
    until = float(call.expires_at)
    judged = [_judge_item(node, item, handle, until) for item in call.items]
    return _judge_calls(node, judged, until)


def cast_ballot(node: Node, call: RoundCall, judged: Sequence[Judged]) -> Ballot:
    """Sign the verdicts: the settlement message where all are positive, the ballot message otherwise."""
    root = merkle_root([_leaf(item) for item in judged])
    verdicts = tuple(not item.reason for item in judged)
    if all(verdicts):
        message = settlement_message(chain_id=node.domain.chain_id, hub=node.hub, root=root)
    else:
        message = ballot_message(node.domain, call.round_id, root, verdicts)
    return Ballot(
        round_id=call.round_id,
        attester=node.address,
        root=root,
        verdicts=verdicts,
        reasons=tuple(item.reason for item in judged),
        signature=bls.sign(node.identity.bls_secret, message),
    )


def _judge_item(node: Node, item: Mapping[str, Any], handle: AbortHandle, until: float) -> Judged:
    """Everything about one item but its call on the chain."""
    assignment = _assignment_of(item)
    if assignment.keeper == node.address:
        raise OwnResult(task=to_wire("task", assignment.task_id))
    receipt = _genuine_receipt(node, item, assignment)
    if receipt is None:
        return Judged(assignment=assignment, result={}, reason="receipt_forged")
    judged = Judged(assignment=assignment, result=receipt.result)
    if receipt.result.get("status") != "ok":
        return replace(judged, reason="result_failed")

    try:
        task = to_wire("task", assignment.task_id)
        spec = read_spec(assignment.spec, task=task, chain_id=node.domain.chain_id)
    except ParametersInvalid:
        return replace(judged, reason="status_differs")
    try:
        parents = require_parents(spec.awaits, bodies_of(item.get("parents")), domain=node.domain)
    except (ParentReceiptMissing, ParentReceiptForged):
        return replace(judged, reason="lineage_broken")
    claimed = canonical_json(receipt.result.get("parents") or {})
    if claimed != canonical_json(parents_to_json(parents)):
        return replace(judged, reason="lineage_broken")
    performed = perform(node, stand_on(spec, parents), handle, until=until)
    if performed.error_code is not None:
        is_unmet = performed.error_code == TRIGGER_UNMET
        return replace(judged, reason=TRIGGER_UNMET if is_unmet else "status_differs")

    output_cid = keep_trying(lambda: node.store.put(performed.output), until=until, stopping=node.stopping)
    judged = replace(
        judged,
        output_hash=cid_digest(output_cid),
        action=performed.action,
        storage_updates=performed.storage_updates,
    )
    if spec.circuit is not None:
        judged = replace(judged, circuit=spec.circuit, statement=_state(judged))
    return replace(judged, reason=_difference(node, judged, output_cid, until))


def _state(own: Judged) -> str | None:
    """The statement of its own output with the performer's measures and salt; None where there is none."""
    try:
        return compute_public_input(own.assignment, {**own.result, "output_hash": to_hex(own.output_hash)})
    except StatementImpossible:
        return None


def _difference(node: Node, own: Judged, output_cid: str, until: float) -> str:
    """Why the performer's result is not this one's, empty where it is."""
    result = own.result
    if result.get("output_hash") != to_hex(own.output_hash) or result.get("output_cid") != output_cid:
        return "output_differs"
    if result.get("action") != (None if own.action is None else own.action.to_json()):
        return "action_differs"
    if canonical_json(result.get("storage_updates", {})) != canonical_json(dict(own.storage_updates)):
        return "storage_differs"
    if not _is_count(result.get("gas_used")) or not _is_count(result.get("simulated_block")):
        return "gas_differs"
    try:
        package = fetch(node, str(result.get("package_cid")), what="package", until=until)
        require_package(package, own.assignment, result, _action_hash(own), domain=node.domain)
    except TaskFailed as failure:
        return failure.code
    except DomainError:
        return PackageDiffers.code
    is_stated = own.statement is not None or not own.circuit
    return "" if is_stated and result.get("statement") == own.statement else "statement_differs"


def _judge_calls(node: Node, judged: Sequence[Judged], until: float) -> tuple[Judged, ...]:
    """Simulate the calls of all items still agreed with, one request per block they were simulated at."""
    by_block: dict[int, list[int]] = {}
    for index, item in enumerate(judged):
        if item.action is not None and not item.reason:
            by_block.setdefault(item.result["simulated_block"], []).append(index)

    final = list(judged)
    for block, indices in by_block.items():
        actions = [action for index in indices if (action := judged[index].action) is not None]
        simulations, is_same_state = _simulate(node, actions, block, until)
        for index, simulation in zip(indices, simulations, strict=True):
            gas_used = judged[index].result["gas_used"] if is_same_state else simulation.gas_used
            final[index] = replace(
                judged[index], reason=_gas_difference(simulation, gas_used, node.gas_tolerance_percent)
            )
    return tuple(final)


def _simulate(
    node: Node, actions: Sequence[Action], block: int, until: float
) -> tuple[Sequence[Simulation], bool]:
    """The simulations at the block, or at the head where its state is gone (then gas is not comparable)."""

    def ask() -> tuple[Sequence[Simulation], bool]:
        try:
            return node.chain.simulate(actions, sender=node.hub, block=block), True
        except BlockUnavailable:
            head = node.chain.get_head()
            return node.chain.simulate(actions, sender=node.hub, block=head), False

    return keep_trying(ask, until=until, stopping=node.stopping)


def _gas_difference(simulation: Simulation, gas_used: int, tolerance_percent: int) -> str:
    if simulation.failure is not None:
        return "action_reverts"
    if abs(simulation.gas_used - gas_used) * 100 > tolerance_percent * simulation.gas_used:
        return "gas_differs"
    return ""


def _assignment_of(item: Mapping[str, Any]) -> Assignment:
    """The item's assignment; the call's own signature vouches for it."""
    try:
        return assignment_from_json({**item["assignment"], "signature": _NO_SIGNATURE})[0]
    except (KeyError, TypeError, DomainError) as exc:
        raise BallotMalformed(message="round", reason=repr(exc)[:200]) from None


def _genuine_receipt(node: Node, item: Mapping[str, Any], assignment: Assignment) -> Receipt | None:
    """The item's receipt, if it is of this assignment and signed by its performer."""
    try:
        receipt, signature = receipt_from_json(item["receipt"])
        require_signer(receipt.digest(node.domain), signature, assignment.keeper)
    except (KeyError, TypeError, DomainError):
        return None
    claimed = (receipt.task_id, receipt.epoch, receipt.lease, receipt.keeper)
    given = (assignment.task_id, assignment.epoch, assignment.lease, assignment.keeper)
    return receipt if claimed == given else None


def _leaf(item: Judged) -> bytes:
    """The settlement leaf of the attester's own result (the package's digest alone is the performer's)."""
    proof = proof_of_task(
        task_id=item.assignment.task_id.int,
        epoch=item.assignment.epoch,
        performer=item.assignment.keeper,
        output_hash=item.output_hash,
        package_digest=_package_digest(item.result),
        action=_action_hash(item),
        circuit=item.circuit,
        statement=int(item.statement or "0x0", 16),
    )
    return settlement_leaf(item.assignment.task_id.int, proof)


def _package_digest(result: Mapping[str, Any]) -> bytes:
    try:
        return cid_digest(str(result.get("package_cid")))
    except CidInvalid:
        return _NOTHING


def _action_hash(item: Judged) -> bytes:
    return NO_ACTION if item.action is None else item.action.hash


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53

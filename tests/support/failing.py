"""Keepers that fail, lie, or talk nonsense: their signed answers made by hand."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from apps.attestation.data import Ballot, ballot_message, round_call_from_json
from apps.content.domain.cid import cid_digest
from apps.content.store import ContentStore
from apps.execution.data import Acknowledgement, Receipt, assignment_from_json, receipt_from_json
from apps.kernel.bls import sign
from apps.kernel.outcome import Message
from tests.support.network import Network
from workers.keeper.node import Node


def acknowledgement(node: Node, assignment: Mapping[str, Any]) -> dict[str, Any]:
    """A keeper's word that it works on an assignment."""
    value, _ = assignment_from_json(assignment)
    return Acknowledgement(
        task_id=value.task_id, epoch=value.epoch, lease=value.lease, keeper=node.address
    ).to_json(domain=node.domain, key=node.identity.key)


def failed_receipt(node: Node, assignment: Mapping[str, Any], **result: Any) -> dict[str, Any]:
    """A keeper's word that its attempt failed."""
    value, _ = assignment_from_json(assignment)
    said = {"status": "failed", "error_code": "script_failed", "error_detail": "boom", **result}
    return Receipt(
        task_id=value.task_id, epoch=value.epoch, lease=value.lease, keeper=node.address, result=said
    ).to_json(domain=node.domain, key=node.identity.key)


def failed_receipts(
    network: Network, choose: Callable[[Message], bool] = lambda message: True
) -> list[dict[str, Any]]:
    """The failure of every offer under way that is chosen; the others stay under way."""
    offers = [one for one in network.messages if one.task == "keeper.execute" and choose(one)]
    network.messages = [message for message in network.messages if message not in offers]
    return [failed_receipt(network.nodes[offer.keeper], offer.body["assignment"]) for offer in offers]


def lie(receipt: Mapping[str, Any], node: Node, store: ContentStore) -> dict[str, Any]:
    """The receipt with another output, signed by its keeper."""
    value, _ = receipt_from_json(receipt)
    cid = store.put(b'{"arguments":["something else"]}')
    result = {**value.result, "output_cid": cid, "output_hash": "0x" + cid_digest(cid).hex()}
    return replace(value, result=result).to_json(domain=node.domain, key=node.identity.key)


def dissent(node: Node, call: Mapping[str, Any]) -> dict[str, Any]:
    """The ballot of a committee member that agrees with nothing, whatever it was shown."""
    value, _ = round_call_from_json(call)
    root, verdicts = bytes(32), (False,) * len(value.items)
    return Ballot(
        round_id=value.round_id,
        attester=node.address,
        root=root,
        verdicts=verdicts,
        reasons=("output_differs",) * len(verdicts),
        signature=sign(node.identity.bls_secret, ballot_message(node.domain, value.round_id, root, verdicts)),
    ).to_json()

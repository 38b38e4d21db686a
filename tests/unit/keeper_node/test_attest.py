"""One round's call, from the dispatcher's message to the ballot: agreement, and every way to disagree."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import coincurve
import pytest

from apps.attestation.data import Ballot, ballot_from_json, ballot_message
from apps.attestation.errors import BallotMalformed
from apps.content.domain.cid import cid_digest
from apps.execution.data import Receipt
from apps.kernel import bls
from apps.kernel.eip712 import SignatureInvalid
from apps.kernel.hashing import from_hex
from apps.kernel.merkle import merkle_root
from apps.kernel.settlement_hash import (
    action_hash,
    proof_of_task,
    settlement_leaf,
    settlement_message,
)
from tests.factories.keepers import DOMAIN
from tests.factories.nodes import (
    ACTION,
    DISPATCHER,
    SYMBOL,
    make_assignment,
    make_call,
    make_node,
    ran,
    signed,
    unsigned,
)
from workers.keeper.attest import attest
from workers.keeper.errors import (
    AssignmentExpired,
    AssignmentForeign,
    BlockUnavailable,
    ChainUnavailable,
    OwnResult,
)
from workers.keeper.execute import execute
from workers.keeper.sandbox.data import FailureCode, SandboxStatus

OUTPUT = b'{"arguments": ["' + SYMBOL.encode() + b'", 7]}'


@pytest.fixture
def performer(tmp_path: Path) -> Any:
    """Who did the work."""
    node = make_node(tmp_path)
    node.executor.answer = lambda request, handle: OUTPUT
    return node


@pytest.fixture
def attester(tmp_path: Path) -> Any:
    """Who does it again."""
    node = make_node(tmp_path)
    node.executor.answer = lambda request, handle: OUTPUT
    return node


def _perform(performer: Any, **spec: Any) -> dict[str, Any]:
    """An item of one task done by the performer."""
    script = {"cid": performer.store.put(b"print(1)"), "language": "python"}
    changes = {"script": script, "arguments": {"kind": "dynamic", "values": []}, "action": ACTION, **spec}
    assignment = make_assignment(performer.address, changes)
    execute(performer, signed(assignment))
    return {"assignment": unsigned(assignment), "receipt": performer.outbox.receipts[-1], "_": assignment}


def _altered(performer: Any, item: Mapping[str, Any], **result: Any) -> dict[str, Any]:
    """The item with another result, signed by its performer all the same."""
    assignment = item["_"]
    receipt = Receipt(
        task_id=assignment.task_id,
        epoch=assignment.epoch,
        lease=assignment.lease,
        keeper=assignment.keeper,
        result={**item["receipt"]["result"], **result},
    )
    return {**item, "receipt": receipt.to_json(domain=DOMAIN, key=performer.identity.key)}


def _call(attester: Any, *items: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    plain = [{name: value for name, value in item.items() if name != "_"} for item in items]
    return make_call(attester.address, plain, **changes).to_json(domain=DOMAIN, key=DISPATCHER)


def _ballot(attester: Any, *items: Mapping[str, Any]) -> Ballot:
    body = _call(attester, *items)
    attest(attester, body)
    ballot = ballot_from_json(attester.outbox.ballots[-1])
    assert ballot.attester == attester.address
    return ballot


def _expected_root(*items: Mapping[str, Any]) -> bytes:
    """The settlement root over the performer's results."""
    leaves = []
    for item in items:
        assignment, result = item["_"], item["receipt"]["result"]
        call = result["action"]
        proof = proof_of_task(
            task_id=assignment.task_id.int,
            epoch=assignment.epoch,
            performer=assignment.keeper,
            output_hash=from_hex(result["output_hash"]),
            package_digest=cid_digest(result["package_cid"]),
            action=action_hash(call["target"], from_hex(call["call_data"]), call["gas_limit"])
            if call
            else bytes(32),
        )
        leaves.append(settlement_leaf(assignment.task_id.int, proof))
    return merkle_root(leaves)


def test_an_attester_that_agrees_with_all_signs_what_the_hub_verifies(performer: Any, attester: Any) -> None:
    items = [_perform(performer), _perform(performer, action=None), _perform(performer, params={"a": 1})]

    ballot = _ballot(attester, *items)

    assert ballot.is_unanimous
    assert ballot.reasons == ("", "", "")
    assert ballot.root == _expected_root(*items)
    message = settlement_message(chain_id=DOMAIN.chain_id, hub=DOMAIN.contract, root=ballot.root)
    assert bls.verify(attester.identity.bls_public_key, message, ballot.signature)


def test_every_item_is_done_again_and_their_calls_are_simulated_together(
    performer: Any, attester: Any
) -> None:
    items = [_perform(performer) for _ in range(3)]
    performer.chain.head = 18
    items.append(_perform(performer))

    assert _ballot(attester, *items).is_unanimous

    assert len(attester.executor.requests) == 4
    assert sorted(attester.chain.asked) == [(1, 18), (3, 17)]


def test_one_disagreement_is_signed_as_a_list_of_verdicts(performer: Any, attester: Any) -> None:
    good, bad = _perform(performer), _perform(performer)
    forged = _altered(performer, bad, gas_used=99_999)

    body = _call(attester, good, forged)
    attest(attester, body)

    ballot = ballot_from_json(attester.outbox.ballots[0])
    assert ballot.verdicts == (True, False)
    assert ballot.reasons[0] == ""
    message = ballot_message(DOMAIN, ballot.round_id, ballot.root, ballot.verdicts)
    assert bls.verify(attester.identity.bls_public_key, message, ballot.signature)
    settle = settlement_message(chain_id=DOMAIN.chain_id, hub=DOMAIN.contract, root=ballot.root)
    assert not bls.verify(attester.identity.bls_public_key, settle, ballot.signature)


def test_another_output_is_seen(performer: Any, attester: Any) -> None:
    item = _perform(performer)
    attester.executor.answer = lambda request, handle: OUTPUT.replace(b"7", b"8")

    ballot = _ballot(attester, item)

    assert ballot.reasons == ("output_differs",)
    assert ballot.root != _expected_root(item)


def test_a_script_that_fails_here_is_another_status(performer: Any, attester: Any) -> None:
    item = _perform(performer)
    attester.executor.answer = lambda request, handle: ran(
        status=SandboxStatus.FAILED, code=FailureCode.SCRIPT_FAILED, exit_code=1
    )

    assert _ballot(attester, item).reasons == ("status_differs",)


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ({"output_hash": "0x" + "11" * 32}, "output_differs"),
        ({"output_cid": "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"}, "output_differs"),
        ({"output_cid": None}, "output_differs"),
        ({"action": None}, "action_differs"),
        ({"action": {"target": "0x" + "66" * 20, "call_data": "0x", "gas_limit": 1}}, "action_differs"),
        ({"gas_used": "many"}, "gas_differs"),
        ({"gas_used": None}, "gas_differs"),
        ({"simulated_block": -1}, "gas_differs"),
        ({"cpu_ms": 0}, "package_differs"),
        ({"package_cid": None}, "package_invalid"),
        (
            {"package_cid": "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"},
            "package_missing",
        ),
        ({"status": "failed", "error_code": "script_failed"}, "result_failed"),
        ({"status": None}, "result_failed"),
    ],
)
def test_a_result_that_differs_is_named(
    performer: Any, attester: Any, result: dict[str, Any], reason: str
) -> None:
    assert _ballot(attester, _altered(performer, _perform(performer), **result)).reasons == (reason,)


@pytest.mark.parametrize(("gas", "reason"), [(41_234 + 4_000, ""), (41_234 + 8_000, "gas_differs")])
def test_gas_is_compared_within_the_tolerance(performer: Any, attester: Any, gas: int, reason: str) -> None:
    performer.chain.gas_used = gas

    assert _ballot(attester, _perform(performer)).reasons == (reason,)


def test_a_call_that_reverts_here_is_not_agreed_with(performer: Any, attester: Any) -> None:
    item = _perform(performer)
    attester.chain.failure = "no"

    assert _ballot(attester, item).reasons == ("action_reverts",)


def test_where_the_blocks_state_is_gone_the_call_is_tried_at_the_head(performer: Any, attester: Any) -> None:
    item = _perform(performer)
    attester.chain.errors = [BlockUnavailable(block=17)]
    attester.chain.head, attester.chain.gas_used = 40, 9_000

    assert _ballot(attester, item).is_unanimous
    assert attester.chain.asked == [(1, 17), (1, 40)]


def test_a_receipt_its_performer_did_not_sign_is_forged(performer: Any, attester: Any) -> None:
    item = _perform(performer)
    stranger = make_assignment(performer.address)
    receipt = {**item["receipt"], "result": {**item["receipt"]["result"], "gas_used": 1}}

    for forged in (
        {**item, "receipt": receipt},
        {**item, "receipt": {**item["receipt"], "signature": "0x" + "11" * 65}},
        {**item, "receipt": None},
        {**item, "receipt": _perform(performer)["receipt"]},
        {**item, "assignment": unsigned(stranger), "_": stranger},
        {**item, "assignment": unsigned(replace(item["_"], epoch=9)), "_": item["_"]},
    ):
        assert _ballot(attester, forged).reasons == ("receipt_forged",)
    assert attester.executor.requests == []


def test_a_keeper_does_not_attest_its_own_result(performer: Any) -> None:
    item = _perform(performer)

    with pytest.raises(OwnResult):
        attest(performer, _call(performer, item))
    assert performer.outbox.ballots == []


def _refused(attester: Any, body: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        attest(attester, body)
    assert attester.outbox.ballots == []
    assert attester.executor.requests == []


def test_a_call_that_is_not_the_dispatchers_is_refused(performer: Any, attester: Any) -> None:
    item = _perform(performer)
    call = make_call(attester.address, [{"assignment": item["assignment"], "receipt": item["receipt"]}])

    _refused(attester, call.to_json(domain=DOMAIN, key=coincurve.PrivateKey()), SignatureInvalid)
    body = _call(attester, item)
    _refused(attester, {**body, "items": [*body["items"], body["items"][0]]}, SignatureInvalid)
    _refused(attester, {**body, "expires_at": body["expires_at"] + 1}, SignatureInvalid)


def test_a_call_for_another_attester_or_too_late_or_about_nothing_is_refused(
    performer: Any, attester: Any
) -> None:
    item = _perform(performer)

    _refused(attester, _call(performer, item), AssignmentForeign)
    _refused(attester, _call(attester, item, expires_at=int(time.time()) - 1), AssignmentExpired)
    _refused(attester, _call(attester), BallotMalformed)
    _refused(attester, _call(attester, {"assignment": {}, "receipt": {}}), BallotMalformed)
    bodies: tuple[Any, ...] = ({}, None, [], "x", {"round": "rnd_1"})
    for body in bodies:
        _refused(attester, body, BallotMalformed)


def test_the_same_call_again_gets_the_very_same_ballot(performer: Any, attester: Any) -> None:
    body = _call(attester, _perform(performer))

    attest(attester, body)
    attest(attester, body)

    assert attester.outbox.ballots[0] == attester.outbox.ballots[1]
    assert len(attester.executor.requests) == 1


def test_where_the_chain_stays_away_no_ballot_is_cast(performer: Any, attester: Any) -> None:
    item = _perform(performer)
    attester.chain.errors = [ChainUnavailable(reason="down")] * 100

    with pytest.raises(ChainUnavailable):
        attest(attester, _call(attester, item, expires_at=int(time.time()) + 1))
    assert attester.outbox.ballots == []


def test_the_attesters_own_copy_of_the_output_is_kept(performer: Any, attester: Any, tmp_path: Path) -> None:
    item = _perform(performer)
    cid = item["receipt"]["result"]["output_cid"]
    for path in (tmp_path / "content").rglob(f"*{cid}*"):
        path.unlink()
    assert not attester.store.has(cid)

    assert _ballot(attester, item).is_unanimous

    assert attester.store.has(cid)

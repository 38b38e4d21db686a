"""The statement that is proved of a task: made by its performer, made again by its attesters."""

import json
from pathlib import Path
from typing import Any

import pytest

from apps.attestation.data import Ballot, ballot_from_json
from apps.content.domain.cid import cid_digest
from apps.execution.data import receipt_from_json
from apps.execution.domain.receipt import judge_receipt, statement_of
from apps.kernel.hashing import from_hex
from apps.kernel.merkle import merkle_root
from apps.kernel.settlement_hash import NO_ACTION, proof_of_task, settlement_leaf
from apps.proofs.domain.field import ORDER
from apps.proofs.domain.statement import compute_statement
from apps.proofs.domain.task_witness import build_witness
from tests.factories.keepers import DOMAIN
from tests.factories.nodes import (
    DISPATCHER,
    awaiting,
    make_assignment,
    make_call,
    make_node,
    ran,
    receipt_of,
    resigned,
    result_of,
    script_spec,
    signed,
    unsigned,
)
from workers.keeper.attest import attest
from workers.keeper.execute import execute
from workers.keeper.package import build_package

PROOF = {"circuit": 16}


@pytest.fixture
def attester(tmp_path: Path) -> Any:
    """Who does it again."""
    return make_node(tmp_path)


def test_a_result_states_what_the_prover_will_prove_of_it(node: Any) -> None:
    assignment = make_assignment(node.address, script_spec(node, proof=PROOF))

    (receipt,) = execute(node, signed(assignment))

    result = receipt["result"]
    witness = build_witness(task_id=assignment.task_id.int, spec=assignment.spec, result=result)
    assert statement_of(result, assignment.spec) == (16, compute_statement(witness).public_input)
    assert int(result["salt"], 16) < ORDER
    assert judge_receipt(receipt_from_json(receipt)[0], assignment.spec).is_accepted
    package = json.loads(node.store.get(result["package_cid"]))
    assert (package["action"]["salt"], package["action"]["statement"]) == (
        result["salt"],
        result["statement"],
    )


def test_every_result_has_a_salt_of_its_own(node: Any) -> None:
    salts = {result_of(node, script_spec(node, proof=PROOF))["salt"] for _ in range(5)}

    assert len(salts) == 5


def test_without_a_proof_nothing_is_stated(node: Any) -> None:
    assignment = make_assignment(node.address, script_spec(node, proof=None))

    (receipt,) = execute(node, signed(assignment))

    assert not {"salt", "statement"} & receipt["result"].keys()
    assert statement_of(receipt["result"], assignment.spec) == (0, 0)


def test_a_run_that_its_circuit_cannot_take_fails(node: Any) -> None:
    inputs = {f"{n}.csv": node.store.put(b"x") for n in range(8)}

    result = result_of(node, script_spec(node, proof=PROOF, inputs=inputs))

    assert (result["status"], result["error_code"]) == ("failed", "statement_impossible")
    assert result_of(node, script_spec(node, proof={"circuit": 64}, inputs=inputs))["status"] == "ok"


@pytest.mark.parametrize(
    "proof", [5, {}, {"circuit": 17}, {"circuit": True}, {"circuit": []}, {**PROOF, "x": 1}]
)
def test_a_proof_that_makes_no_sense_fails_the_task(node: Any, proof: Any) -> None:
    result = result_of(node, script_spec(node, proof=proof))

    assert (result["status"], result["error_code"]) == ("failed", "parameters_invalid")


def _item(performer: Any, *, awaited: Any = (), **spec: Any) -> dict[str, Any]:
    """A round's item of one task done by the performer; `_` is its assignment."""
    assignment = make_assignment(performer.address, script_spec(performer, **spec))
    (receipt,) = execute(performer, signed(assignment), parents=list(awaited))
    return {
        "assignment": unsigned(assignment),
        "receipt": receipt,
        "parents": list(awaited),
        "_": assignment,
    }


def _altered(performer: Any, item: dict[str, Any], **result: Any) -> dict[str, Any]:
    """The item with another result and the package that goes with it, as its performer may well sign them."""
    whole = {**item["receipt"]["result"], **result}
    package = build_package(item["_"], whole, NO_ACTION, domain=DOMAIN, key=performer.identity.key)
    whole["package_cid"] = performer.store.put(package)
    return {**item, "receipt": resigned(performer, item["receipt"], **whole)}


def _ballot(attester: Any, *items: Any) -> Ballot:
    plain = [{name: part for name, part in item.items() if name != "_"} for item in items]
    attest(attester, make_call(attester.address, plain).to_json(domain=DOMAIN, key=DISPATCHER))
    return ballot_from_json(attester.outbox.ballots[-1])


def test_an_attester_agrees_with_a_statement_and_binds_it_into_the_root(node: Any, attester: Any) -> None:
    item = _item(node, proof=PROOF)

    ballot = _ballot(attester, item)

    assert ballot.reasons == ("",)
    task_id, result = item["_"].task_id.int, item["receipt"]["result"]
    proof = proof_of_task(
        task_id=task_id,
        epoch=1,
        performer=node.address,
        output_hash=from_hex(result["output_hash"]),
        package_digest=cid_digest(result["package_cid"]),
        circuit=16,
        statement=int(result["statement"], 16),
    )
    assert ballot.root == merkle_root([settlement_leaf(task_id, proof)])


@pytest.mark.parametrize(
    "result",
    [
        {"statement": "0x" + "00" * 32},
        {"statement": None},
        {"statement": ""},
        {"salt": "0x" + "01".rjust(64, "0")},
        {"salt": None},
        {"salt": "0x00"},
        {"salt": 5},
        {"cpu_ms": 12},
        {"cpu_ms": "many", "statement": None},
        {"wall_ms": -1, "statement": ""},
        {"peak_memory_bytes": None, "statement": None},
    ],
)
def test_a_statement_that_does_not_follow_from_the_result_is_seen(
    node: Any, attester: Any, result: dict[str, Any]
) -> None:
    assert _ballot(attester, _altered(node, _item(node, proof=PROOF), **result)).reasons == (
        "statement_differs",
    )


def test_a_statement_that_nobody_asked_for_is_not_agreed_with(node: Any, attester: Any) -> None:
    stated = _item(node, proof=PROOF)["receipt"]["result"]["statement"]

    assert _ballot(attester, _altered(node, _item(node), statement=stated)).reasons == ("statement_differs",)


def test_the_measures_of_a_result_are_its_performers_and_not_compared(node: Any, attester: Any) -> None:
    attester.executor.answer = lambda request, handle: ran(b"{}", cpu_seconds=5.0)

    assert _ballot(attester, _item(node, proof=PROOF)).is_unanimous


def test_attesters_stand_on_the_same_parents(node: Any, attester: Any, tmp_path: Path) -> None:
    parent = make_node(tmp_path)
    parent.executor.answer = lambda request, handle: b'{"rows": 3}'
    load = receipt_of(parent, script_spec(parent))

    ballot = _ballot(attester, _item(node, awaited=[load], proof=PROOF, **awaiting(load=load)))

    assert ballot.is_unanimous
    assert json.loads(attester.executor.requests[-1].stdin)["parents"] == {"load": {"rows": 3}}


def test_a_result_that_does_not_stand_on_its_parents_is_not_agreed_with(
    node: Any, attester: Any, tmp_path: Path
) -> None:
    parent, stranger = make_node(tmp_path), make_node(tmp_path)
    load = receipt_of(parent, script_spec(parent))
    item = _item(node, awaited=[load], **awaiting(load=load))
    claimed = item["receipt"]["result"]["parents"]["load"]

    broken: list[dict[str, Any]] = [
        {**item, "parents": []},
        {name: part for name, part in item.items() if name != "parents"},
        {**item, "parents": None},
        {**item, "parents": [resigned(stranger, load)]},
        {**item, "parents": [resigned(parent, load, status="failed")]},
        _altered(node, item, parents={}),
        _altered(node, item, parents={"load": {**claimed, "epoch": 2}}),
        _altered(node, item, parents={"load": {**claimed, "epoch": True}}),
        _altered(node, item, parents={"load": claimed, "other": claimed}),
        _altered(node, item, parents=[claimed]),
        _altered(node, _item(node), parents={"load": claimed}),
    ]
    for one in broken:
        assert _ballot(attester, one).reasons == ("lineage_broken",)
    assert attester.executor.requests == []

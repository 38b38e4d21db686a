"""One assignment, from the dispatcher's message to the receipt: the work, the refusals, the repeats."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import coincurve
import pytest

from apps.content.domain.cid import cid_digest
from apps.execution.data import receipt_from_json
from apps.execution.domain.receipt import judge_receipt
from apps.execution.errors import EpochStale, MessageMalformed
from apps.kernel.eip712 import SignatureInvalid
from apps.kernel.errors import DomainError
from apps.kernel.hashing import to_hex
from apps.kernel.ids import new_id
from apps.kernel.settlement_hash import NO_ACTION
from tests.factories.keepers import DOMAIN
from tests.factories.nodes import (
    ACTION,
    FAKE_SCRIPT,
    SYMBOL,
    make_assignment,
    make_node,
    result_of,
    script_spec,
    signed,
)
from workers.keeper.errors import (
    AssignmentExpired,
    AssignmentForeign,
)
from workers.keeper.execute import execute
from workers.keeper.package import require_package


def test_a_task_without_a_script_returns_its_arguments(node: Any) -> None:
    result = result_of(node, {})

    assert result["status"] == "ok"
    assert json.loads(node.store.get(result["output_cid"])) == {"arguments": [SYMBOL, 5]}
    assert result["output_hash"] == to_hex(cid_digest(result["output_cid"]))
    assert result["action"] is None
    assert (result["gas_used"], result["simulated_block"], result["compute_units"]) == (0, 0, 0)
    assert node.executor.requests == []
    assert node.chain.asked == []


def test_a_script_gets_its_document_inputs_and_parents_outputs(node: Any) -> None:
    node.executor.answer = lambda request, handle: b'{"b": 1, "a": [2]}'
    spec = script_spec(
        node,
        params={"window": 12},
        inputs={"stocks.csv": node.store.put(b"a,b\n")},
        parents={"load": node.store.put(b'{"rows": 3}')},
        limits={"deadline_seconds": 7, "memory_mb": 128, "cpu_seconds": 3},
    )

    assignment = make_assignment(node.address, spec)
    execute(node, signed(assignment))

    (request,) = node.executor.requests
    assert json.loads(request.stdin) == {
        "params": {"window": 12},
        "parents": {"load": {"rows": 3}},
        "due_at": "2026-11-20T00:00:00Z",
        "task": assignment.spec["task"],
        "inputs": ["stocks.csv"],
    }
    assert (request.script, dict(request.inputs)) == (FAKE_SCRIPT, {"stocks.csv": b"a,b\n"})
    assert (request.deadline_seconds, request.cpu_seconds, request.memory_bytes) == (7, 3, 128 * 1024 * 1024)
    result = node.outbox.receipts[0]["result"]
    assert node.store.get(result["output_cid"]) == b'{"a":[2],"b":1}'
    assert (result["cpu_ms"], result["wall_ms"], result["compute_units"]) == (11, 15, 12)


def test_an_action_is_simulated_at_the_head_and_packaged(node: Any) -> None:
    assignment = make_assignment(node.address, {"action": ACTION})

    execute(node, signed(assignment))

    result = node.outbox.receipts[0]["result"]
    assert result["action"]["target"] == ACTION["target"]
    assert result["action"]["gas_limit"] == 200_000
    assert (result["gas_used"], result["simulated_block"]) == (41_234, 17)
    assert node.chain.asked == [(1, 17)]
    package = json.loads(node.store.get(result["package_cid"]))
    assert set(package) == {"task", "action", "proof", "signature"}
    assert package["task"]["spec"] == assignment.spec
    assert package["action"]["gas_used"] == 41_234
    assert package["signature"]["signer"] == node.address


def test_the_control_plane_takes_the_receipt_as_it_is(node: Any) -> None:
    assignment = make_assignment(node.address, {"action": ACTION})
    execute(node, signed(assignment))

    receipt, _ = receipt_from_json(node.outbox.receipts[0])

    assert judge_receipt(receipt, assignment.spec).is_accepted
    assert (receipt.task_id, receipt.epoch, receipt.lease) == (
        assignment.task_id,
        assignment.epoch,
        assignment.lease,
    )


def test_a_decision_against_the_call_has_no_action(node: Any) -> None:
    node.executor.answer = lambda request, handle: b'{"should_execute": false}'
    spec = script_spec(node, action=ACTION)

    result = result_of(node, spec)

    assert (result["status"], result["action"]) == ("ok", None)
    assert node.chain.asked == []


def test_the_package_verifies_and_binds_every_part(node: Any) -> None:
    assignment = make_assignment(node.address)
    execute(node, signed(assignment))
    result = node.outbox.receipts[0]["result"]
    data = node.store.get(result["package_cid"])

    require_package(data, assignment, result, NO_ACTION, domain=DOMAIN)
    for other in (
        json.dumps({**json.loads(data), "proof": {}}).encode(),
        json.dumps({**json.loads(data), "signature": {"signature": "0x" + "11" * 65}}).encode(),
        b"[]",
        b"not json",
        b"{}",
    ):
        with pytest.raises(DomainError):
            require_package(other, assignment, result, NO_ACTION, domain=DOMAIN)
    with pytest.raises(DomainError):
        require_package(data, replace(assignment, epoch=2), result, NO_ACTION, domain=DOMAIN)
    with pytest.raises(DomainError):
        require_package(data, assignment, {**result, "gas_used": 5}, NO_ACTION, domain=DOMAIN)


def _refused(node: Any, body: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        execute(node, body)
    assert node.outbox.receipts == []
    assert node.executor.requests == []


def test_an_assignment_somebody_else_signed_is_refused(node: Any) -> None:
    _refused(node, signed(make_assignment(node.address), coincurve.PrivateKey()), SignatureInvalid)


def test_an_assignment_for_another_keeper_is_refused(node: Any) -> None:
    _refused(node, signed(make_assignment("0x" + "99" * 20)), AssignmentForeign)


def test_an_assignment_readdressed_to_this_keeper_is_refused(node: Any) -> None:
    body = signed(make_assignment("0x" + "99" * 20))
    _refused(node, {**body, "keeper": node.address}, SignatureInvalid)


def test_an_expired_assignment_is_refused(node: Any) -> None:
    _refused(node, signed(make_assignment(node.address, expires_at=int(time.time()) - 1)), AssignmentExpired)


@pytest.mark.parametrize(
    "change",
    [
        {"spec": {"task": "task_" + "0" * 32}},
        {"epoch": 2},
        {"lease": "0" * 32},
        {"run": "run_" + "1" * 32},
        {"expires_at": int(time.time()) + 10_000},
    ],
)
def test_an_assignment_changed_under_way_is_refused(node: Any, change: dict[str, Any]) -> None:
    _refused(node, {**signed(make_assignment(node.address)), **change}, SignatureInvalid)


@pytest.mark.parametrize(
    "body",
    [
        {},
        None,
        [],
        "text",
        5,
        {"task": 5},
        {"task": "task_" + "0" * 32},
    ],
)
def test_what_is_no_assignment_is_refused(node: Any, body: Any) -> None:
    _refused(node, body, MessageMalformed)


@pytest.mark.parametrize(
    "change",
    [
        {"task": "job_" + "0" * 32},
        {"epoch": -1},
        {"epoch": True},
        {"lease": "x"},
        {"spec": []},
        {"signature": "0x"},
    ],
)
def test_a_malformed_member_is_refused(node: Any, change: dict[str, Any]) -> None:
    body = {**signed(make_assignment(node.address)), **change}
    _refused(node, body, DomainError)


def test_an_older_attempt_than_one_seen_is_refused(node: Any) -> None:
    task_id = new_id()
    execute(node, signed(make_assignment(node.address, task_id=task_id, epoch=3)))

    with pytest.raises(EpochStale):
        execute(node, signed(make_assignment(node.address, task_id=task_id, epoch=2)))
    assert len(node.outbox.receipts) == 1


def test_the_same_assignment_again_gets_the_very_same_receipt(node: Any, tmp_path: Path) -> None:
    node.executor.answer = lambda request, handle: json.dumps({"at": time.time_ns()}).encode()
    body = signed(make_assignment(node.address, script_spec(node)))
    execute(node, body)

    execute(node, body)
    reborn = make_node(tmp_path, identity=node.identity)
    execute(reborn, body)

    assert node.outbox.receipts[0] == node.outbox.receipts[1] == reborn.outbox.receipts[0]
    assert len(node.executor.requests) == 1
    assert reborn.executor.requests == []


def test_a_failed_attempt_repeated_gets_the_same_failure(node: Any) -> None:
    node.executor.answer = lambda request, handle: b"not json"
    body = signed(make_assignment(node.address, script_spec(node)))

    execute(node, body)
    execute(node, body)

    assert node.outbox.receipts[0] == node.outbox.receipts[1]
    assert len(node.executor.requests) == 1

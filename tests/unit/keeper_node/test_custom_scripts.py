"""A custom script at the keepers: what it reads, what of its output is taken, and who notices a lie."""

import json
from pathlib import Path
from typing import Any

import pytest

from apps.attestation.data import ballot_from_json
from apps.execution.data import receipt_from_json
from apps.execution.domain.receipt import judge_receipt
from tests.factories.keepers import DOMAIN
from tests.factories.nodes import (
    DISPATCHER,
    make_assignment,
    make_call,
    make_node,
    resigned,
    result_of,
    script_spec,
    signed,
    unsigned,
)
from workers.keeper.attest import attest
from workers.keeper.execute import execute

TARGETS = ["0x" + "11" * 20, "0x" + "22" * 20]
LIMITS = {"keys_max": 4, "value_max_bytes": 64, "total_max_bytes": 200}
STORAGE = {"values": {"runs": {"value": 3, "version": 17}}, "limits": LIMITS}
CALL = {"should_execute": True, "target": TARGETS[1], "calldata": "0x12065fe0"}
ACTION = {"target": TARGETS[1], "call_data": "0x12065fe0", "gas_limit": 90_000}
GOOD = {**CALL, "storage_updates": {"runs": 4, "old": None}}


def _custom(node: Any, **changes: Any) -> dict[str, Any]:
    action = {"chain_id": DOMAIN.chain_id, "custom": True, "targets": TARGETS, "gas_limit": 90_000}
    arguments = {"kind": "none", "values": []}
    return script_spec(node, action=action, arguments=arguments, storage=STORAGE, **changes)


def _printing(node: Any, output: Any) -> None:
    data = output if isinstance(output, bytes) else json.dumps(output).encode()
    node.executor.answer = lambda request, handle: data


def test_the_script_reads_the_values_of_the_snapshot_and_no_versions(node: Any):
    _printing(node, GOOD)
    result = result_of(node, _custom(node))

    (request,) = node.executor.requests
    assert json.loads(request.stdin)["storage"] == {"runs": 3}
    assert result["storage_updates"] == {"old": None, "runs": 4}
    assert result["action"] == ACTION


def test_a_script_without_a_custom_action_reads_no_storage_and_keeps_nothing(node: Any):
    _printing(node, {"storage_updates": {"runs": 4}})
    result = result_of(node, script_spec(node, arguments={"kind": "none", "values": []}))

    assert "storage" not in json.loads(node.executor.requests[0].stdin)
    assert (result["status"], "storage_updates" in result) == ("ok", False)


def test_a_script_that_calls_nothing_may_still_keep_something(node: Any):
    _printing(node, {"should_execute": False, "storage_updates": {"seen": [1]}})
    result = result_of(node, _custom(node))
    assert (result["status"], result["action"]) == ("ok", None)
    assert result["storage_updates"] == {"seen": [1]}


@pytest.mark.parametrize(
    ("output", "code"),
    [
        ({**CALL, "storage_updates": {f"k{n}": 1 for n in range(1_000)}}, "storage_too_large"),
        ({**CALL, "storage_updates": {"a": "x" * 500_000}}, "storage_too_large"),
        ({**CALL, "storage_updates": {"a": 1, "b": 1, "c": 1, "d": 1}}, "storage_too_large"),
        ({**CALL, "storage_updates": ["a"]}, "storage_updates_invalid"),
        ({**CALL, "storage_updates": {"a\n": 1}}, "storage_updates_invalid"),
        ({**CALL, "storage_updates": {"a": "\x00"}}, "storage_updates_invalid"),
        ({**CALL, "storage_updates": {"a": 1e300}}, "storage_updates_invalid"),
        ({**CALL, "storage_updates": {"a": {"secret": 1}}}, "storage_updates_invalid"),
        ({**CALL, "storage_updates": {"a": float("nan")}}, "script_not_json"),
        (b'{"should_execute": false, "storage_updates": {"a": 1, "a": 2}}', "script_not_json"),
        ({**CALL, "target": "0x" + "33" * 20}, "action_target_refused"),
        ({**CALL, "target": {}}, "action_target_refused"),
        ({**CALL, "calldata": "0x1234"}, "action_calldata_invalid"),
        ({**CALL, "calldata": "0x" + "00" * 400_000}, "action_calldata_invalid"),
        ({**CALL, "should_execute": 1}, "action_decision_invalid"),
        ({}, "action_decision_invalid"),
        ([], "script_output_not_object"),
    ],
)
def test_a_hostile_output_fails_the_task_with_its_code(node: Any, output: Any, code: str):
    _printing(node, output)
    result = result_of(node, _custom(node))
    assert (result["status"], result["error_code"]) == ("failed", code)


@pytest.mark.parametrize(
    "changes",
    [
        {"script": None},
        {"storage": None},
        {"storage": {"values": {"a\n": {"value": 1, "version": 1}}, "limits": LIMITS}},
    ],
)
def test_a_specification_without_script_or_storage_is_not_taken_on(node: Any, changes: dict[str, Any]):
    _printing(node, GOOD)
    result = result_of(node, {**_custom(node), **changes})
    assert result["error_code"] == "parameters_invalid"


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        ({}, ""),
        ({"storage_updates": {"runs": 5, "old": None}}, "storage_differs"),
        ({"storage_updates": {"runs": 4}}, "storage_differs"),
        ({"storage_updates": {"runs": True, "old": None}}, "storage_differs"),
        ({"storage_updates": None}, "storage_differs"),
        (
            {"action": {"target": TARGETS[0], "call_data": "0x12065fe0", "gas_limit": 90_000}},
            "action_differs",
        ),
        ({"action": None}, "action_differs"),
    ],
)
def test_an_attester_notices_whatever_the_performer_claims_of_storage_or_call(
    tmp_path: Path, lie: dict[str, Any], reason: str
):
    performer, attester = make_node(tmp_path), make_node(tmp_path)
    for node in (performer, attester):
        _printing(node, GOOD)
    assignment = make_assignment(performer.address, _custom(performer))
    execute(performer, signed(assignment))
    receipt = resigned(performer, performer.outbox.receipts[-1], **lie)
    item = {"assignment": unsigned(assignment), "receipt": receipt}

    attest(attester, make_call(attester.address, [item]).to_json(domain=DOMAIN, key=DISPATCHER))

    ballot = ballot_from_json(attester.outbox.ballots[-1])
    assert (ballot.reasons, ballot.verdicts) == ((reason,), (not reason,))


@pytest.mark.parametrize(
    ("lie", "is_accepted"),
    [
        ({}, True),
        ({"storage_updates": {"runs": 5}}, True),
        ({"storage_updates": {f"k{n}": 1 for n in range(9)}}, False),
        ({"storage_updates": [1]}, False),
        ({"storage_updates": {"a\n": 1}}, False),
        ({"storage_updates": None}, False),
        ({"action": {**ACTION, "target": TARGETS[0]}}, True),
        ({"action": {**ACTION, "target": "0x" + "33" * 20}}, False),
        ({"action": {**ACTION, "gas_limit": 1}}, False),
    ],
)
def test_a_receipt_beyond_what_its_task_may_do_counts_as_its_keepers_failure(
    node: Any, lie: dict[str, Any], is_accepted: bool
):
    _printing(node, GOOD)
    assignment = make_assignment(node.address, _custom(node))
    execute(node, signed(assignment))
    receipt, _ = receipt_from_json(resigned(node, node.outbox.receipts[-1], **lie))

    judged = judge_receipt(receipt, assignment.spec)

    assert (judged.is_accepted, judged.error_code) == (is_accepted, "" if is_accepted else "receipt_invalid")


def test_a_task_without_storage_may_not_claim_updates(node: Any):
    _printing(node, {})
    spec = script_spec(node, arguments={"kind": "none", "values": []})
    assignment = make_assignment(node.address, spec)
    execute(node, signed(assignment))
    receipt, _ = receipt_from_json(resigned(node, node.outbox.receipts[-1], storage_updates={"a": 1}))
    assert judge_receipt(receipt, assignment.spec).error_code == "receipt_invalid"

"""A custom action in a definition: what it names, and what is refused where."""

import hashlib
import json
from typing import Any

import pytest

from apps.content.domain.unixfs import cid_of
from apps.jobs.data import Action, Bounds, CustomAction, JobDefinition, Prices, definition_from_json, estimate
from apps.jobs.domain.changes import merge_changes
from apps.kernel.errors import DomainError

BOUNDS = Bounds(chain_ids=(31337,))
MIXED = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
OTHER = "0x" + "11" * 20


def _job(script: Any = "print(1)", **action: Any) -> dict[str, Any]:
    custom = {"chain_id": 31337, "custom": True, "targets": [MIXED, OTHER], "gas_limit": 100_000}
    found = {"name": "x", "trigger_kind": "manual", "action": {**custom, **action}}
    return {**found, "script_source": script} if script else found


def _read(job: dict[str, Any]) -> JobDefinition:
    return definition_from_json(job, BOUNDS)


def test_a_custom_action_names_the_contracts_and_no_function():
    (step,) = _read(_job()).steps

    assert step.action == CustomAction(chain_id=31337, targets=(MIXED.lower(), OTHER), gas_limit=100_000)
    assert step.action.to_json() == {
        "chain_id": 31337,
        "custom": True,
        "targets": [MIXED.lower(), OTHER],
        "gas_limit": 100_000,
    }


def test_the_stored_form_reads_back_to_the_same_definition():
    value = _read(_job())
    again = _read(json.loads(json.dumps(value.to_json())))
    assert again == value
    assert again.steps_hash() == value.steps_hash()


def test_a_step_may_become_custom_and_a_plain_call_again():
    plain = {"chain_id": 31337, "target": OTHER, "function": "poke()"}
    before = _read({**_job(), "action": plain})
    custom = _read(merge_changes(before.to_json(), {"action": _job()["action"]}))
    assert isinstance(custom.steps[0].action, CustomAction)
    assert _read(merge_changes(custom.to_json(), {"action": plain})) == before


def test_a_plain_action_is_stored_as_it_always_was():
    action = {"chain_id": 31337, "target": OTHER, "function": "poke()", "custom": False}
    value = _read({**_job(script=None), "action": action})
    assert isinstance(value.steps[0].action, Action)
    assert sorted(value.steps[0].action.to_json()) == [
        "abi",
        "chain_id",
        "function",
        "gas_limit",
        "target",
        "value_wei",
    ]
    stored = json.dumps(value.steps_json(), sort_keys=True, separators=(",", ":"))
    assert value.steps_hash() == hashlib.sha256(stored.encode()).hexdigest()


def test_a_script_by_content_id_is_as_good():
    value = _read({**_job(script=None), "script": {"cid": cid_of(b"print(1)")}})
    assert value == _read(_job())


def test_the_gas_limit_is_part_of_the_fee():
    prices = Prices(
        offchain_base_units=1,
        offchain_cpu_second_units=1,
        executions=6,
        settlement_batch_gas=1,
        settlement_item_gas=1,
        settlement_batch_items=1,
        fee_multiplier_percent=120,
    )
    assert estimate(_read(_job()), 10**9, prices).per_task[0].execution_gas == 100_000


@pytest.mark.parametrize(
    ("action", "code", "pointer"),
    [
        ({"targets": []}, "action_targets_invalid", "/action/targets"),
        ({"targets": None}, "action_targets_invalid", "/action/targets"),
        ({"targets": "0x12"}, "field_invalid", "/action/targets"),
        ({"targets": [OTHER] * 17}, "action_targets_invalid", "/action/targets"),
        ({"targets": [OTHER, OTHER]}, "action_targets_invalid", "/action/targets/1"),
        ({"targets": [MIXED, MIXED.lower()]}, "action_targets_invalid", "/action/targets/1"),
        ({"targets": [OTHER, "0x" + "00" * 20]}, "address_invalid", "/action/targets/1"),
        ({"targets": [17]}, "address_invalid", "/action/targets/0"),
        ({"targets": [MIXED.replace("aAeb", "AAeb")]}, "address_checksum", "/action/targets/0"),
        ({"function": "poke()"}, "field_invalid", "/action/function"),
        ({"target": OTHER}, "field_invalid", "/action/target"),
        ({"abi": {}}, "field_invalid", "/action/abi"),
        ({"value_wei": "0"}, "field_invalid", "/action/value_wei"),
        ({"custom": 1}, "field_invalid", "/action/custom"),
        ({"custom": False}, "field_invalid", "/action/targets"),
        ({"chain_id": 1}, "chain_unknown", "/action/chain_id"),
        ({"gas_limit": 10}, "gas_limit_invalid", "/action/gas_limit"),
        ({"code": "0x"}, "field_unknown", "/action/code"),
    ],
)
def test_what_is_no_custom_action_has_its_code_and_its_place(action: Any, code: str, pointer: str):
    with pytest.raises(DomainError) as refused:
        _read(_job(**action))
    assert (refused.value.code, refused.value.pointer) == (code, pointer)


def test_a_custom_action_needs_a_script():
    with pytest.raises(DomainError) as refused:
        _read(_job(script=None))
    assert (refused.value.code, refused.value.pointer) == ("script_missing", "/action/custom")


@pytest.mark.parametrize("arguments", [{"kind": "dynamic"}, {"kind": "static", "values": [1]}])
def test_a_custom_action_takes_no_arguments(arguments: Any):
    with pytest.raises(DomainError) as refused:
        _read({**_job(), "arguments": arguments})
    assert (refused.value.code, refused.value.pointer) == ("argument_invalid", "/arguments/kind")


def test_targets_in_a_step_are_pointed_at_within_it():
    job = {"name": "x", "trigger_kind": "manual", "steps": [{"key": "a", "script_source": "print(1)"}]}
    job["steps"].append(
        {"key": "b", "script_source": "print(1)", "action": _job(targets=[OTHER, 5])["action"]}
    )
    with pytest.raises(DomainError) as refused:
        _read(job)
    assert refused.value.pointer == "/steps/1/action/targets/1"

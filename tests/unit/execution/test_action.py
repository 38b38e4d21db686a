"""The call a task's output asks for."""

from typing import Any

import pytest

from apps.execution.domain.action import Action, derive_action
from apps.kernel.abi import encode_call
from apps.kernel.errors import DomainError
from apps.kernel.hashing import to_hex

TARGET = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
REPORT = {
    "type": "function",
    "name": "report",
    "inputs": [{"name": "symbol", "type": "bytes32"}, {"name": "value", "type": "uint256"}],
}
SYMBOL = "0x" + "41" * 32
CALL = encode_call(REPORT, [SYMBOL, 7])


def _spec(kind: str = "dynamic", values: Any = None, **action: Any) -> dict[str, Any]:
    return {
        "action": {"chain_id": 1, "target": TARGET, "abi": REPORT, "gas_limit": 90_000, **action},
        "arguments": {"kind": kind, "values": values or []},
    }


def test_dynamic_arguments_come_from_the_output() -> None:
    action = derive_action(_spec(), {"arguments": [SYMBOL, 7], "note": "extra members are allowed"})

    assert action == Action(target=TARGET.lower(), call_data=CALL, gas_limit=90_000)


def test_static_arguments_come_from_the_specification_whatever_the_output_says() -> None:
    action = derive_action(_spec("static", [SYMBOL, "7"]), {"arguments": [SYMBOL, 8]})

    assert action is not None
    assert action.call_data == CALL


def test_a_function_without_parameters_takes_none() -> None:
    abi = {"type": "function", "name": "poke", "inputs": []}

    action = derive_action(_spec("none", abi=abi), {})

    assert action is not None
    assert len(action.call_data) == 4


def test_without_an_action_there_is_nothing_to_call() -> None:
    assert derive_action({"action": None, "arguments": {"kind": "dynamic"}}, {"arguments": [1]}) is None


def test_a_script_decides_against_its_call() -> None:
    assert derive_action(_spec(), {"should_execute": False, "calldata": "0x12"}) is None


def test_a_script_decides_for_its_static_call() -> None:
    action = derive_action(_spec("static", [SYMBOL, 7]), {"should_execute": True})

    assert action is not None
    assert action.call_data == CALL


def test_call_data_of_the_same_function_is_taken_as_it_is() -> None:
    action = derive_action(_spec("static", [SYMBOL, 1]), {"should_execute": True, "calldata": to_hex(CALL)})

    assert action is not None
    assert action.call_data == CALL


@pytest.mark.parametrize(
    ("spec", "output", "code"),
    [
        (_spec(), {}, "action_arguments_missing"),
        (_spec(), {"arguments": "x"}, "action_arguments_missing"),
        (_spec(), {"arguments": [SYMBOL]}, "action_arguments_invalid"),
        (_spec(), {"arguments": [SYMBOL, -1]}, "action_arguments_invalid"),
        (_spec(), {"arguments": [SYMBOL, 1.5]}, "action_arguments_invalid"),
        (_spec(), {"should_execute": "yes", "arguments": [SYMBOL, 1]}, "action_decision_invalid"),
        (_spec(), {"should_execute": None}, "action_decision_invalid"),
        (_spec(), {"calldata": "12"}, "action_calldata_invalid"),
        (_spec(), {"calldata": 5}, "action_calldata_invalid"),
        (_spec(), {"calldata": "0x"}, "action_calldata_invalid"),
        (_spec(), {"calldata": "0x12345678"}, "action_calldata_invalid"),
        (_spec(), {"calldata": to_hex(CALL + bytes(1024))}, "action_calldata_invalid"),
        (_spec(abi={}), {"arguments": []}, "action_abi_invalid"),
        (_spec(abi=None), {"calldata": "0x12345678"}, "action_abi_invalid"),
        (_spec(target="0x12"), {"arguments": []}, "action_invalid"),
        (_spec(target=TARGET.replace("aAeb", "AAeb")), {"arguments": []}, "action_invalid"),
        (_spec(gas_limit=0), {"arguments": []}, "action_invalid"),
        (_spec(gas_limit="9"), {"arguments": []}, "action_invalid"),
        (_spec(gas_limit=True), {"arguments": []}, "action_invalid"),
        (_spec(value_wei="1"), {"arguments": []}, "action_invalid"),
        (_spec("later"), {"arguments": []}, "action_invalid"),
        ({"action": [], "arguments": {"kind": "none"}}, {}, "action_invalid"),
    ],
)
def test_what_makes_no_call_has_its_code(spec: dict[str, Any], output: dict[str, Any], code: str) -> None:
    with pytest.raises(DomainError) as caught:
        derive_action(spec, output)
    assert caught.value.code == code

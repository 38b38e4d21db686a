"""The call a custom script asks for: one of the contracts its job names, or nothing."""

from typing import Any

import pytest

from apps.execution.domain.action import CALL_DATA_MAX_BYTES, Action, derive_action
from apps.kernel.errors import DomainError

TARGETS = ["0x" + "11" * 20, "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"]
MIXED = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
SPEC: dict[str, Any] = {
    "action": {"chain_id": 1, "custom": True, "targets": TARGETS, "gas_limit": 90_000},
    "arguments": {"kind": "none", "values": []},
}


def _output(**changes: Any) -> dict[str, Any]:
    return {"should_execute": True, "target": TARGETS[0], "calldata": "0x12065fe0", **changes}


def test_the_script_says_which_of_its_targets_is_called_and_with_what():
    action = derive_action(SPEC, _output(target=MIXED, metadata={"any": ["thing"]}, more=1))

    assert action == Action(target=MIXED.lower(), call_data=bytes.fromhex("12065fe0"), gas_limit=90_000)


def test_the_script_decides_against_any_call_whatever_else_it_prints():
    assert derive_action(SPEC, _output(should_execute=False, target=5, calldata=None)) is None


@pytest.mark.parametrize("size", [4, 5, CALL_DATA_MAX_BYTES])
def test_call_data_is_a_selector_at_least_and_what_the_hub_takes_at_most(size: int):
    action = derive_action(SPEC, _output(calldata="0x" + "ab" * size))
    assert action is not None
    assert len(action.call_data) == size


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"target": "0x" + "22" * 20}, "action_target_refused", "/target"),
        ({"target": None}, "action_target_refused", "/target"),
        ({"target": 17}, "action_target_refused", "/target"),
        ({"target": [TARGETS[0]]}, "action_target_refused", "/target"),
        ({"target": TARGETS[0] + "\n"}, "action_target_refused", "/target"),
        ({"target": MIXED.replace("aAeb", "AAeb")}, "action_target_refused", "/target"),
        ({"target": "0x" + "00" * 20}, "action_target_refused", "/target"),
        ({"calldata": "0x"}, "action_calldata_invalid", "/calldata"),
        ({"calldata": "0x112233"}, "action_calldata_invalid", "/calldata"),
        ({"calldata": "0x" + "00" * (CALL_DATA_MAX_BYTES + 1)}, "action_calldata_invalid", "/calldata"),
        ({"calldata": "12065fe0"}, "action_calldata_invalid", "/calldata"),
        ({"calldata": "0x12065fe"}, "action_calldata_invalid", "/calldata"),
        ({"calldata": None}, "action_calldata_invalid", "/calldata"),
        ({"calldata": ["0x12065fe0"]}, "action_calldata_invalid", "/calldata"),
        ({"should_execute": "true"}, "action_decision_invalid", None),
        ({"should_execute": 1}, "action_decision_invalid", None),
        ({"should_execute": None}, "action_decision_invalid", None),
    ],
)
def test_what_makes_no_call_has_its_code_and_its_place(changes: dict[str, Any], code: str, pointer: Any):
    with pytest.raises(DomainError) as caught:
        derive_action(SPEC, _output(**changes))
    assert (caught.value.code, caught.value.pointer) == (code, pointer)


def test_a_custom_script_has_to_decide():
    with pytest.raises(DomainError) as caught:
        derive_action(SPEC, {"target": TARGETS[0], "calldata": "0x12065fe0"})
    assert caught.value.code == "action_decision_invalid"


@pytest.mark.parametrize(
    "wanted", [{"targets": []}, {"targets": None}, {"targets": ["0x12"]}, {"gas_limit": 0}]
)
def test_a_specification_no_hub_can_carry_out_has_its_code(wanted: dict[str, Any]):
    with pytest.raises(DomainError) as caught:
        derive_action({**SPEC, "action": {**SPEC["action"], **wanted}}, _output())
    assert caught.value.code == "action_invalid"

"""The fee of a run."""

import pytest

from apps.jobs.data import Bounds, Prices, definition_from_json, estimate
from apps.jobs.errors import PriceUnknown

PRICES = Prices(
    offchain_base_units=1_000,
    offchain_cpu_second_units=10,
    executions=6,
    settlement_batch_gas=100_001,
    settlement_item_gas=30_000,
    settlement_batch_items=8,
    fee_multiplier_percent=120,
)
ACTION = {"chain_id": 1, "target": "0x" + "ab" * 20, "function": "poke()", "gas_limit": 50_000}


def definition(**fields):
    return definition_from_json({"name": "x", "trigger_kind": "manual", **fields}, Bounds())


def test_the_fee_is_off_chain_part_plus_execution_gas_plus_settlement_share_times_1_2():
    value = definition(
        script_source="print(1)", action=ACTION, limits={"deadline_seconds": 10, "cpu_seconds": 5}
    )
    found = estimate(value, 2_000_000_000, PRICES)
    task = found.per_task[0]
    assert task.offchain_units == 1_000 + 10 * 5 * 6
    assert task.execution_gas == 50_000
    assert task.settlement_gas == 30_000 + 12_501
    assert task.fee_units == (1_300 + 2 * (50_000 + 42_501)) * 12 // 10 + 1
    assert found.total_units == task.fee_units


def test_a_step_without_a_script_or_an_action_pays_only_for_what_it_has():
    steps = [
        {"key": "a", "script_source": "print(1)", "limits": {"cpu_seconds": 1}},
        {"key": "b", "parents": ["a"], "action": ACTION},
    ]
    first, second = estimate(definition(steps=steps), 10**9, PRICES).per_task
    assert (first.offchain_units, first.execution_gas) == (1_060, 0)
    assert (second.offchain_units, second.execution_gas) == (1_000, 50_000)


def test_a_part_of_a_unit_is_charged_as_a_whole_one():
    found = estimate(definition(action=ACTION), 1, PRICES)
    assert found.total_units == 1_201


@pytest.mark.parametrize("price", [None, 0, -1])
def test_without_a_price_there_is_no_estimate(price):
    with pytest.raises(PriceUnknown):
        estimate(definition(action=ACTION), price, PRICES)

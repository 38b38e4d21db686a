"""What a run will cost at most: fee = (off-chain part + execution gas + settlement gas share) x 1.2.

Amounts are integers: wei while they are summed, rounded up once to units (gwei) per task. The
off-chain part counts the CPU seconds a step may use, once for the performer and once for each
attester who re-executes it.
"""

from dataclasses import dataclass

from apps.jobs.domain.values import JobDefinition, StepDefinition
from apps.jobs.errors import PriceUnknown
from apps.kernel.amounts import WEI_PER_UNIT, units_from_wei


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What Forekeep charges and how it settles; from the settings."""

    offchain_base_units: int
    offchain_cpu_second_units: int
    executions: int
    settlement_batch_gas: int
    settlement_item_gas: int
    settlement_batch_items: int
    fee_multiplier_percent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCost:
    """The parts of one task's fee. Gas parts are in gas, the rest in units."""

    step: str
    offchain_units: int
    execution_gas: int
    settlement_gas: int
    fee_units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CostEstimate:
    """The fee of one run, task by task."""

    per_task: tuple[TaskCost, ...]
    total_units: int
    gas_price_wei: int


def estimate(definition: JobDefinition, gas_price_wei: int | None, prices: Prices) -> CostEstimate:
    """The most one run costs at this gas price; raise PriceUnknown where there is none."""
    if gas_price_wei is None or gas_price_wei <= 0:
        raise PriceUnknown()
    per_task = tuple(_cost_of(step, gas_price_wei, prices) for step in definition.steps)
    return CostEstimate(
        per_task=per_task,
        total_units=sum(task.fee_units for task in per_task),
        gas_price_wei=gas_price_wei,
    )


def compute_settlement_gas(prices: Prices) -> int:
    """One task's share of the settlement's gas: its own leaf and its part of the batch, rounded up."""
    return prices.settlement_item_gas + -(-prices.settlement_batch_gas // prices.settlement_batch_items)


def _cost_of(step: StepDefinition, gas_price_wei: int, prices: Prices) -> TaskCost:
    cpu_seconds = step.limits.cpu_seconds * prices.executions if step.script else 0
    offchain_units = prices.offchain_base_units + prices.offchain_cpu_second_units * cpu_seconds
    execution_gas = step.action.gas_limit if step.action else 0
    settlement_gas = compute_settlement_gas(prices)
    cost_wei = offchain_units * WEI_PER_UNIT + (execution_gas + settlement_gas) * gas_price_wei
    return TaskCost(
        step=step.key,
        offchain_units=offchain_units,
        execution_gas=execution_gas,
        settlement_gas=settlement_gas,
        fee_units=units_from_wei(-(-cost_wei * prices.fee_multiplier_percent // 100)),
    )

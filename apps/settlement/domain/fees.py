"""What a confirmed task costs its project, and who gets it.

Fee = (off-chain part + execution gas + settlement gas share) × multiplier, in units, rounded up; the
gas already contains the action's. The performer gets 60 %, the attesters that signed share 20 %
equally, the rest (with every remainder) is the network's fee income.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from apps.kernel.amounts import units_from_wei

PERFORMER_PERCENT: Final = 60
ATTESTERS_PERCENT: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Fee:
    """One task's fee and its shares, in units; the shares sum to `total_units`."""

    total_units: int
    gas_units: int
    performer_units: int
    attester_units: tuple[tuple[str, int], ...]
    network_units: int


def compute_fee(
    *,
    cpu_ms: int,
    cpu_second_units: int,
    base_units: int,
    gas_used: int,
    gas_price_wei: int,
    multiplier_percent: int,
    attesters: Sequence[str],
    ceiling_units: int,
) -> Fee:
    """The fee of one task, at most `ceiling_units` (what its escrow still holds).

    `cpu_ms` is the performer's; every attester spent as much again.
    """
    gas_units = units_from_wei(gas_used * gas_price_wei)
    executions = 1 + len(attesters)
    off_chain = base_units + -(-cpu_ms * executions * cpu_second_units // 1_000)
    total = min(-(-(off_chain + gas_units) * multiplier_percent // 100), ceiling_units)
    performer = total * PERFORMER_PERCENT // 100
    each = total * ATTESTERS_PERCENT // 100 // len(attesters) if attesters else 0
    shares = tuple((address, each) for address in sorted(attesters))
    return Fee(
        total_units=total,
        gas_units=gas_units,
        performer_units=performer,
        attester_units=shares,
        network_units=total - performer - each * len(shares),
    )

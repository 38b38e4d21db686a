"""What a confirmed task costs, and who gets it."""

from hypothesis import given
from hypothesis import strategies as st

from apps.settlement.domain.fees import compute_fee

ATTESTERS = [f"0x{number:040x}" for number in range(4)]


def fee(**changes):
    values = {
        "cpu_ms": 10,
        "cpu_second_units": 1_000,
        "base_units": 100,
        "gas_used": 50_000,
        "gas_price_wei": 2_000_000_000,
        "multiplier_percent": 120,
        "attesters": ATTESTERS,
        "ceiling_units": 10**12,
    }
    return compute_fee(**{**values, **changes})


def test_the_fee_is_off_chain_part_and_gas_times_the_multiplier():
    assert fee().gas_units == 100_000
    assert fee().total_units == (100 + 50 + 100_000) * 120 // 100


def test_a_fraction_of_a_unit_is_charged_as_a_unit():
    assert fee(gas_used=1, gas_price_wei=1, base_units=0, cpu_ms=0).total_units == 2


def test_a_task_never_costs_more_than_its_escrow_holds():
    assert fee(ceiling_units=77).total_units == 77


@given(
    st.integers(0, 10**6),
    st.integers(0, 10**7),
    st.integers(0, 10**12),
    st.lists(st.sampled_from(ATTESTERS), unique=True),
    st.integers(0, 10**15),
)
def test_the_shares_sum_to_the_fee_to_the_unit(cpu_ms, gas_used, gas_price_wei, attesters, ceiling):
    value = fee(
        cpu_ms=cpu_ms,
        gas_used=gas_used,
        gas_price_wei=gas_price_wei,
        attesters=attesters,
        ceiling_units=ceiling,
    )
    shares = sum(units for _, units in value.attester_units)
    assert value.performer_units + shares + value.network_units == value.total_units <= ceiling
    assert min(value.performer_units, value.network_units) >= 0
    assert len({units for _, units in value.attester_units}) <= 1

"""Who performs a task."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from apps.execution.domain.scoring import (
    MILLION,
    Demand,
    choose_keeper,
    compute_parts,
    compute_room,
    compute_window,
    is_eligible,
)
from apps.keepers.data import KeeperValue

NOW = datetime(2026, 5, 1, tzinfo=UTC)
DEMAND = Demand(capabilities=frozenset({"python"}), min_stake_units=100)


def keeper(number: int, **changes) -> KeeperValue:
    value = KeeperValue(
        address=f"0x{number:040x}",
        version="1.0.0",
        is_online=True,
        is_registered=True,
        stake_units=100,
        reputation=5_000,
        capabilities=("python",),
    )
    return replace(value, **changes)


def choose(*keepers: KeeperValue, demand: Demand = DEMAND, open_leases=None, assigned_at=None):
    choice = choose_keeper(keepers, demand, open_leases or {}, assigned_at or {})
    return choice and choice.address


def test_the_parts_weigh_forty_thirty_twenty_ten():
    best = keeper(1, reputation=10_000)
    choice = choose_keeper([best], DEMAND, {}, {})
    assert choice is not None
    assert choice.card["parts"] == {
        "performance": MILLION,
        "load": MILLION,
        "reputation": MILLION,
        "specialization": MILLION,
    }
    assert choice.card["score"] == MILLION
    loaded = choose_keeper([best], DEMAND, {best.address: 4}, {})
    assert loaded is not None
    assert loaded.card["score"] == MILLION - 150_000


def test_filters_come_before_scores():
    refused = [
        keeper(1, is_online=False, reputation=10_000),
        keeper(2, is_registered=False, reputation=10_000),
        keeper(3, stake_units=99, reputation=10_000),
        keeper(4, capabilities=("deno",), reputation=10_000),
    ]
    assert choose(*refused, keeper(5, reputation=0)) == keeper(5).address
    assert choose(*refused) is None


def test_an_old_version_a_foreign_keeper_and_an_excluded_one_are_not_eligible():
    demand = replace(DEMAND, min_version=(1, 2))
    assert not is_eligible(keeper(1, version="1.1.9"), demand)
    assert is_eligible(keeper(1, version="1.10.0"), demand)
    assert not is_eligible(keeper(1), replace(DEMAND, allowed=frozenset({keeper(2).address})))
    assert not is_eligible(keeper(1), replace(DEMAND, excluded=frozenset({keeper(1).address})))


def test_a_tie_goes_to_the_least_recently_assigned_then_to_the_lowest_address():
    one, two, three = keeper(1), keeper(2), keeper(3)
    assigned = {one.address: NOW, two.address: NOW - timedelta(seconds=1), three.address: NOW}
    assert choose(one, two, three, assigned_at=assigned) == two.address
    assert choose(three, two, one) == one.address


def test_a_keeper_never_assigned_comes_before_one_that_was():
    assert choose(keeper(1), keeper(2), assigned_at={keeper(1).address: NOW}) == keeper(2).address


def test_the_card_names_the_runner_up():
    choice = choose_keeper([keeper(1, reputation=9_000), keeper(2)], DEMAND, {}, {})
    assert choice is not None
    assert choice.card["runner_up"]["keeper"] == keeper(2).address
    assert choice.card["candidates"] == 2


def test_load_spreads_a_set_over_equal_keepers():
    keepers = [keeper(number, latency_ms=50) for number in range(1, 6)]
    open_leases: dict[str, int] = {}
    for _ in range(50):
        choice = choose_keeper(keepers, DEMAND, open_leases, {})
        assert choice is not None
        open_leases[choice.address] = open_leases.get(choice.address, 0) + 1
    assert set(open_leases.values()) == {10}


def test_a_keeper_holds_some_seconds_of_its_measured_work():
    assert compute_window(keeper(1, latency_ms=1)) == 64
    assert compute_window(keeper(1, latency_ms=500)) == 12
    assert compute_window(keeper(1, latency_ms=60_000)) == 2
    assert compute_window(keeper(1, tasks_confirmed=9)) == 64


def test_a_keeper_that_was_never_measured_is_given_little_at_first():
    assert compute_window(keeper(1)) == 8


def test_a_keeper_without_room_is_passed_over_and_none_is_chosen_where_all_are_full():
    full, free = keeper(1, latency_ms=60_000, reputation=10_000), keeper(2, latency_ms=60_000)
    assert choose(full, free, open_leases={full.address: 2}) == free.address
    assert choose(full, free, open_leases={full.address: 2, free.address: 3}) is None
    assert compute_room(free, 3) == 0


@given(
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**7),
    st.integers(0, 10**4),
    st.integers(0, 500),
)
def test_every_part_lies_between_nought_and_one(confirmed, failed, latency_ms, reputation, open_leases):
    value = keeper(
        1, tasks_confirmed=confirmed, tasks_failed=failed, latency_ms=latency_ms, reputation=reputation
    )
    parts = compute_parts(value, {"python", "chain:1"}, open_leases)
    assert all(0 <= part <= MILLION for part in parts.values())
    assert parts["specialization"] == MILLION // 2

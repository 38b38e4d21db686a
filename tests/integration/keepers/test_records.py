"""What work, time and operators do to keepers, over a real database."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.eventlog.models import Event
from apps.eventlog.selectors import get_database_now
from apps.keepers.data import KeeperOutcome, KeeperStatus
from apps.keepers.errors import (
    KeeperUnknown,
)
from apps.keepers.selectors import (
    find_replay_differences,
    get_assignable_keepers,
    get_keeper,
)
from apps.keepers.services import (
    keepers_decay_reputation,
    keepers_mark_assigned,
    keepers_record_outcomes,
    keepers_refresh_stakes,
    keepers_reinstate,
    keepers_retire,
    keepers_suspend,
)
from apps.kernel.transitions import IllegalTransition
from tests.factories.keepers import make_keeper

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _replay_gives_every_row() -> Any:
    """Invariant 25 after every test."""
    yield
    assert find_replay_differences() == {}


def _events(address: str) -> list[str]:
    rows = Event.objects.filter(aggregate_type="keeper", aggregate_id=address)
    return list(rows.order_by("aggregate_sequence").values_list("event_type", flat=True))


def test_outcomes_are_recorded_for_all_keepers_at_once() -> None:
    keepers = [make_keeper() for _ in range(20)]
    outcomes = [
        KeeperOutcome(
            address=keeper.address, confirmed_count=1, points=3, reputation_delta=100, latency_ms=(50,)
        )
        for keeper in keepers
    ]

    with CaptureQueriesContext(connection) as queries:
        keepers_record_outcomes([*outcomes, outcomes[0]])

    assert len(queries) <= 8
    first, second = get_keeper(keepers[0].address), get_keeper(keepers[1].address)
    assert (first.points, first.tasks_confirmed, first.reputation) == (6, 2, 5_200)
    assert (second.points, second.tasks_confirmed, second.latency_ms_ewma) == (3, 1, 50)


def test_an_outcome_of_an_unknown_keeper_records_nothing() -> None:
    keeper = make_keeper()

    with pytest.raises(KeeperUnknown):
        keepers_record_outcomes(
            [KeeperOutcome(address=keeper.address, points=1), KeeperOutcome(address="0x" + "9" * 40)]
        )
    assert get_keeper(keeper.address).points == 0


def test_only_registered_keepers_that_are_online_are_assignable_and_one_query_finds_them(
    django_assert_num_queries: Any,
) -> None:
    good = make_keeper(stake_units=7, latency_ms_ewma=12)
    make_keeper(online=False)
    make_keeper(status=KeeperStatus.SUSPENDED)
    make_keeper(status=KeeperStatus.RETIRED, online=False)

    with django_assert_num_queries(1):
        found = get_assignable_keepers()

    assert [value.address for value in found] == [good.address]
    assert (found[0].stake_units, found[0].latency_ms, found[0].is_online) == (7, 12, True)
    assert found[0].capabilities == ("chain:31337", "python")


def test_being_assigned_is_remembered_in_one_statement(django_assert_num_queries: Any) -> None:
    keepers = [make_keeper() for _ in range(3)]
    now = get_database_now()

    with django_assert_num_queries(1):
        keepers_mark_assigned({keeper.address: now for keeper in keepers})

    assert {get_keeper(keeper.address).last_assigned_at for keeper in keepers} == {now}


def test_decay_is_taken_once_per_period() -> None:
    now = get_database_now()
    old = make_keeper(reputation=5_000, reputation_decayed_at=now - timedelta(days=61))
    make_keeper(reputation=5_000)

    assert keepers_decay_reputation() == 1
    assert keepers_decay_reputation() == 0

    assert get_keeper(old.address).reputation == 4_900


def test_stakes_follow_the_chain() -> None:
    first, second = make_keeper(stake_units=5), make_keeper(stake_units=5)

    changed = keepers_refresh_stakes({first.address: 9, second.address: 5, "0x" + "9" * 40: 1})

    assert changed == 1
    assert get_keeper(first.address).stake_units == 9
    assert _events(second.address) == ["keeper.registered"]


def test_an_operator_suspends_reinstates_and_retires() -> None:
    keeper = make_keeper()

    assert keepers_suspend([keeper.address], reason="slow") == 1
    assert keepers_suspend([keeper.address], reason="slow") == 0
    assert keepers_reinstate([keeper.address], reason="") == 1
    assert keepers_retire([keeper.address], reason="") == 1

    assert not get_keeper(keeper.address).online
    assert _events(keeper.address)[1:] == ["keeper.suspended", "keeper.reinstated", "keeper.retired"]
    assert Event.objects.filter(event_type="keeper.suspended").get().payload["reason"] == "slow"
    with pytest.raises(IllegalTransition):
        keepers_reinstate([keeper.address], reason="")


def test_one_keeper_that_cannot_move_moves_nobody() -> None:
    good, retired = make_keeper(), make_keeper(status=KeeperStatus.RETIRED, online=False)

    with pytest.raises(IllegalTransition):
        keepers_suspend([good.address, retired.address], reason="")

    assert get_keeper(good.address).status == KeeperStatus.REGISTERED


@pytest.mark.parametrize(
    "fields",
    [
        {"reputation": 10_001},
        {"reputation": -1},
        {"points": -1},
        {"status": "asleep"},
        {"status": "retired", "online": True},
        {"stake_units": -1},
    ],
)
def test_the_database_refuses_what_no_keeper_can_be(fields: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        make_keeper(**fields)


def test_two_keepers_never_share_a_key() -> None:
    keeper = make_keeper()

    with pytest.raises(IntegrityError), transaction.atomic():
        make_keeper(bls_public_key=keeper.bls_public_key)

"""One holder at a time, on the database's clock."""

import pytest

from apps.eventlog.selectors import get_database_now
from apps.watching.leases import lease_release, lease_renew, lease_take, make_holder
from apps.watching.models import WatchLease
from apps.watching.selectors import is_led

pytestmark = pytest.mark.django_db


def test_only_one_of_two_gets_a_lease():
    first = lease_take(name="chain:1", holder="a", seconds=60)
    assert first is not None
    assert lease_take(name="chain:1", holder="b", seconds=60) is None
    assert lease_take(name="chain:2", holder="b", seconds=60) is not None
    assert lease_renew(first, seconds=60)
    assert is_led("chain:1", get_database_now())


def test_a_lease_that_ran_out_is_anothers_and_cannot_be_renewed():
    first = lease_take(name="chain:1", holder="a", seconds=60)
    WatchLease.objects.update(expires_at=get_database_now())
    second = lease_take(name="chain:1", holder="b", seconds=60)
    assert second is not None
    assert second.epoch > first.epoch
    assert not lease_renew(first, seconds=60)
    lease_release(first)
    assert lease_renew(second, seconds=60), "another's release changes nothing"


def test_a_released_lease_is_free_at_once():
    first = lease_take(name="chain:1", holder="a", seconds=60)
    lease_release(first)
    assert not is_led("chain:1", get_database_now())
    assert lease_take(name="chain:1", holder="b", seconds=60) is not None


def test_no_two_processes_have_one_name():
    assert make_holder() != make_holder()

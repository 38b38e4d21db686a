"""Keepers over a real database: joining, checking in, silence, work, an operator's word."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.eventlog.models import Event
from apps.eventlog.selectors import get_database_now
from apps.keepers.data import KeeperOutcome, OfflineKeeper, RegistryEntry
from apps.keepers.errors import (
    BlsKeyForeign,
    CheckinReplayed,
    CheckinStale,
    KeeperRetired,
    KeeperUnknown,
    PossessionInvalid,
    RegistryUnreachable,
    StakeTooSmall,
)
from apps.keepers.models import Keeper
from apps.keepers.selectors import (
    find_replay_differences,
    get_bls_public_keys,
    get_keeper,
)
from apps.keepers.services import (
    keeper_check_in,
    keeper_register,
    keepers_record_outcomes,
    keepers_retire,
    keepers_sweep_offline,
)
from apps.kernel import bls
from apps.kernel.eip712 import SignatureInvalid
from tests.factories.keepers import DOMAIN, STAKE_UNITS, FakeRegistry, Signer, make_keeper

pytestmark = pytest.mark.django_db


class Alerts:
    """Remembers whom it was told about."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def send(self, keepers: Sequence[OfflineKeeper]) -> None:
        """See OfflineAlerts."""
        self.told += [keeper.address for keeper in keepers]


@pytest.fixture(autouse=True)
def _replay_gives_every_row() -> Any:
    """Invariant 25 after every test."""
    yield
    assert find_replay_differences() == {}


def _register(
    signer: Signer, message: Any = None, *, registry: Any = None, signature: bytes | None = None
) -> Any:
    message = message or signer.registration()
    return keeper_register(
        message,
        signature or signer.signature(message),
        domain=DOMAIN,
        registry=registry or FakeRegistry(entries={signer.address: signer.entry}),
        min_stake_units=STAKE_UNITS,
        window_seconds=60,
    )


def _check_in(signer: Signer, message: Any = None, signature: bytes | None = None) -> Any:
    message = message or signer.check_in()
    return keeper_check_in(message, signature or signer.signature(message), domain=DOMAIN, window_seconds=60)


def _events(address: str) -> list[str]:
    rows = Event.objects.filter(aggregate_type="keeper", aggregate_id=address)
    return list(rows.order_by("aggregate_sequence").values_list("event_type", flat=True))


def _sweep(alerts: Alerts, cooldown: int = 3_600) -> list[str]:
    with transaction.atomic():
        due = keepers_sweep_offline(offline_after_seconds=600, alert_cooldown_seconds=cooldown, alerts=alerts)
    return [keeper.address for keeper in due]


def test_a_keeper_with_key_and_stake_joins() -> None:
    signer = Signer()

    keeper, is_new = _register(signer)

    assert is_new
    assert keeper.address == signer.address
    assert (keeper.status, keeper.online, keeper.stake_units) == ("registered", False, STAKE_UNITS)
    assert keeper.reputation == 5_000
    assert _events(signer.address) == ["keeper.registered"]
    assert get_bls_public_keys([signer.address]) == {signer.address: signer.bls_public_key}


def test_registering_again_changes_the_profile_and_keeps_the_record() -> None:
    signer = Signer()
    _register(signer)
    keepers_record_outcomes([KeeperOutcome(address=signer.address, points=9)])

    keeper, is_new = _register(signer, signer.registration(name="south", capabilities=("python",)))

    assert not is_new
    assert (keeper.name, keeper.capabilities, keeper.points) == ("south", ["python"], 9)
    assert _events(signer.address)[-1] == "keeper.updated"


def test_a_registration_counts_once() -> None:
    signer = Signer()
    message = signer.registration()
    _register(signer, message)

    with pytest.raises(CheckinReplayed):
        _register(signer, message)


def test_a_forged_registration_is_refused() -> None:
    signer, stranger = Signer(), Signer()
    message = signer.registration()

    with pytest.raises(SignatureInvalid):
        _register(signer, message, signature=stranger.signature(message))
    assert Keeper.objects.count() == 0


def test_a_key_whose_possession_is_not_proved_is_refused() -> None:
    signer, victim = Signer(), Signer()
    stolen = signer.registration(
        bls_public_key=victim.bls_public_key,
        possession=bls.prove_possession(victim.bls_secret, victim.address),
    )

    with pytest.raises(PossessionInvalid):
        _register(signer, stolen)


@pytest.mark.parametrize("entry", [None, "small", "inactive"])
def test_a_keeper_without_enough_active_stake_is_refused(entry: str | None) -> None:
    signer = Signer()
    entries = {}
    if entry:
        stake = STAKE_UNITS - (entry == "small")
        entries[signer.address] = RegistryEntry(
            stake_units=stake, bls_public_key=signer.bls_public_key, is_active=entry != "inactive"
        )

    with pytest.raises(StakeTooSmall):
        _register(signer, registry=FakeRegistry(entries=entries))


def test_a_key_other_than_the_one_on_chain_is_refused() -> None:
    signer, other = Signer(), Signer()

    with pytest.raises(BlsKeyForeign):
        _register(signer, registry=FakeRegistry(entries={signer.address: other.entry}))


def test_a_key_that_another_keeper_registered_is_refused() -> None:
    first = Signer()
    second = Signer(bls_secret=first.bls_secret)
    _register(first)

    with pytest.raises(BlsKeyForeign):
        _register(second)


def test_a_chain_that_does_not_answer_registers_nobody() -> None:
    signer = Signer()

    with pytest.raises(RegistryUnreachable):
        _register(signer, registry=FakeRegistry(error=RegistryUnreachable(reason="down")))
    assert Keeper.objects.count() == 0


def test_an_old_registration_is_refused() -> None:
    signer = Signer()

    with pytest.raises(CheckinStale):
        _register(signer, signer.registration(timestamp=1_700_000_000))


def test_a_retired_keeper_does_not_come_back() -> None:
    signer = Signer()
    _register(signer)
    keepers_retire([signer.address], reason="gone")

    with pytest.raises(KeeperRetired):
        _register(signer)
    with pytest.raises(KeeperRetired):
        _check_in(signer)


def test_the_first_check_in_brings_a_keeper_online() -> None:
    signer = Signer()
    _register(signer)

    _check_in(signer)

    keeper = get_keeper(signer.address.upper().replace("0X", "0x"))
    assert keeper.online
    assert keeper.uptime_seconds == 60
    assert _events(signer.address) == ["keeper.registered", "keeper.came_online"]


def test_a_heartbeat_is_one_update_and_no_event() -> None:
    signer = Signer()
    _register(signer)
    _check_in(signer)
    message = signer.check_in(uptime=120)
    signature = signer.signature(message)

    with CaptureQueriesContext(connection) as queries:
        _check_in(signer, message, signature)

    changing = [query["sql"] for query in queries if not query["sql"].startswith("SELECT")]
    assert len(changing) == 1
    assert changing[0].startswith("UPDATE")
    assert len(queries) == 2
    assert len(_events(signer.address)) == 2
    assert get_keeper(signer.address).uptime_seconds == 120


def test_a_new_version_is_an_event() -> None:
    signer = Signer()
    _register(signer)
    _check_in(signer)

    _check_in(signer, signer.check_in(version="0.2.0"))

    assert get_keeper(signer.address).version == "0.2.0"
    assert _events(signer.address)[-1] == "keeper.version_changed"


def test_a_replayed_check_in_changes_nothing() -> None:
    signer = Signer()
    _register(signer)
    message = signer.check_in()
    _check_in(signer, message)
    before = get_keeper(signer.address)

    with pytest.raises(CheckinReplayed):
        _check_in(signer, message)
    with pytest.raises(CheckinReplayed):
        _check_in(signer, signer.check_in(nonce=message.nonce - 1))

    after = get_keeper(signer.address)
    assert (after.last_nonce, after.last_checkin_at) == (before.last_nonce, before.last_checkin_at)


def test_a_forged_check_in_changes_nothing() -> None:
    signer, stranger = Signer(), Signer()
    _register(signer)
    message = signer.check_in()

    with pytest.raises(SignatureInvalid):
        _check_in(signer, message, stranger.signature(message))
    assert not get_keeper(signer.address).online


@pytest.mark.parametrize("seconds", [-120, 120])
def test_a_check_in_from_another_time_is_refused(seconds: int) -> None:
    signer = Signer()
    _register(signer)

    with pytest.raises(CheckinStale):
        _check_in(signer, signer.check_in(timestamp=int(get_database_now().timestamp()) + seconds))


def test_a_stranger_does_not_check_in() -> None:
    with pytest.raises(KeeperUnknown):
        _check_in(Signer())


def test_silent_keepers_go_offline_and_are_told_about_once_per_cool_down(
    django_capture_on_commit_callbacks: Any,
) -> None:
    signer, alerts = Signer(), Alerts()
    long_ago = get_database_now() - timedelta(seconds=601)
    make_keeper(signer.address, last_checkin_at=long_ago, contact={"email": "a@example.org"})
    present = make_keeper(last_checkin_at=get_database_now() - timedelta(seconds=590))

    with django_capture_on_commit_callbacks(execute=True):
        assert _sweep(alerts) == [signer.address]

    assert alerts.told == [signer.address]
    assert not get_keeper(signer.address).online
    assert get_keeper(present.address).online
    assert _events(signer.address)[-1] == "keeper.went_offline"

    _check_in(signer)
    assert _events(signer.address)[-1] == "keeper.came_online"
    Keeper.objects.filter(pk=signer.address).update(last_checkin_at=long_ago)
    with django_capture_on_commit_callbacks(execute=True):
        assert _sweep(alerts) == []
    assert not get_keeper(signer.address).online
    assert alerts.told == [signer.address]


def test_a_sweep_that_finds_nobody_writes_nothing() -> None:
    make_keeper()
    before = Event.objects.count()

    assert _sweep(Alerts()) == []

    assert Event.objects.count() == before

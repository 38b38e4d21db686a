"""Random lives of keepers against a plain model, over the real services and database.

Invariants: 13 (only listed moves), 21 (a nonce counts once), 25 (replay gives the row), reputation in range.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from apps.eventlog.selectors import get_database_now
from apps.keepers.data import KEEPER_TABLE, KeeperOutcome, KeeperStatus
from apps.keepers.errors import CheckinReplayed, KeeperRetired
from apps.keepers.models import Keeper
from apps.keepers.selectors import find_replay_differences, get_assignable_keepers, get_keeper
from apps.keepers.services import (
    keeper_check_in,
    keeper_register,
    keepers_record_outcomes,
    keepers_reinstate,
    keepers_retire,
    keepers_suspend,
    keepers_sweep_offline,
)
from apps.kernel.transitions import IllegalTransition
from tests.factories.keepers import DOMAIN, STAKE_UNITS, FakeRegistry, Signer

SIGNERS = [Signer() for _ in range(3)]
_MOVES: dict[KeeperStatus, Any] = {
    KeeperStatus.SUSPENDED: keepers_suspend,
    KeeperStatus.REGISTERED: keepers_reinstate,
    KeeperStatus.RETIRED: keepers_retire,
}


@dataclass
class Model:
    """What a keeper should be."""

    status: KeeperStatus = KeeperStatus.REGISTERED
    online: bool = False
    last_nonce: int = 0
    reputation: int = 5_000
    points: int = 0
    version: str = "0.1.0"


class _Alerts:
    def send(self, keepers: Any) -> None:
        """Nobody listens."""


class KeeperMachine(RuleBasedStateMachine):
    """Three keepers, joined one by one."""

    joined = Bundle("joined")

    def __init__(self) -> None:
        super().__init__()
        self._atomic = transaction.atomic()
        self._atomic.__enter__()
        self.models: dict[str, Model] = {}
        self.registry = FakeRegistry(entries={signer.address: signer.entry for signer in SIGNERS})

    def teardown(self) -> None:
        """Leave the database as it was."""
        transaction.set_rollback(True)
        self._atomic.__exit__(None, None, None)

    @rule(target=joined, index=st.integers(0, 2), nonce=st.integers(1, 30))
    def register(self, index: int, nonce: int) -> int:
        """Join, or join again."""
        signer = SIGNERS[index]
        known = self.models.get(signer.address)
        message = signer.registration(nonce=nonce)
        try:
            keeper_register(
                message,
                signer.signature(message),
                domain=DOMAIN,
                registry=self.registry,
                min_stake_units=STAKE_UNITS,
                window_seconds=60,
            )
        except KeeperRetired:
            assert known is not None
            assert known.status is KeeperStatus.RETIRED
            return index
        except CheckinReplayed:
            assert known is not None
            assert nonce <= known.last_nonce
            return index
        assert known is None or (nonce > known.last_nonce and known.status is not KeeperStatus.RETIRED)
        model = self.models.setdefault(signer.address, Model())
        model.last_nonce, model.version = nonce, message.version
        return index

    @rule(index=joined, nonce=st.integers(1, 60), version=st.sampled_from(["0.1.0", "0.2.0"]))
    def check_in(self, index: int, nonce: int, version: str) -> None:
        """A sign of life, perhaps an old one."""
        signer = SIGNERS[index]
        model = self.models[signer.address]
        message = signer.check_in(nonce=nonce, version=version)
        try:
            keeper_check_in(message, signer.signature(message), domain=DOMAIN, window_seconds=60)
        except KeeperRetired:
            assert model.status is KeeperStatus.RETIRED
        except CheckinReplayed:
            assert nonce <= model.last_nonce
        else:
            assert nonce > model.last_nonce
            model.last_nonce, model.online, model.version = nonce, True, version

    @rule(index=joined)
    def fall_silent(self, index: int) -> None:
        """Ten minutes without a word, and the sweep."""
        address = SIGNERS[index].address
        Keeper.objects.filter(pk=address).update(last_checkin_at=get_database_now() - timedelta(minutes=11))
        keepers_sweep_offline(offline_after_seconds=600, alert_cooldown_seconds=0, alerts=_Alerts())
        self.models[address].online = False

    @rule(index=joined, target_status=st.sampled_from(list(KeeperStatus)))
    def move(self, index: int, target_status: KeeperStatus) -> None:
        """An operator's word."""
        model = self.models[SIGNERS[index].address]
        is_legal = KEEPER_TABLE.is_legal(model.status, target_status)
        try:
            moved = _MOVES[target_status]([SIGNERS[index].address], reason="")
        except IllegalTransition:
            assert not is_legal
            assert model.status is not target_status
            return
        assert moved == int(is_legal)
        model.status = target_status
        model.online = model.online and target_status is not KeeperStatus.RETIRED

    @rule(index=joined, points=st.integers(0, 9), delta=st.integers(-6_000, 6_000))
    def work(self, index: int, points: int, delta: int) -> None:
        """Finished work, good or bad."""
        address = SIGNERS[index].address
        keepers_record_outcomes([KeeperOutcome(address=address, points=points, reputation_delta=delta)])
        model = self.models[address]
        model.points += points
        model.reputation = min(max(model.reputation + delta, 0), 10_000)

    @invariant()
    def rows_are_as_they_should_be(self) -> None:
        """Every row equals its model."""
        for address, model in self.models.items():
            row = get_keeper(address)
            found = Model(
                status=KeeperStatus(row.status),
                online=row.online,
                last_nonce=row.last_nonce,
                reputation=row.reputation,
                points=row.points,
                version=row.version,
            )
            assert found == model

    @invariant()
    def only_registered_keepers_online_get_work(self) -> None:
        """The assignable set is exactly that."""
        expected = sorted(
            address
            for address, model in self.models.items()
            if model.online and model.status is KeeperStatus.REGISTERED
        )
        assert [value.address for value in get_assignable_keepers()] == expected

    @invariant()
    def events_give_the_rows(self) -> None:
        """Invariant 25."""
        assert find_replay_differences() == {}


@pytest.mark.django_db
def test_keepers_live_by_their_table() -> None:
    run_state_machine_as_test(
        KeeperMachine, settings=settings(max_examples=12, stateful_step_count=20, deadline=None)
    )

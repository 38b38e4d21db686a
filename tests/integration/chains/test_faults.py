"""Reorgs, restarts, kill -9 and a node restored from an older state: nothing is lost, nothing runs twice."""

import dataclasses
import shutil

import pytest

from apps.chains.anvil import STATE_FILE
from apps.chains.client import ChainClient
from apps.chains.data import OutboundStatus
from apps.chains.models import ChainState, Outbound
from apps.chains.services import outbound_broadcast, outbound_poll, outbound_sign
from apps.eventlog.selectors import get_database_now
from tests.integration.chains.driving import deposit_request, deposited, drive, later
from tests.support.waiting import wait_until

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _senders(own_chain, db):
    own_chain.prepare_senders()


def mined_row(chain, wei=1):
    """A row in a block, not confirmed."""
    (row,) = outbound_sign([deposit_request(chain, wei=wei)])
    outbound_broadcast(get_database_now())

    def is_mined():
        outbound_poll(get_database_now())
        row.refresh_from_db()
        return row.status in (OutboundStatus.MINED, OutboundStatus.CONFIRMED)

    wait_until(is_mined)
    return row


def test_a_reorged_transaction_is_sent_again_and_runs_once(own_chain, settings):
    settings.FOREKEEP = patient(settings, confirmations=1_000)
    row = mined_row(own_chain, wei=7)
    depth = own_chain.client.get_head().number - row.block_number + 1
    own_chain.node.request("anvil_reorg", depth + 3, [])
    assert deposited(own_chain) == 0

    moved = outbound_poll(later(1))
    assert [item.status for item in moved] == [OutboundStatus.SIGNED]
    row.refresh_from_db()
    assert (row.reorg_count, row.block_number, row.block_hash) == (1, None, "")

    settings.FOREKEEP = patient(settings, confirmations=2)
    (row,) = drive([row.pk])
    assert deposited(own_chain) == 7


def test_a_transaction_moved_to_another_block_starts_counting_again(own_chain, settings):
    settings.FOREKEEP = patient(settings, confirmations=1_000)
    row = mined_row(own_chain)
    first_hash = row.block_hash
    depth = own_chain.client.get_head().number - row.block_number + 1
    raw = "0x" + bytes(Outbound.objects.get(pk=row.pk).raw).hex()
    own_chain.node.request("anvil_reorg", depth + 1, [[raw, 0]])

    settings.FOREKEEP = patient(settings, confirmations=0)
    assert outbound_poll(later(1)) == []
    row.refresh_from_db()
    assert row.status == OutboundStatus.MINED
    assert row.block_hash != first_hash
    (moved,) = outbound_poll(later(2))
    assert moved.status == OutboundStatus.CONFIRMED


def patient(settings, **fields):
    """The settings with other chain fields."""
    chain = dataclasses.replace(settings.FOREKEEP.chain, **fields)
    return dataclasses.replace(settings.FOREKEEP, chain=chain)


def test_a_killed_node_comes_back_and_everything_is_confirmed(own_chain):
    rows = outbound_sign([deposit_request(own_chain)] * 10)
    outbound_broadcast(get_database_now())
    own_chain.node.kill()
    assert outbound_poll(later(1)) == []
    own_chain.node.start()
    drive([row.pk for row in rows])
    assert deposited(own_chain) == 10


def test_a_node_killed_between_signing_and_sending_loses_nothing(own_chain):
    rows = outbound_sign([deposit_request(own_chain)] * 4)
    own_chain.node.kill()
    assert outbound_broadcast(get_database_now()) == 0
    own_chain.node.start()
    drive([row.pk for row in rows])
    assert deposited(own_chain) == 4


def test_a_node_restored_from_an_older_state_gets_everything_again(own_chain, tmp_path):
    """Confirmed ones too: their nonces come first, and what they did has to be done again."""
    node = own_chain.node
    node.save()
    shutil.copy(node.state_dir / STATE_FILE, tmp_path / "older.json")
    ended = outbound_sign([deposit_request(own_chain)] * 6)
    drive([row.pk for row in ended])
    live = outbound_sign([deposit_request(own_chain)] * 4)
    outbound_broadcast(get_database_now())

    node.kill()
    shutil.copy(tmp_path / "older.json", node.state_dir / STATE_FILE)
    node.start()
    assert deposited(own_chain) == 0

    outbound_poll(later(6))
    outbound_poll(later(12))
    statuses = {row.status for row in Outbound.objects.all()}
    assert OutboundStatus.CONFIRMED not in statuses
    drive([row.pk for row in (*ended, *live)], ahead_seconds=12)
    assert deposited(own_chain) == 10
    assert Outbound.objects.filter(reorg_count__gt=0).count() >= 6


def test_an_idle_network_notices_the_older_state_by_its_audit(own_chain, tmp_path):
    node = own_chain.node
    node.save()
    shutil.copy(node.state_dir / STATE_FILE, tmp_path / "older.json")
    ended = outbound_sign([deposit_request(own_chain)] * 3)
    drive([row.pk for row in ended])
    node.kill()
    shutil.copy(tmp_path / "older.json", node.state_dir / STATE_FILE)
    node.start()
    for seconds in (10, 20):
        outbound_poll(later(seconds))
    drive([row.pk for row in ended], ahead_seconds=20)
    assert deposited(own_chain) == 3


def test_a_lagging_node_takes_nothing_back(own_chain, connect):
    """A head below the highest seen, for a moment: another node of a pool answered."""
    ended = outbound_sign([deposit_request(own_chain)] * 3)
    drive([row.pk for row in ended])
    state = ChainState.objects.get()

    class Lagging(ChainClient):
        def observe(self, **wanted):
            seen = super().observe(**wanted)
            head = type(seen.head)(number=1, hash="0x01", timestamp=1, base_fee_wei=1)
            return type(seen)(
                chain_id=seen.chain_id,
                head=head,
                fees=seen.fees,
                receipts={},
                nonces=dict.fromkeys(seen.nonces, 0),
                block_hashes={},
            )

    outbound_poll(later(6), client=connect(Lagging, own_chain.node.url))
    assert set(Outbound.objects.values_list("status", flat=True)) == {OutboundStatus.CONFIRMED}
    assert ChainState.objects.get().head_number >= state.head_number
    outbound_poll(later(12))
    assert ChainState.objects.get().behind_since is None

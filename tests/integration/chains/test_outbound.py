"""One transaction after the other from signed to confirmed, on a real node and a real database."""

import dataclasses

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.chains.anvil import AnvilProcess
from apps.chains.data import OutboundStatus
from apps.chains.direct import DirectCall, send_and_wait
from apps.chains.domain.sending import SendOutcome
from apps.chains.errors import SenderMissing
from apps.chains.models import ChainState, Outbound, Sender
from apps.chains.selectors import get_outbound_count, is_poll_due
from apps.chains.services import outbound_broadcast, outbound_poll, outbound_sign, senders_ensure
from apps.eventlog.selectors import get_database_now
from tests.integration.chains.driving import (
    CountingClient,
    deposit_request,
    deposited,
    drive,
    later,
    reverting_request,
)
from tests.support.chain import close_clients, find_free_port, point_settings_at

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _senders(chain, db):
    chain.prepare_senders()


def test_a_signed_call_is_sent_mined_and_confirmed(chain):
    (row,) = outbound_sign([deposit_request(chain, wei=5)])
    assert row.status == OutboundStatus.SIGNED
    (row,) = drive([row.pk])
    assert deposited(chain) == 5
    assert row.success
    assert row.wake_at is None
    assert row.confirmed_at is not None
    (receipt,) = chain.client.get_receipts([row.tx_hash]).values()
    assert (row.block_number, row.block_hash) == (receipt.block_number, receipt.block_hash)
    assert row.cost_wei == receipt.gas_used * receipt.effective_gas_price_wei > 0
    assert row.cost_units == -(-row.cost_wei // 10**9)
    assert chain.client.get_head().number - row.block_number >= 2


def test_the_called_contracts_events_are_kept_with_the_row(chain):
    (row,) = outbound_sign([deposit_request(chain, wei=5)])
    (row,) = drive([row.pk])
    (log,) = row.get_logs()
    (expected,) = chain.client.get_receipts([row.tx_hash])[row.tx_hash].logs
    assert log == expected


def test_signing_needs_no_network(chain, settings):
    dead = dataclasses.replace(settings.FOREKEEP.chain, rpc_url=f"http://127.0.0.1:{find_free_port()}")
    settings.FOREKEEP = dataclasses.replace(settings.FOREKEEP, chain=dead)
    rows = outbound_sign([deposit_request(chain)] * 3)
    assert {row.status for row in Outbound.objects.all()} == {OutboundStatus.SIGNED}
    assert len({row.tx_hash for row in rows}) == 3


def test_requests_are_spread_over_the_senders_with_consecutive_nonces(chain):
    before = {sender.pk: sender.next_nonce for sender in Sender.objects.all()}
    outbound_sign([deposit_request(chain)] * 3)
    outbound_sign([deposit_request(chain)] * 3)
    for sender in Sender.objects.all():
        nonces = sorted(sender.outbounds.values_list("nonce", flat=True))
        assert nonces == list(range(before[sender.pk], before[sender.pk] + 3))
        assert sender.next_nonce == before[sender.pk] + 3


def test_the_rows_come_back_in_the_order_of_the_requests(chain):
    requests = [deposit_request(chain, purpose=f"p{number}") for number in range(7)]
    assert [row.purpose for row in outbound_sign(requests)] == [request.purpose for request in requests]


def test_a_rolled_back_decision_leaves_no_gap(chain):
    before = dict(Sender.objects.values_list("pk", "next_nonce"))
    with transaction.atomic():
        outbound_sign([deposit_request(chain)] * 4)
        transaction.set_rollback(True)
    assert dict(Sender.objects.values_list("pk", "next_nonce")) == before
    assert not Outbound.objects.exists()


def test_without_a_sender_nothing_can_be_signed(chain):
    Sender.objects.all().delete()
    with pytest.raises(SenderMissing):
        outbound_sign([deposit_request(chain)])


def test_a_nonce_is_given_out_once(chain):
    (row,) = outbound_sign([deposit_request(chain)])
    row.pk, row.tx_hash = None, "0x" + "00" * 32
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save(force_insert=True)


def test_sending_twice_is_harmless(chain):
    (row,) = outbound_sign([deposit_request(chain, wei=3)])
    assert outbound_broadcast(get_database_now()) == 1
    Outbound.objects.update(status=OutboundStatus.SIGNED, wake_at=get_database_now())
    assert outbound_broadcast(later(0)) == 1
    drive([row.pk])
    assert deposited(chain) == 3


def test_a_hundred_take_a_handful_of_statements_and_one_request_a_pass(chain, connect):
    client = connect(CountingClient, chain.node.url)
    with CaptureQueriesContext(connection) as signing:
        rows = outbound_sign([deposit_request(chain)] * 100)
    with CaptureQueriesContext(connection) as sending:
        assert outbound_broadcast(get_database_now(), client=client) == 100
    assert client.requests == 1
    chain.mine(5)
    with CaptureQueriesContext(connection) as polling:
        moved = outbound_poll(later(1), client=client)
    assert client.requests == 2
    assert {row.status for row in moved} == {OutboundStatus.MINED}
    with CaptureQueriesContext(connection) as confirming:
        moved = outbound_poll(later(2), client=client)
    assert client.requests == 3
    assert [row.status for row in moved] == [OutboundStatus.CONFIRMED] * len(rows)
    counts = [statements_of(queries) for queries in (signing, sending, polling, confirming)]
    assert max(counts) <= 9, counts


def statements_of(queries):
    """Statements, savepoints left out."""
    return len([query for query in queries.captured_queries if "SAVEPOINT" not in query["sql"]])


def test_a_reverting_call_ends_as_failed(chain):
    (row,) = outbound_sign([reverting_request(chain)])
    (row,) = drive([row.pk], status=OutboundStatus.FAILED)
    assert row.success is False
    assert row.cost_wei > 0
    assert row.logs == []


def test_while_the_node_is_away_rows_wait(chain, settings):
    (row,) = outbound_sign([deposit_request(chain)])
    point_settings_at(settings, chain, rpc_url=f"http://127.0.0.1:{find_free_port()}")
    now = later(0)
    assert outbound_broadcast(now) == 0
    row.refresh_from_db()
    assert row.status == OutboundStatus.SIGNED
    assert row.wake_at > now
    assert outbound_poll(now) == []
    point_settings_at(settings, chain)
    wait = later(2)
    assert outbound_broadcast(wait) == 1


def test_a_node_of_another_chain_changes_nothing(chain, settings, tmp_path):
    """A wrong address in the settings must not make confirmed transactions look lost, or void new ones."""
    ended = outbound_sign([deposit_request(chain)] * 2)
    drive([row.pk for row in ended])
    (fresh,) = outbound_sign([deposit_request(chain)])
    with AnvilProcess(tmp_path / "other", find_free_port(), 0.05, chain_id=77) as other:
        other.request("anvil_mine", hex(500))
        close_clients()
        point_settings_at(settings, chain, rpc_url=other.url)
        assert outbound_broadcast(get_database_now()) == 0
        assert outbound_poll(later(30)) == []
        close_clients()
    point_settings_at(settings, chain)
    fresh.refresh_from_db()
    assert (fresh.status, fresh.void_reason) == (OutboundStatus.SIGNED, "")
    assert Outbound.objects.filter(status=OutboundStatus.CONFIRMED).count() == 2
    drive([fresh.pk], ahead_seconds=60)


def test_what_no_node_will_take_gives_its_nonce_away_and_holds_nobody_up(chain):
    requests = [deposit_request(chain), deposit_request(chain, gas_limit=10**9), deposit_request(chain)]
    Sender.objects.exclude(pk=Sender.objects.earliest("pk").pk).delete()
    rows = outbound_sign(requests)
    drive([rows[0].pk, rows[2].pk])
    (voided,) = drive([rows[1].pk], status=OutboundStatus.FAILED)
    assert "gas" in voided.void_reason
    assert deposited(chain) == 2


def test_a_sender_without_money_waits_for_it(chain):
    (row,) = outbound_sign([deposit_request(chain)])
    address = row.sender.address
    balance = chain.client.get_balances([address])[address]
    chain.client.set_balance(address, 0)
    assert outbound_broadcast(get_database_now()) == 0
    row.refresh_from_db()
    assert row.last_error.startswith("no_funds")
    chain.client.set_balance(address, balance)
    assert outbound_broadcast(later(60)) == 1


def test_a_price_below_the_base_fee_is_raised(chain):
    chain.node.request("anvil_setNextBlockBaseFeePerGas", hex(10**9))
    state = {"head_number": 1, "head_hash": "0x", "observed_at": get_database_now()}
    ChainState.objects.create(chain_id=31337, max_fee_wei=1_000, priority_fee_wei=1, **state)
    (row,) = outbound_sign([deposit_request(chain)])
    first_hash = row.tx_hash
    (row,) = drive([row.pk])
    assert row.tx_hash != first_hash
    assert first_hash in row.former_hashes
    assert row.max_fee_wei > 1_000
    assert row.send_count <= 2


def test_a_stuck_transaction_is_signed_again_dearer_and_either_may_be_mined(chain, connect):
    (row,) = outbound_sign([deposit_request(chain)])
    first_hash, max_fee_wei = row.tx_hash, row.max_fee_wei
    Outbound.objects.update(send_count=6)
    outbound_broadcast(later(0), client=connect(SilentClient, chain.node.url))
    (moved,) = outbound_poll(later(1))
    assert moved.status == OutboundStatus.SIGNED
    (row,) = drive([row.pk], ahead_seconds=2)
    assert row.former_hashes == [first_hash]
    assert row.max_fee_wei > max_fee_wei
    assert row.success


class SilentClient(CountingClient):
    """A node that takes transactions and forgets them."""

    def send_raw(self, raws):
        return [(SendOutcome.ACCEPTED, "") for _ in raws]


def test_the_former_price_may_be_the_one_that_is_mined(chain, connect):
    (row,) = outbound_sign([deposit_request(chain)])
    first_hash, raw = row.tx_hash, bytes(row.raw)
    Outbound.objects.update(send_count=6)
    outbound_broadcast(later(0), client=connect(SilentClient, chain.node.url))
    outbound_poll(later(1))
    row.refresh_from_db()
    assert row.former_hashes == [first_hash]
    chain.client.send_raw([raw])
    (row,) = drive([row.pk], ahead_seconds=2)
    assert row.tx_hash == first_hash
    assert first_hash not in row.former_hashes


def test_a_nonce_somebody_else_used_drops_the_row(chain):
    (row,) = outbound_sign([deposit_request(chain)])
    key = next(account for account in chain.submitters if account.address == row.sender.address)
    foreign = DirectCall(purpose="foreign", key=key, to=key.address, data=b"")
    send_and_wait(chain.client, chain.deployment.chain_id, [foreign])
    assert outbound_broadcast(later(0)) == 1
    assert outbound_poll(later(1)) == []
    (moved,) = outbound_poll(later(120))
    assert moved.status == OutboundStatus.DROPPED
    assert deposited(chain) == 0


def test_senders_follow_the_chain_where_they_sent_nothing(chain):
    sender = Sender.objects.earliest("pk")
    senders_ensure(addresses=[sender.address], chain_id=31337, mined_nonces={sender.address: 9})
    sender.refresh_from_db()
    assert sender.next_nonce == 9
    senders_ensure(addresses=[sender.address], chain_id=31337, mined_nonces={sender.address: 4})
    sender.refresh_from_db()
    assert sender.next_nonce == 4


def test_senders_never_give_out_a_nonce_they_sent(chain):
    (row,) = outbound_sign([deposit_request(chain)])
    sender = row.sender
    senders_ensure(addresses=[sender.address], chain_id=31337, mined_nonces={sender.address: 0})
    sender.refresh_from_db()
    assert sender.next_nonce == row.nonce + 1


def test_a_poll_is_due_for_a_row_or_for_the_audit(chain):
    outbound_poll(get_database_now())
    assert not is_poll_due(get_database_now())
    assert is_poll_due(later(6))
    outbound_sign([deposit_request(chain)])
    outbound_broadcast(get_database_now())
    assert is_poll_due(get_database_now())
    assert get_outbound_count() == {"signed": 0, "broadcast": 1, "mined": 0}


def test_a_pass_that_dies_leaves_its_rows_to_the_next(chain, connect):
    (row,) = outbound_sign([deposit_request(chain)])

    class Dying(CountingClient):
        def send_raw(self, raws):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outbound_broadcast(get_database_now(), client=connect(Dying, chain.node.url))
    assert outbound_broadcast(get_database_now()) == 0
    assert outbound_broadcast(later(30)) == 1
    drive([row.pk], ahead_seconds=30)


def test_a_pass_that_was_overtaken_writes_nothing(chain, connect):
    (row,) = outbound_sign([deposit_request(chain)])
    outbound_broadcast(get_database_now())
    chain.mine(3)

    class Overtaken(CountingClient):
        def observe(self, **wanted):
            seen = super().observe(**wanted)
            outbound_poll(later(60))
            outbound_poll(later(60))
            return seen

    outbound_poll(later(0), client=connect(Overtaken, chain.node.url))
    row.refresh_from_db()
    assert row.status == OutboundStatus.CONFIRMED

"""What one look at the chain means, turn by turn."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.chains.data import OUTBOUND_TABLE, OutboundStatus, Receipt
from apps.chains.domain.tracking import Effect, Sighting, Tracked, TrackingLimits, Verdict, decide

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LIMITS = TrackingLimits(confirmations=2, resend_seconds=5, drop_after_seconds=60, bump_after_sends=6)


def tracked(**fields):
    values = {
        "status": OutboundStatus.BROADCAST,
        "nonce": 7,
        "block_number": None,
        "block_hash": "",
        "is_void": False,
        "is_underpriced": False,
        "send_count": 1,
        "created_at": NOW - timedelta(seconds=1),
        "broadcast_at": NOW - timedelta(seconds=1),
    }
    return Tracked(**{**values, **fields})


def mined(**fields):
    return tracked(status=OutboundStatus.MINED, block_number=10, block_hash="0xaa", **fields)


def receipt(*, number=10, block_hash="0xaa", is_success=True):
    return Receipt(
        tx_hash="0x01",
        block_number=number,
        block_hash=block_hash,
        is_success=is_success,
        gas_used=21_000,
        effective_gas_price_wei=1,
        contract_address=None,
    )


def sighting(found=None, *, head=10, known="0xaa", nonces=7):
    return Sighting(receipt=found, known_block_hash=known, head_number=head, mined_nonces=nonces)


def verdict(item, seen):
    return decide(item, seen, LIMITS, NOW)


def test_a_first_receipt_makes_it_mined_however_deep_it_is():
    seen = sighting(receipt(), head=100, known=None)
    assert verdict(tracked(), seen) == Verdict(status=OutboundStatus.MINED, effect=Effect.RECORD)


@pytest.mark.parametrize(("head", "status"), [(11, OutboundStatus.MINED), (12, OutboundStatus.CONFIRMED)])
def test_it_is_confirmed_at_the_kth_block_above(head, status):
    assert verdict(mined(), sighting(receipt(), head=head)) == Verdict(status=status)


def test_a_deep_revert_is_failed():
    seen = sighting(receipt(is_success=False), head=12)
    assert verdict(mined(), seen) == Verdict(status=OutboundStatus.FAILED)


def test_a_voided_one_never_counts_as_confirmed():
    assert verdict(mined(is_void=True), sighting(receipt(), head=12)).status == OutboundStatus.FAILED


@pytest.mark.parametrize(
    "seen",
    [
        sighting(receipt(block_hash="0xbb"), head=50, known="0xbb"),
        sighting(receipt(number=11), head=50),
        sighting(receipt(), head=50, known="0xbb"),
        sighting(receipt(), head=50, known=None),
    ],
    ids=["another hash", "another block", "a stale receipt", "no such block"],
)
def test_anything_but_the_same_block_starts_the_count_again(seen):
    assert verdict(mined(), seen) == Verdict(status=OutboundStatus.MINED, effect=Effect.RECORD)


def test_a_lost_receipt_sends_it_again():
    assert verdict(mined(), sighting(head=50)) == Verdict(status=OutboundStatus.SIGNED, effect=Effect.FORGET)


def test_a_young_pending_one_is_left_alone():
    assert verdict(tracked(), sighting()) == Verdict(status=OutboundStatus.BROADCAST)


def test_an_old_pending_one_is_sent_again():
    item = tracked(broadcast_at=NOW - timedelta(seconds=5))
    assert verdict(item, sighting()) == Verdict(status=OutboundStatus.SIGNED)


def test_the_next_in_line_is_repriced_after_enough_sends():
    assert verdict(tracked(send_count=6), sighting()).effect is Effect.BUMP


def test_one_behind_a_gap_is_not_repriced():
    assert verdict(tracked(send_count=60), sighting(nonces=6)).effect is Effect.NONE


def test_one_the_node_called_underpriced_is_repriced_at_once():
    assert verdict(tracked(is_underpriced=True), sighting(nonces=0)).effect is Effect.BUMP


def test_a_used_nonce_without_a_receipt_drops_it_only_after_a_while():
    seen = sighting(nonces=8)
    assert verdict(tracked(), seen).status == OutboundStatus.BROADCAST
    old = tracked(created_at=NOW - timedelta(seconds=60))
    assert verdict(old, seen).status == OutboundStatus.DROPPED


@given(
    st.sampled_from([OutboundStatus.BROADCAST, OutboundStatus.MINED]),
    st.one_of(st.none(), st.builds(receipt, number=st.integers(1, 12), is_success=st.booleans())),
    st.integers(0, 20),
    st.integers(0, 12),
    st.integers(0, 100),
    st.booleans(),
)
def test_every_verdict_is_a_legal_move(status, found, head, nonces, age, is_void):
    block = {"block_number": 10, "block_hash": "0xaa"} if status == OutboundStatus.MINED else {}
    item = tracked(status=status, is_void=is_void, created_at=NOW - timedelta(seconds=age), **block)
    outcome = verdict(item, sighting(found, head=head, nonces=nonces))
    assert outcome.status is status or OUTBOUND_TABLE.is_legal(status, outcome.status)
    is_final = outcome.status in (OutboundStatus.CONFIRMED, OutboundStatus.FAILED)
    assert not is_final or (found is not None and head - found.block_number >= LIMITS.confirmations)

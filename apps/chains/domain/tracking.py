"""What one look at the chain means for one of our transactions: pure, so that every turn can be tested.

A transaction is what its receipt says now; what was seen before only tells how sure we may be. It is
final when a block k deep still has the hash it was first seen with.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from apps.chains.data import OutboundStatus, Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingLimits:
    """The patience of the tracker; times in seconds."""

    confirmations: int
    resend_seconds: int
    drop_after_seconds: int
    bump_after_sends: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """What is known of one transaction. `is_underpriced`: the node said so when it was last sent."""

    status: OutboundStatus
    nonce: int
    block_number: int | None
    block_hash: str
    is_void: bool
    is_underpriced: bool
    send_count: int
    created_at: datetime
    broadcast_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What the chain showed: the receipt, the canonical hash at the block we knew, head, mined nonces."""

    receipt: Receipt | None
    known_block_hash: str | None
    head_number: int
    mined_nonces: int


class Effect(StrEnum):
    """What has to be done beside the new status."""

    #: nothing
    NONE = "none"
    #: take over what the receipt says
    RECORD = "record"
    #: forget the block: it is no longer part of the chain
    FORGET = "forget"
    #: sign again at a higher price
    BUMP = "bump"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The status it should have now, and the effect."""

    status: OutboundStatus
    effect: Effect = Effect.NONE


def decide(tracked: Tracked, sighting: Sighting, limits: TrackingLimits, now: datetime) -> Verdict:
    """The verdict on a BROADCAST or MINED transaction."""
    if sighting.receipt is not None:
        return _decide_mined(tracked, sighting.receipt, sighting, limits)
    if tracked.status is OutboundStatus.MINED:
        return Verdict(status=OutboundStatus.SIGNED, effect=Effect.FORGET)
    return _decide_pending(tracked, sighting, limits, now)


def _decide_mined(tracked: Tracked, receipt: Receipt, sighting: Sighting, limits: TrackingLimits) -> Verdict:
    is_as_before = (
        tracked.status is OutboundStatus.MINED
        and receipt.block_number == tracked.block_number
        and receipt.block_hash == tracked.block_hash == sighting.known_block_hash
    )
    if not is_as_before:
        return Verdict(status=OutboundStatus.MINED, effect=Effect.RECORD)
    if sighting.head_number - receipt.block_number < limits.confirmations:
        return Verdict(status=OutboundStatus.MINED)
    is_good = receipt.is_success and not tracked.is_void
    return Verdict(status=OutboundStatus.CONFIRMED if is_good else OutboundStatus.FAILED)


def _decide_pending(tracked: Tracked, sighting: Sighting, limits: TrackingLimits, now: datetime) -> Verdict:
    sent_at = tracked.broadcast_at or tracked.created_at
    if sighting.mined_nonces > tracked.nonce:
        # Its nonce is used and none of our hashes has a receipt: someone else's transaction took it,
        # or the node answered from two moments. Only time tells.
        is_dropped = now - tracked.created_at >= timedelta(seconds=limits.drop_after_seconds)
        return Verdict(status=OutboundStatus.DROPPED if is_dropped else OutboundStatus.BROADCAST)
    is_next = sighting.mined_nonces == tracked.nonce
    if tracked.is_underpriced or (is_next and tracked.send_count >= limits.bump_after_sends):
        return Verdict(status=OutboundStatus.SIGNED, effect=Effect.BUMP)
    if now - sent_at >= timedelta(seconds=limits.resend_seconds):
        return Verdict(status=OutboundStatus.SIGNED)
    return Verdict(status=OutboundStatus.BROADCAST)

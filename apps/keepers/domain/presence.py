"""Whether a keeper's word about itself counts, whether it is there, and when to raise the alarm.

Invariant 21: a nonce is used once per keeper (nonces only grow), timestamps lie within a window of now.
"""

from datetime import datetime, timedelta

from apps.keepers.data import KeeperStatus
from apps.keepers.errors import CheckinReplayed, CheckinStale, KeeperRetired


def require_fresh(*, timestamp: int, now: datetime, window_seconds: int) -> None:
    """Raise CheckinStale where the message's time is further from now than the window."""
    if abs(now.timestamp() - timestamp) > window_seconds:
        raise CheckinStale(timestamp=timestamp, now=int(now.timestamp()), window_seconds=window_seconds)


def require_unused(*, nonce: int, last_nonce: int) -> None:
    """Raise CheckinReplayed where the nonce is not above every nonce before it."""
    if nonce <= last_nonce:
        raise CheckinReplayed(nonce=nonce, last_nonce=last_nonce)


def require_not_retired(*, address: str, status: str) -> None:
    """Raise KeeperRetired where the keeper has left for good."""
    if status == KeeperStatus.RETIRED:
        raise KeeperRetired(address=address)


def is_alert_due(*, alerted_at: datetime | None, now: datetime, cooldown_seconds: int) -> bool:
    """Whether the last alert about this keeper is at least a cool-down ago."""
    return alerted_at is None or now - alerted_at >= timedelta(seconds=cooldown_seconds)

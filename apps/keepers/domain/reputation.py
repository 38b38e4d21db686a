"""What finished work and time do to a keeper's record. Integers only, so replay and re-run agree.

Reputation stays within 0 … 10,000. Decay takes 50 per whole 30 days down to a floor of 1,000; a keeper
below the floor is left where it is. Mean latency weighs each new sample with one fifth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from apps.keepers.data import KeeperOutcome

REPUTATION_MAX: Final = 10_000
REPUTATION_FLOOR: Final = 1_000
DECAY_STEP: Final = 50
DECAY_PERIOD: Final = timedelta(days=30)
_SAMPLE_SHARE: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The figures a keeper is judged by."""

    reputation: int
    points: int
    tasks_confirmed: int
    tasks_failed: int
    latency_ms: int


def compute_record(record: Record, outcome: KeeperOutcome) -> Record:
    """The record after a set of finished tasks."""
    return Record(
        reputation=clamp_reputation(record.reputation + outcome.reputation_delta),
        points=record.points + outcome.points,
        tasks_confirmed=record.tasks_confirmed + outcome.confirmed_count,
        tasks_failed=record.tasks_failed + outcome.failed_count,
        latency_ms=compute_latency(record.latency_ms, outcome.latency_ms),
    )


def compute_latency(mean_ms: int, samples_ms: Sequence[int]) -> int:
    """Fold samples, oldest first, into the weighted mean; the first sample of all is the mean."""
    for sample in samples_ms:
        bounded = max(sample, 1)
        mean_ms = (mean_ms * (_SAMPLE_SHARE - 1) + bounded + 2) // _SAMPLE_SHARE if mean_ms else bounded
    return mean_ms


def compute_decay(reputation: int, decayed_at: datetime, now: datetime) -> tuple[int, datetime]:
    """Reputation after the whole periods since `decayed_at`, and the moment those periods end."""
    periods = max((now - decayed_at) // DECAY_PERIOD, 0)
    floor = min(reputation, REPUTATION_FLOOR)
    return max(reputation - DECAY_STEP * periods, floor), decayed_at + DECAY_PERIOD * periods


def clamp_reputation(value: int) -> int:
    """The nearest value within 0 … 10,000."""
    return max(0, min(value, REPUTATION_MAX))

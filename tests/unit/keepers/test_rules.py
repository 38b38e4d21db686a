"""The pure rules of keepers: records, decay, presence."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.keepers.data import KEEPER_TABLE, KeeperOutcome, KeeperStatus
from apps.keepers.domain.presence import (
    is_alert_due,
    require_fresh,
    require_not_retired,
    require_unused,
)
from apps.keepers.domain.reputation import (
    Record,
    compute_decay,
    compute_latency,
    compute_record,
)
from apps.keepers.errors import CheckinReplayed, CheckinStale, KeeperRetired

NOW = datetime(2026, 11, 20, tzinfo=UTC)
BLANK = Record(reputation=5_000, points=0, tasks_confirmed=0, tasks_failed=0, latency_ms=0)


def test_confirmed_work_adds_points_counts_and_reputation() -> None:
    outcome = KeeperOutcome(
        address="0x1",
        confirmed_count=2,
        failed_count=1,
        points=7,
        reputation_delta=200,
        latency_ms=(100, 200),
    )

    assert compute_record(BLANK, outcome) == Record(
        reputation=5_200, points=7, tasks_confirmed=2, tasks_failed=1, latency_ms=120
    )


@given(st.integers(0, 10_000), st.integers(-30_000, 30_000))
def test_reputation_never_leaves_its_range(reputation: int, delta: int) -> None:
    record = Record(reputation=reputation, points=0, tasks_confirmed=0, tasks_failed=0, latency_ms=0)

    after = compute_record(record, KeeperOutcome(address="0x1", reputation_delta=delta)).reputation

    assert after == min(max(reputation + delta, 0), 10_000)


@given(st.integers(1, 100_000), st.lists(st.integers(-5, 200_000), max_size=20))
def test_mean_latency_stays_within_its_samples(mean: int, samples: list[int]) -> None:
    after = compute_latency(mean, samples)

    bounds = [mean, *(max(sample, 1) for sample in samples)]
    assert min(bounds) - 1 <= after <= max(bounds)


def test_the_first_sample_is_the_mean() -> None:
    assert compute_latency(0, [250]) == 250


@pytest.mark.parametrize(
    ("reputation", "days", "expected"),
    [(5_000, 29, 5_000), (5_000, 30, 4_950), (5_000, 89, 4_900), (1_020, 60, 1_000), (700, 300, 700)],
)
def test_decay_takes_fifty_per_whole_thirty_days_down_to_its_floor(
    reputation: int, days: int, expected: int
) -> None:
    after, decayed_at = compute_decay(reputation, NOW - timedelta(days=days), NOW)

    assert after == expected
    assert timedelta() <= NOW - decayed_at < timedelta(days=30)


@given(st.integers(0, 10_000), st.integers(0, 400), st.integers(0, 400))
def test_decaying_in_two_steps_is_decaying_once(reputation: int, first: int, second: int) -> None:
    start = NOW - timedelta(days=first + second)

    once = compute_decay(reputation, start, NOW)

    assert compute_decay(*compute_decay(reputation, start, start + timedelta(days=first)), NOW) == once


def test_a_clock_that_went_back_gives_reputation_back_to_nobody() -> None:
    assert compute_decay(5_000, NOW + timedelta(days=90), NOW) == (5_000, NOW + timedelta(days=90))


@pytest.mark.parametrize("seconds", [-60, 0, 60])
def test_a_timestamp_within_the_window_is_fresh(seconds: int) -> None:
    require_fresh(timestamp=int(NOW.timestamp()) + seconds, now=NOW, window_seconds=60)


@pytest.mark.parametrize("seconds", [-61, 61, 10**9])
def test_a_timestamp_outside_the_window_is_stale(seconds: int) -> None:
    with pytest.raises(CheckinStale):
        require_fresh(timestamp=int(NOW.timestamp()) + seconds, now=NOW, window_seconds=60)


@pytest.mark.parametrize("nonce", [0, 6, 7])
def test_a_nonce_not_above_the_last_is_a_replay(nonce: int) -> None:
    with pytest.raises(CheckinReplayed):
        require_unused(nonce=nonce, last_nonce=7)


def test_a_retired_keeper_is_told_so() -> None:
    require_not_retired(address="0x1", status="suspended")
    with pytest.raises(KeeperRetired):
        require_not_retired(address="0x1", status="retired")


def test_an_alert_is_due_once_per_cool_down() -> None:
    assert is_alert_due(alerted_at=None, now=NOW, cooldown_seconds=3_600)
    assert not is_alert_due(alerted_at=NOW - timedelta(seconds=3_599), now=NOW, cooldown_seconds=3_600)
    assert is_alert_due(alerted_at=NOW - timedelta(seconds=3_600), now=NOW, cooldown_seconds=3_600)


def test_nothing_leads_out_of_retirement() -> None:
    assert KEEPER_TABLE.is_ending(KeeperStatus.RETIRED)
    assert not any(KEEPER_TABLE.is_ending(status) for status in KeeperStatus if status != "retired")

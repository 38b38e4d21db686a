"""The check of the chains names the first fault of each aggregate."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from apps.eventlog.data import ChainFault, EventDraft
from apps.eventlog.models import Event
from apps.eventlog.selectors import chain_verify
from apps.eventlog.services import rows_create, rows_write
from tests.support.append_only import triggers_lifted
from tests.support.sample_rows import SampleRow, make_row

pytestmark = [pytest.mark.usefixtures("samples"), pytest.mark.django_db]

NOW = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture
def rows() -> list[SampleRow]:
    """Three rows with four events each."""
    made = [make_row() for _ in range(3)]
    rows_create(
        made, [EventDraft(row=row, type="sample.created", payload={"set": {}}) for row in made], now=NOW
    )
    for number in range(3):
        drafts = [
            EventDraft(row=row, type="sample.counted", payload={"set": {"count": number}}) for row in made
        ]
        rows_write(made, ["count"], drafts, now=NOW)
    return made


def tamper(sql: str, *params: Any) -> None:
    with triggers_lifted("eventlog_event"), connection.cursor() as cursor:
        cursor.execute(sql, params)


def remove(row: SampleRow, sequence: int) -> None:
    tamper(
        "DELETE FROM eventlog_event WHERE aggregate_id = %s AND aggregate_sequence = %s",
        row.aggregate_id,
        sequence,
    )


def fault(row: SampleRow, sequence: int, reason: str) -> ChainFault:
    return ChainFault(
        aggregate_type="sample", aggregate_id=row.aggregate_id, aggregate_sequence=sequence, reason=reason
    )


def test_sound_chains_have_no_fault(rows):
    assert chain_verify() == []


def test_a_flipped_payload_is_found_where_it_is(rows):
    tamper(
        "UPDATE eventlog_event SET payload = %s WHERE aggregate_id = %s AND aggregate_sequence = 3",
        '{"set": {"count": 7}}',
        rows[1].aggregate_id,
    )
    assert chain_verify() == [fault(rows[1], 3, "tampered")]


@pytest.mark.parametrize(
    ("column", "value"),
    [("event_type", "sample.forged"), ("trace_id", "00" * 16), ("created_at", "2026-11-21 00:00:00+00:00")],
)
def test_any_covered_column_that_changes_is_found(rows, column, value):
    tamper(
        f"UPDATE eventlog_event SET {column} = %s WHERE aggregate_id = %s AND aggregate_sequence = 2",
        value,
        rows[0].aggregate_id,
    )
    assert chain_verify() == [fault(rows[0], 2, "tampered")]


def test_a_missing_event_is_a_gap(rows):
    tamper(
        "DELETE FROM eventlog_event WHERE aggregate_id = %s AND aggregate_sequence = 2", rows[2].aggregate_id
    )
    assert chain_verify() == [fault(rows[2], 3, "gap")]


def test_a_cut_off_tail_is_found_by_the_row(rows):
    tamper(
        "DELETE FROM eventlog_event WHERE aggregate_id = %s AND aggregate_sequence = 4", rows[0].aggregate_id
    )
    assert chain_verify() == [fault(rows[0], 4, "head_differs")]


def test_a_chain_that_was_wholly_removed_is_found_by_the_row(rows):
    tamper("DELETE FROM eventlog_event WHERE aggregate_id = %s", rows[0].aggregate_id)
    assert chain_verify() == [fault(rows[0], 4, "events_missing")]


def test_a_rewritten_event_with_a_right_hash_breaks_the_link_after_it(rows):
    tamper(
        "UPDATE eventlog_event SET hash = %s WHERE aggregate_id = %s AND aggregate_sequence = 2",
        "00" * 32,
        rows[0].aggregate_id,
    )
    assert chain_verify() == [fault(rows[0], 2, "tampered")]
    tamper(
        "UPDATE eventlog_event SET previous_hash = %s WHERE aggregate_id = %s AND aggregate_sequence = 4",
        "00" * 32,
        rows[1].aggregate_id,
    )
    assert chain_verify("sample", rows[1].aggregate_id) == [fault(rows[1], 4, "broken_link")]


def test_a_rewritten_last_event_with_a_right_hash_differs_from_the_row(rows):
    SampleRow.objects.filter(pk=rows[0].pk).update(event_head="00" * 32)
    assert chain_verify() == [fault(rows[0], 4, "head_differs")]


def test_a_row_that_is_gone_is_found_by_its_events(rows):
    SampleRow.objects.filter(pk=rows[0].pk).delete()
    assert chain_verify() == [fault(rows[0], 4, "row_missing")]


def test_each_aggregate_names_its_first_fault_only(rows):
    tamper("UPDATE eventlog_event SET event_type = 'forged' WHERE aggregate_sequence IN (2, 3)")
    assert chain_verify() == [fault(row, 2, "tampered") for row in sorted(rows, key=lambda row: row.pk)]


def test_the_check_can_be_limited_to_one_aggregate(rows):
    tamper("UPDATE eventlog_event SET event_type = 'forged' WHERE aggregate_sequence = 1")
    assert chain_verify("sample", rows[2].aggregate_id) == [fault(rows[2], 1, "tampered")]
    assert chain_verify("note") == []


def test_a_thousand_aggregates_are_checked_in_chunks(django_assert_max_num_queries):
    made = [make_row() for _ in range(1_200)]
    rows_create(
        made, [EventDraft(row=row, type="sample.created", payload={"set": {}}) for row in made], now=NOW
    )
    assert Event.objects.count() == 1_200
    with django_assert_max_num_queries(20):
        assert chain_verify() == []

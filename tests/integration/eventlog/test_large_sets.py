"""Thousands of rows: inserted as plain values, locked with some of their columns, written by sets."""

from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models.fields.json import KT
from django.test.utils import CaptureQueriesContext

from apps.eventlog.data import EventDraft
from apps.eventlog.errors import RowsMoved
from apps.eventlog.locking import lock_columns
from apps.eventlog.models import Event
from apps.eventlog.services import rows_create, rows_write_each
from apps.eventlog.writing import values_insert
from apps.kernel.ids import new_id
from tests.support.replay import assert_replay_equals_row
from tests.support.sample_rows import SampleRow, make_row

pytestmark = [pytest.mark.usefixtures("samples"), pytest.mark.django_db]

NOW = datetime(2026, 11, 20, 7, 0, 0, 123456, tzinfo=UTC)


def created(count: int) -> list[SampleRow]:
    rows = [make_row(count=n, result={"units": n}) for n in range(count)]
    rows_create(rows, [draft(row, "sample.created", {"count": row.count}) for row in rows], now=NOW)
    return rows


def draft(row: SampleRow, kind: str, changed: dict[str, object]) -> EventDraft:
    return EventDraft(row=row, type=kind, payload={"set": changed})


def test_plain_values_become_rows_as_objects_would():
    ids = [new_id(), new_id()]
    columns = ("event_sequence", "event_head", "id", "status", "text", "cid", "count", "is_live")
    others = ("definition", "updated_at", "parent_id")
    values_insert(
        SampleRow,
        (*columns, *others),
        [
            (0, "", ids[0], "new", "tab\t \\N", None, 7, True, {"a": [1]}, NOW, None),
            (0, "", ids[1], "new", "", "bafk", 8, False, {}, NOW, ids[0]),
        ],
    )
    first, second = SampleRow.objects.in_bulk(ids).values()
    assert (first.text, first.cid, first.count, first.is_live) == ("tab\t \\N", None, 7, True)
    assert (first.definition, first.updated_at) == ({"a": [1]}, NOW)
    assert (second.parent_id, second.cid) == (ids[0], "bafk")


def test_no_values_ask_the_database_nothing():
    with CaptureQueriesContext(connection) as queries:
        values_insert(SampleRow, ("id",), [])
    assert len(queries) == 0


def test_a_value_that_is_missing_where_one_is_needed_is_djangos_integrity_error():
    with pytest.raises(IntegrityError), transaction.atomic():
        values_insert(SampleRow, ("id", "count"), [(new_id(), None)])


def test_locked_columns_are_at_hand_in_key_order_and_the_others_are_read_when_they_are_asked_for():
    rows = created(3)
    found = SampleRow.objects.annotate(told=KT("result__units"))
    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        locked = lock_columns(found.order_by("-count"), ("id", "count", "event_sequence", "told"))
        assert [row.pk for row in locked] == sorted(row.pk for row in rows)
        assert [(row.count, int(row.told), row.event_sequence) for row in locked] == [
            (0, 0, 1),
            (1, 1, 1),
            (2, 2, 1),
        ]
        asked = len(queries)
        assert locked[0].status == "new"
        assert len(queries) == asked + 1
    assert not locked[0]._state.adding


def test_sets_are_written_with_their_own_fields_and_their_events_keep_their_order():
    first, second, third = created(3)
    first.count, first.text = 10, "kept"
    second.count, second.text = 20, "written"
    third.text = "not named"
    drafts = [draft(row, "sample.changed", {"count": row.count}) for row in (second, first, second, third)]

    rows_write_each([([first], ["count"]), ([second], ["count", "text"])], drafts, now=NOW)

    stored = {row.pk: (row.count, row.text) for row in SampleRow.objects.all()}
    assert stored == {first.pk: (10, ""), second.pk: (20, "written"), third.pk: (2, "")}
    told = Event.objects.filter(event_type="sample.changed").order_by("sequence_number")
    assert [event.aggregate_id for event in told] == [row.pk.hex for row in (second, first, second, third)]
    assert [row.event_sequence for row in (first, second, third)] == [2, 3, 2]
    for row in (first, second, third):
        assert_replay_equals_row(row, ["count"])


def test_a_row_that_moved_on_in_one_set_fails_all_of_them():
    first, second = created(2)
    SampleRow.objects.filter(pk=second.pk).update(event_sequence=9)
    first.count = second.count = 5
    with pytest.raises(RowsMoved), transaction.atomic():
        rows_write_each([([first], ["count"]), ([second], ["count"])], [], now=NOW)
    assert SampleRow.objects.get(pk=first.pk).count == 0

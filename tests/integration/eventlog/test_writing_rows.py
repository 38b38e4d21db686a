"""Sets of rows and their events, written through the services."""

import enum
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.eventlog.data import EventDraft
from apps.eventlog.domain.actor import set_current_actor
from apps.eventlog.errors import RowRepeated, RowsMoved, SecretInPayload
from apps.eventlog.locking import lock_rows
from apps.eventlog.models import Event
from apps.eventlog.selectors import chain_verify, get_database_now, get_events
from apps.eventlog.services import events_append, rows_create, rows_write
from apps.kernel.ids import new_id
from apps.kernel.trace import new_trace, set_current_trace
from tests.support.replay import assert_replay_equals_row
from tests.support.sample_rows import SampleNote, SampleRow, make_row

pytestmark = [pytest.mark.usefixtures("samples"), pytest.mark.django_db]

NOW = datetime(2026, 11, 20, 7, 0, 0, 123456, tzinfo=UTC)


class Status(enum.StrEnum):
    DONE = "done"


FULL: dict[str, Any] = {
    "status": Status.DONE,
    "text": "tab\t newline\n return\r backslash\\ \\N quote' \" %s %% {} grüße 🚀",
    "cid": "bafkrei",
    "other_id": UUID("01932c07-20aa-7123-8abc-0123456789ab"),
    "count": -3,
    "units": 2**62,
    "is_live": True,
    "ratio": 0.1,
    "price": Decimal("123456789.123456"),
    "definition": {"text": 'it\'s \\ "quoted" \n %s', "list": [1, 2.5, None, True], "é": "🚀"},
    "result": [1, {"a": "b"}],
    "raw": b"\x00\x01\xff\\",
    "address": "192.0.2.7",
    "took": timedelta(days=-1, hours=2, microseconds=3),
    "day": date(2026, 2, 28),
    "wake_at": datetime(2026, 11, 20, 9, 0, 0, 5, tzinfo=timezone(timedelta(hours=2))),
}
EMPTY: dict[str, Any] = {
    "status": "",
    "text": "",
    "cid": None,
    "other_id": None,
    "count": 0,
    "units": None,
    "is_live": False,
    "ratio": None,
    "price": None,
    "definition": {},
    "result": None,
    "raw": None,
    "address": None,
    "took": None,
    "day": None,
    "wake_at": None,
}


def created(*rows: SampleRow) -> list[SampleRow]:
    rows_create(rows, [draft_of(row, "sample.created") for row in rows], now=NOW)
    return list(rows)


def draft_of(row: SampleRow | SampleNote, kind: str = "sample.changed", **payload: object) -> EventDraft:
    return EventDraft(row=row, type=kind, payload=payload or {"set": {}})


def stored(row: SampleRow) -> dict[str, object]:
    found = SampleRow.objects.get(pk=row.pk)
    return {
        name: bytes(value) if isinstance(value := getattr(found, name), memoryview) else value
        for name in FULL
    }


@pytest.mark.parametrize("values", [FULL, EMPTY], ids=["full", "empty"])
def test_every_kind_of_column_is_inserted_as_django_would(values):
    (row,) = created(make_row(**values))
    assert stored(row) == values
    assert not row._state.adding
    assert SampleRow.objects.get(pk=row.pk).updated_at is not None


@pytest.mark.parametrize(("before", "after"), [(FULL, EMPTY), (EMPTY, FULL)], ids=["to empty", "to full"])
def test_every_kind_of_column_is_updated_as_django_would(before, after):
    untouched, row = created(make_row(**before), make_row(**before))
    for name, value in after.items():
        setattr(row, name, value)
    rows_write([row], list(after), [])
    assert stored(row) == after
    assert stored(untouched) == before


def test_django_itself_reads_json_back_by_path():
    (row,) = created(make_row(definition={"a": {"b": 7}}, result={"ok": None}))
    assert SampleRow.objects.get(definition__a__b=7).pk == row.pk
    row.definition = {"a": {"b": 8}}
    rows_write([row], ["definition"], [])
    assert SampleRow.objects.get(definition__a__b=8).pk == row.pk


def test_only_the_named_fields_are_written():
    (row,) = created(make_row(count=1, text="kept"))
    row.count, row.text = 2, "not named"
    rows_write([row], ["count"], [])
    row.refresh_from_db()
    assert (row.count, row.text) == (2, "kept")


def test_a_foreign_key_is_written_by_its_name():
    parent, child = created(make_row(), make_row())
    child.parent = parent
    rows_write([child], ["parent"], [draft_of(child, set=child.get_json_fields(["parent"]))])
    child.refresh_from_db()
    assert child.parent == parent
    assert get_events(aggregate=("sample", child.aggregate_id))[-1].payload == {
        "set": {"parent": parent.pk.hex}
    }


def test_rows_of_several_models_are_created_parents_first():
    row = make_row()
    note = SampleNote(name="0xabc", row=row)
    rows_create([row, note], [draft_of(row, "sample.created"), draft_of(note, "note.created")], now=NOW)
    assert SampleNote.objects.get().row_id == row.pk
    assert [event.aggregate_id for event in get_events()] == [row.pk.hex, "0xabc"]
    assert chain_verify() == []


def test_an_event_carries_everything_known_about_it():
    trace = new_trace()
    set_current_trace(trace)
    set_current_actor(user="ada", ip="192.0.2.1")
    run_id, project_id = new_id(), new_id()
    row = make_row()
    draft = replace(
        draft_of(row, "sample.created", set={"status": "new"}, why="a test"),
        run_id=run_id,
        project_id=project_id,
        metadata={"key": "key_1"},
    )
    try:
        rows_create([row], [draft], now=NOW)
    finally:
        set_current_actor()
    event = Event.objects.get()
    assert (event.aggregate_type, event.aggregate_id, event.aggregate_sequence) == ("sample", row.pk.hex, 1)
    assert (event.event_type, event.payload) == (
        "sample.created",
        {"set": {"status": "new"}, "why": "a test"},
    )
    assert event.metadata == {"user": "ada", "ip": "192.0.2.1", "key": "key_1"}
    assert (event.trace_id, event.span_id) == (trace.trace_id, trace.span_id)
    assert (event.created_at, event.run_id, event.project_id) == (NOW, run_id, project_id)
    assert (event.previous_hash, event.hash) == ("", row.event_head)


def test_an_event_of_another_trace_keeps_that_trace_and_gets_its_own_span():
    set_current_trace(new_trace())
    row = make_row()
    rows_create([row], [replace(draft_of(row), trace_id="ef" * 16)], now=NOW)
    event = Event.objects.get()
    assert event.trace_id == "ef" * 16
    assert len(event.span_id) == 16


def test_several_events_of_one_row_in_one_call_chain_in_order():
    first, second = created(make_row(), make_row())
    rows_write(
        [first, second],
        [],
        [draft_of(first, "sample.a"), draft_of(second, "sample.b"), draft_of(first, "sample.c")],
    )
    events = get_events(aggregate=("sample", first.aggregate_id))
    assert [event.event_type for event in events] == ["sample.created", "sample.a", "sample.c"]
    assert [event.aggregate_sequence for event in events] == [1, 2, 3]
    assert [event.previous_hash for event in events] == ["", events[0].hash, events[1].hash]
    first.refresh_from_db()
    assert (first.event_sequence, first.event_head) == (3, events[2].hash)
    assert chain_verify() == []


def test_an_event_can_be_appended_to_a_locked_row_beside_the_rows_written():
    row = make_row()
    rows_create([row], [draft_of(row)], now=NOW)
    note = SampleNote(name="n", row=row)
    rows_create([note], [draft_of(note), draft_of(row, "sample.noted")], now=NOW)
    rows_write([note], [], [draft_of(row, "sample.noted_again")])
    row.refresh_from_db()
    assert row.event_sequence == 3
    assert chain_verify() == []


def test_events_alone_write_nothing_but_the_heads():
    (row,) = created(make_row(count=1))
    row.count = 2
    events_append([draft_of(row)])
    row.refresh_from_db()
    assert (row.count, row.event_sequence) == (1, 2)


def test_nothing_to_write_asks_the_database_nothing():
    with CaptureQueriesContext(
        connection,
    ) as queries:
        rows_write([], ["count"], [])
        rows_create([], [])
        events_append([])
    assert len(queries) == 0


def test_a_stage_of_five_hundred_rows_is_a_handful_of_statements():
    rows = created(*(make_row() for _ in range(500)))
    drafts = [draft_of(row, set={"count": 1}) for row in rows]
    with CaptureQueriesContext(connection) as queries:
        rows_write(rows, ["count", "result", "wake_at"], drafts)
    assert len(queries) <= 3
    assert Event.objects.count() == 1_000


def test_a_row_that_is_gone_fails_the_whole_call():
    kept, gone = created(make_row(), make_row())
    SampleRow.objects.filter(pk=gone.pk).delete()
    kept.count = gone.count = 5
    with pytest.raises(RowsMoved) as caught, transaction.atomic():
        rows_write([kept, gone], ["count"], [draft_of(kept)])
    assert (caught.value.expected, caught.value.written) == (2, 1)
    kept.refresh_from_db()
    assert (kept.count, kept.event_sequence) == (0, 1)


def test_a_row_read_before_somebody_else_wrote_it_is_refused():
    (row,) = created(make_row())
    stale = SampleRow.objects.get(pk=row.pk)
    rows_write([row], ["count"], [draft_of(row)])
    stale.count = 9
    with pytest.raises(RowsMoved), transaction.atomic():
        rows_write([stale], ["count"], [draft_of(stale)])
    with pytest.raises(RowsMoved), transaction.atomic():
        rows_write([stale], ["count"], [])
    assert chain_verify() == []


def test_after_a_failure_the_rows_in_memory_have_their_old_heads():
    (row,) = created(make_row())
    head = (row.event_sequence, row.event_head)
    with pytest.raises(SecretInPayload), transaction.atomic():
        rows_write([row], ["count"], [draft_of(row), draft_of(row, password="hunter2")])
    assert (row.event_sequence, row.event_head) == head
    rows_write([row], ["count"], [draft_of(row)])
    assert chain_verify() == []


def test_two_objects_for_one_row_are_refused():
    (row,) = created(make_row())
    twin = SampleRow.objects.get(pk=row.pk)
    with pytest.raises(RowRepeated):
        rows_write([row], ["count"], [draft_of(twin)])


def test_a_row_that_is_already_there_cannot_be_created_again():
    (row,) = created(make_row())
    with pytest.raises(IntegrityError), transaction.atomic():
        rows_create([make_row(id=row.pk)], [])
    assert SampleRow.objects.count() == 1


def test_a_broken_constraint_is_djangos_integrity_error():
    with pytest.raises(IntegrityError), transaction.atomic():
        rows_create([make_row(status=None)], [])


def test_a_secret_never_reaches_an_event():
    row = make_row()
    with pytest.raises(SecretInPayload) as caught:
        rows_create([row], [draft_of(row, set={"private_key": "0x1234"})])
    assert "0x1234" not in str(caught.value)
    assert Event.objects.count() == 0


def test_events_give_the_row_back():
    row = make_row(**FULL)
    names = [name for name in FULL if name not in ("raw", "took")]
    rows_create([row], [draft_of(row, "sample.created", set=row.get_json_fields(names))], now=NOW)
    for name in names:
        setattr(row, name, EMPTY[name])
    rows_write([row], names, [draft_of(row, set=row.get_json_fields(names))])
    assert_replay_equals_row(row, names)


def test_replay_notices_a_row_that_was_written_past_the_services():
    row = make_row()
    rows_create([row], [draft_of(row, set=row.get_json_fields(["status"]))], now=NOW)
    SampleRow.objects.filter(pk=row.pk).update(status="smuggled")
    with pytest.raises(AssertionError, match="smuggled"):
        assert_replay_equals_row(row, ["status"])


def test_the_clock_is_the_databases_and_moves_within_a_transaction():
    first = get_database_now()
    second = get_database_now()
    assert first.tzinfo is UTC
    assert first <= second
    assert abs((datetime.now(UTC) - first).total_seconds()) < 60


def test_rows_are_locked_in_key_order():
    rows = created(*(make_row() for _ in range(5)))
    with transaction.atomic():
        locked = lock_rows(SampleRow.objects.order_by("-count"), limit=3)
    assert [row.pk for row in locked] == sorted(row.pk for row in rows)[:3]

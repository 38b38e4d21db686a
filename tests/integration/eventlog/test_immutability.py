"""Events are appended once: neither Django nor SQL changes one."""

from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, connection, transaction

from apps.eventlog.data import EventDraft
from apps.eventlog.errors import EventsImmutable
from apps.eventlog.models import Event
from apps.eventlog.services import rows_create
from tests.support.append_only import TABLES
from tests.support.sample_rows import make_row

pytestmark = [pytest.mark.usefixtures("samples"), pytest.mark.django_db]


@pytest.fixture
def event() -> Event:
    row = make_row()
    rows_create(
        [row], [EventDraft(row=row, type="sample.created", payload={})], now=datetime(2026, 1, 1, tzinfo=UTC)
    )
    return Event.objects.get()


def execute(sql: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


def test_saving_an_event_again_is_refused(event):
    event.event_type = "sample.forged"
    with pytest.raises(EventsImmutable):
        event.save()
    event.refresh_from_db()
    assert event.event_type == "sample.created"


def test_deleting_an_event_is_refused(event):
    with pytest.raises(EventsImmutable):
        event.delete()
    with pytest.raises(EventsImmutable):
        Event.objects.all().delete()
    assert Event.objects.count() == 1


def test_updating_a_queryset_is_refused(event):
    with pytest.raises(EventsImmutable):
        Event.objects.filter(pk=event.pk).update(event_type="sample.forged")


def test_sql_update_is_refused_by_the_database(event):
    with pytest.raises(IntegrityError, match="only grows"):
        execute("UPDATE eventlog_event SET event_type = 'sample.forged'")
    event.refresh_from_db()
    assert event.event_type == "sample.created"


def test_sql_delete_is_refused_by_the_database(event):
    with pytest.raises(IntegrityError, match="only grows"):
        execute("DELETE FROM eventlog_event")
    assert Event.objects.count() == 1


def test_sql_truncate_is_refused_by_the_database(event):
    if connection.vendor != "postgresql":
        execute("SELECT 1")  # SQLite has no TRUNCATE; its DELETE is the test above
        return
    with pytest.raises(IntegrityError, match="only grows"):
        execute("TRUNCATE eventlog_event")
    assert Event.objects.count() == 1


def test_an_event_cannot_be_inserted_twice_in_one_place_of_a_chain(event):
    twin = Event.objects.get()
    twin.pk, twin.event_id, twin._state.adding = None, "01932c07-20aa-7123-8abc-0123456789ab", True
    with pytest.raises(IntegrityError), transaction.atomic():
        twin.save()


def test_every_append_only_table_has_its_two_triggers():
    if connection.vendor == "postgresql":
        names = ("no_change", "no_truncate")
        query = "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE tgname LIKE '%_no_%'"
    else:
        names = ("no_update", "no_delete")
        query = "SELECT tbl_name, name FROM sqlite_master WHERE type = 'trigger' AND name LIKE '%_no_%'"
    with connection.cursor() as cursor:
        cursor.execute(query)
        found = set(cursor.fetchall())
    assert found == {(table, f"{table}_{name}") for table in TABLES for name in names}

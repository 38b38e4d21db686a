"""The global order: a reader who keeps the last number it got never misses an event."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.db import connection, transaction

from apps.eventlog.data import EventDraft
from apps.eventlog.models import Event
from apps.eventlog.selectors import chain_verify, get_events, get_horizon
from apps.eventlog.services import rows_create
from tests.support.sample_rows import make_row

pytestmark = pytest.mark.usefixtures("committed")

NOW = datetime(2026, 11, 20, tzinfo=UTC)


class Writer(threading.Thread):
    """A transaction in a thread of its own that appends at once and commits when it is let."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.appended, self.may_end = threading.Event(), threading.Event()
        self.is_rolled_back = False
        self.failure: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            with transaction.atomic():
                append(self.name)
                self.appended.set()
                assert self.may_end.wait(20)
                transaction.set_rollback(self.is_rolled_back)
        except BaseException as exc:
            self.failure = exc
        finally:
            connection.close()

    def end(self, *, rolled_back: bool = False) -> None:
        self.is_rolled_back = rolled_back
        self.may_end.set()
        self.join(20)
        assert self.failure is None


def append(name: str, count: int = 1) -> None:
    rows = [make_row() for _ in range(count)]
    rows_create(rows, [EventDraft(row=row, type=name, payload={}) for row in rows], now=NOW)


def poll(last: int) -> tuple[list[str], int]:
    events = get_events(after=last)
    return [event.event_type for event in events], events[-1].sequence_number if events else last


def in_parallel(*works: Callable[[], None]) -> None:
    failures: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as exc:
            failures.append(exc)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures, failures
    assert not any(thread.is_alive() for thread in threads)


def test_an_event_committed_later_with_a_lower_number_is_not_missed():
    if connection.vendor != "postgresql":
        append("first")  # one writer at a time: there is no such order on SQLite
        assert poll(0)[0] == ["first"]
        return
    append("before")
    early = Writer("early")
    assert early.appended.wait(20)
    late = Writer("late")
    assert late.appended.wait(20), "no writer waits for another"
    names, last = poll(0)
    assert names == ["before"]

    late.end()
    assert poll(last) == ([], last), "a lower number is still open"
    assert Event.objects.filter(sequence_number__gt=last).count() == 1
    early.end()
    names, last = poll(last)
    assert names == ["early", "late"]


def test_the_number_of_a_transaction_that_was_rolled_back_holds_nobody_up():
    if connection.vendor != "postgresql":
        append("only")
        assert poll(0)[0] == ["only"]
        return
    lost, kept = Writer("lost"), Writer("kept")
    assert lost.appended.wait(20)
    assert kept.appended.wait(20)
    kept.end()
    lost.end(rolled_back=True)
    assert poll(0)[0] == ["kept"]


def test_a_transaction_sees_its_own_events():
    with transaction.atomic():
        append("own")
        assert poll(0)[0] == ["own"]
        append("again")
        assert poll(0)[0] == ["own", "again"]


def test_a_savepoint_that_is_rolled_back_takes_its_announcement_along():
    with transaction.atomic():
        savepoint = transaction.savepoint()
        append("undone")
        transaction.savepoint_rollback(savepoint)
        append("kept")
    assert poll(0)[0] == ["kept"]


def test_an_empty_store_has_a_horizon():
    assert get_events() == []
    assert get_horizon() >= 0


def test_a_reader_polling_beside_many_writers_gets_every_event_once_in_order():
    writers, rounds = 4, 25
    done = threading.Event()
    seen: list[int] = []

    def write(name: str) -> None:
        for number in range(rounds):
            with transaction.atomic():
                append(f"{name}.{number}", count=1 + number % 3)

    def read() -> None:
        last = 0
        while True:
            is_last_round = done.is_set()
            events = get_events(after=last, limit=7)
            seen.extend(event.sequence_number for event in events)
            last = seen[-1] if seen else 0
            if is_last_round and not events:
                return

    def write_all() -> None:
        try:
            in_parallel(*(lambda name=f"w{n}": write(name) for n in range(writers)))
        finally:
            done.set()

    in_parallel(read, write_all)
    assert seen == list(Event.objects.order_by("pk").values_list("pk", flat=True))
    assert len(seen) == writers * sum(1 + number % 3 for number in range(rounds))
    assert chain_verify() == []

"""Events appended and units posted per second, on SQLite and (with DATABASE_URL) on PostgreSQL.

`python -m bench.events`. Each figure stands beside a peer measured in the same run: Django's own bulk
methods writing bare rows, without events, chain or hash. Every round is one committed transaction.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar, Final

import django

_ENVIRONMENT = dict(os.environ)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from django.db import connection, models, transaction  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

from apps.eventlog.data import EventDraft  # noqa: E402
from apps.eventlog.models import Event, EventedModel  # noqa: E402
from apps.eventlog.selectors import chain_verify, get_events  # noqa: E402
from apps.eventlog.services import events_append, rows_create, rows_write  # noqa: E402
from apps.kernel.ids import new_id  # noqa: E402
from apps.ledger.domain.postings import deposit_project, escrow_hold, escrow_settle  # noqa: E402
from apps.ledger.selectors import check  # noqa: E402
from apps.ledger.services import transactions_post  # noqa: E402
from bench.figures import Figure, tell  # noqa: E402

ROUNDS: Final = 8
FIELDS: Final = (
    "status",
    "keeper",
    "output_cid",
    "attempt",
    "result",
    "wake_at",
    "executed_at",
    "cost_units",
)


class Bare(models.Model):
    """A task-like row without events: the peer."""

    id = models.UUIDField(primary_key=True, default=new_id)
    status = models.CharField(max_length=20, default="discovered", db_index=True)
    keeper = models.CharField(max_length=42, null=True)
    output_cid = models.CharField(max_length=80, null=True)
    run_id = models.UUIDField(default=new_id, db_index=True)
    attempt = models.IntegerField(default=0)
    definition = models.JSONField(default=dict)
    result = models.JSONField(null=True)
    wake_at = models.DateTimeField(null=True, db_index=True)
    executed_at = models.DateTimeField(null=True)
    cost_units = models.BigIntegerField(default=0)
    objects: ClassVar[models.Manager[Any]] = models.Manager()

    class Meta:
        app_label = "bench_events"


class Evented(EventedModel):
    """The same row, with events."""

    AGGREGATE: ClassVar[str] = "bench"

    id = models.UUIDField(primary_key=True, default=new_id)
    status = models.CharField(max_length=20, default="discovered", db_index=True)
    keeper = models.CharField(max_length=42, null=True)
    output_cid = models.CharField(max_length=80, null=True)
    run_id = models.UUIDField(default=new_id, db_index=True)
    attempt = models.IntegerField(default=0)
    definition = models.JSONField(default=dict)
    result = models.JSONField(null=True)
    wake_at = models.DateTimeField(null=True, db_index=True)
    executed_at = models.DateTimeField(null=True)
    cost_units = models.BigIntegerField(default=0)
    objects: ClassVar[models.Manager[Any]] = models.Manager()

    class Meta:
        app_label = "bench_events"


def main() -> None:
    """Measure SQLite in one process, then PostgreSQL in another where its URL is given."""
    if "--here" in sys.argv:
        measure()
        return
    given = _ENVIRONMENT.get("DATABASE_URL", "")
    urls = ["", given] if given.startswith("postgres") else [""]
    for url in urls:
        environment = {**_ENVIRONMENT, "DATABASE_URL": url}
        subprocess.run([sys.executable, "-m", "bench.events", "--here"], env=environment, check=True)


def measure() -> None:
    """Everything, on the database the settings name, in a test database of its own."""
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    with connection.schema_editor() as editor:
        for model in (Bare, Evented):
            editor.create_model(model)
    try:
        for size in (20, 200, 500):
            measure_events(size)
        measure_reading()
        measure_ledger()
    finally:
        connection.creation.destroy_test_db(connection.settings_dict["NAME"], verbosity=0)


def measure_events(size: int) -> None:
    """Create, write and append `size` rows per transaction."""
    print(f"{connection.vendor}, {size} rows a transaction (the fastest of {ROUNDS} rounds)")
    evented, bare = [Evented() for _ in range(size)], [Bare() for _ in range(size)]
    create(evented)
    Bare.objects.bulk_create(bare)

    events_peer = rate(size, bare_events, lambda: [event_of(number) for number in range(size)])
    line(f"bare events by bulk_create (peer), {size} a set", events_peer, 1.0)
    rows_peer = rate(size, Bare.objects.bulk_create, lambda: [Bare() for _ in range(size)])
    line(f"events_append, {size} a set", rate(size, append, lambda: evented), events_peer)
    created = rate(size, create, lambda: [Evented() for _ in range(size)])
    line(f"rows_create, {size} a set", created, rows_peer, "a bulk_create of bare rows")
    updated = rate(size, partial(Bare.objects.bulk_update, fields=FIELDS), lambda: changed(bare))
    written = rate(size, write, lambda: changed(evented))
    line(f"rows_write, {size} a set", written, updated, "a bulk_update of bare rows")
    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        write(changed(evented))
    print(f"  statements of one rows_write, BEGIN and COMMIT included: {len(queries)}")


def measure_reading() -> None:
    """Reading a stream and checking the chains."""
    count = Event.objects.count()
    started, last, seen = time.perf_counter(), 0, 0
    while events := get_events(after=last, limit=1_000):
        last, seen = events[-1].sequence_number, seen + len(events)
    line("get_events, 1,000 at a time", seen / (time.perf_counter() - started))
    started = time.perf_counter()
    faults = chain_verify("bench")
    line("chain_verify", count / (time.perf_counter() - started))
    print(f"  faults: {len(faults)}")


def measure_ledger() -> None:
    """Settlements of four postings or more, alone and from four writers at once."""
    project, keepers = new_id(), [f"0x{number:040x}" for number in range(1, 21)]
    transactions_post([deposit_project(project, 10**12, new_id().hex)])
    transactions_post([escrow_hold(project, new_id(), 10**12)])

    def settlements(size: int) -> list[Any]:
        return [
            escrow_settle(
                project,
                new_id(),
                1_000,
                performer=keepers[number % 20],
                performer_units=600,
                attester_units={keepers[(number + step) % 20]: 50 for step in range(1, 5)},
                treasury_units=100,
            )
            for number in range(size)
        ]

    print(f"{connection.vendor}, ledger: settlements of 8 postings a second")
    for size in (1, 64, 500):
        line(f"one writer, {size} a call", rate(size, transactions_post, partial(settlements, size)))
    line("four writers, 64 a call", parallel_rate(4, 64, partial(settlements, 64)))
    line("four writers, 1 a call", parallel_rate(4, 1, partial(settlements, 1)))
    print(f"  faults: {len(check())}")


def create(rows: list[Evented]) -> None:
    """Rows with an event each."""
    rows_create(rows, [EventDraft(row=row, type="bench.created", payload=payload_of(row)) for row in rows])


def write(rows: list[Evented]) -> None:
    """Changed rows with an event each."""
    rows_write(rows, FIELDS, [EventDraft(row=r, type="bench.changed", payload=payload_of(r)) for r in rows])


def append(rows: list[Evented]) -> None:
    """Events alone."""
    events_append([EventDraft(row=row, type="bench.noted", payload=payload_of(row)) for row in rows])


def bare_events(events: list[Event]) -> None:
    """The peer of appending."""
    Event.objects.bulk_create(events)


def payload_of(row: Evented) -> dict[str, Any]:
    """What a stage records of a row."""
    return {"set": row.get_json_fields(FIELDS)}


def changed(rows: list[Any]) -> list[Any]:
    """New values in eight fields of every row."""
    now = datetime.now(UTC)
    for number, row in enumerate(rows):
        row.status = "executed" if row.attempt % 2 else "scheduled"
        row.keeper, row.output_cid = f"0x{number:040x}", f"bafkrei{new_id().hex}"
        row.attempt += 1
        row.result = {"arguments": ["0x" + "ab" * 32, number], "should_execute": True}
        row.wake_at, row.executed_at = now + timedelta(seconds=number), None
        row.cost_units += 1_000
    return rows


def event_of(number: int) -> Event:
    """A bare event row of the same size as a real one."""
    return Event(
        aggregate_type="peer",
        aggregate_id=new_id().hex,
        aggregate_sequence=1,
        event_type="bench.noted",
        payload={"set": Evented(attempt=number).get_json_fields(FIELDS)},
        trace_id="ab" * 16,
        span_id="cd" * 8,
        created_at=datetime.now(UTC),
        hash="ef" * 32,
    )


def rate(size: int, work: Callable[[Any], Any], prepare: Callable[[], Any]) -> float:
    """Rows per second of `work` in one committed transaction; preparing is not counted."""
    taken = []
    for _ in range(ROUNDS):
        prepared = prepare()
        started = time.perf_counter()
        with transaction.atomic():
            work(prepared)
        taken.append(time.perf_counter() - started)
    return size / min(taken)


def parallel_rate(writers: int, size: int, prepare: Callable[[], Any]) -> float:
    """Rows per second of all writers together, each with a connection of its own."""
    prepared = [[prepare() for _ in range(ROUNDS)] for _ in range(writers)]
    gate = threading.Barrier(writers + 1)

    def run(batches: list[Any]) -> None:
        connection.ensure_connection()
        gate.wait()
        for batch in batches:
            transactions_post(batch)
        connection.close()

    threads = [threading.Thread(target=run, args=(batches,)) for batches in prepared]
    for thread in threads:
        thread.start()
    gate.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    return writers * size * ROUNDS / (time.perf_counter() - started)


def line(name: str, per_second: float, peer: float = 0.0, of: str = "the peer") -> None:
    """One figure, with its ratio to the peer."""
    figure = Figure(bench=f"events, {connection.vendor}", name=name, value=per_second, unit="/s")
    tell([replace(figure, ratio=per_second / peer, beside=of) if peer > 1.0 else figure])


if __name__ == "__main__":
    main()

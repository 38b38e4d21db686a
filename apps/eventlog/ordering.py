"""The global order of events, readable while others write, without making writers wait for each other.

A number is given when an event is inserted and seen when its transaction commits, so a reader could see 6
before 5. SQLite has one writer at a time and no such case. On PostgreSQL a writer announces, before it
takes a number, the last number given so far, by holding a *shared* advisory lock named after it until its
transaction ends: whatever it takes is above. A reader (1) reads the last number given, (2) reads the
announcements, and (3) reads events up to the least of these. Everything up to there is visible or rolled
back for good. Nobody waits, so nobody deadlocks; an exclusive lock would serialise all stages from their
first event to their commit, and deadlock with row locks taken after it. Needs READ COMMITTED.
"""

from datetime import UTC, datetime
from typing import Final

from django.db import connection

from apps.eventlog.clock import get_database_now

#: The high 16 bits of the advisory keys ("FK"); the low 48 are a sequence number.
_KEY_SPACE: Final = 0x464B << 48
_GIVEN: Final = "SELECT last_value - (NOT is_called)::int FROM eventlog_event_sequence_number_seq"
_ANNOUNCE: Final = f"SELECT clock_timestamp(), pg_advisory_xact_lock_shared({_KEY_SPACE} | ({_GIVEN}))"
_ANNOUNCED: Final = f"""
    SELECT min(((classid::bigint << 32) | objid::bigint) & {(1 << 48) - 1}) FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND classid::bigint >> 16 = {_KEY_SPACE >> 48}
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND pid IS DISTINCT FROM pg_backend_pid()
"""


def append_announce(now: datetime | None) -> datetime:
    """Announce that this transaction will append; return `now`, or else the database's time."""
    if connection.vendor != "postgresql":
        return now or get_database_now()
    with connection.cursor() as cursor:
        cursor.execute(_ANNOUNCE)
        at: datetime = cursor.fetchone()[0]
    return now or at.astimezone(UTC)


def get_horizon() -> int:
    """The sequence number up to which no event can still appear."""
    with connection.cursor() as cursor:
        if connection.vendor != "postgresql":
            cursor.execute("SELECT max(sequence_number) FROM eventlog_event")
            return int(cursor.fetchone()[0] or 0)
        cursor.execute(_GIVEN)
        given = int(cursor.fetchone()[0])
        cursor.execute(_ANNOUNCED)
        announced = cursor.fetchone()[0]
    return given if announced is None else min(given, int(announced))

"""The one clock everything is due by: the database's."""

from datetime import UTC, datetime

from django.db import connection


def get_database_now() -> datetime:
    """The database's time at this moment (not the start of the transaction), UTC and aware."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT clock_timestamp()")
            now: datetime = cursor.fetchone()[0]
            return now.astimezone(UTC)
        cursor.execute("SELECT strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')")
        return datetime.fromisoformat(cursor.fetchone()[0])

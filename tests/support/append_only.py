"""Emptying tables between tests that commit: their flush must get past the triggers that refuse it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.db import connection
from django.db.backends.base.operations import BaseDatabaseOperations

from apps.eventlog.immutability import triggers_create, triggers_drop

TABLES: Final = ("eventlog_event", "ledger_transaction", "ledger_posting")


@contextmanager
def triggers_lifted(*tables: str) -> Iterator[None]:
    """Take the triggers of these tables away for a while; what a tamperer with the database's rights does."""
    with connection.cursor() as cursor:
        for statement in [s for table in tables for s in triggers_drop(connection.vendor, table)]:
            cursor.execute(statement)
        yield
        for statement in [s for table in tables for s in triggers_create(connection.vendor, table)]:
            cursor.execute(statement)


def flush_lifts_triggers(flush: Callable[..., None]) -> Callable[..., None]:
    """Wrap `execute_sql_flush` so that a test database's append-only tables can be emptied."""

    def execute_sql_flush(self: BaseDatabaseOperations, sql_list: list[str]) -> None:
        vendor = self.connection.vendor
        there = [t for t in self.connection.introspection.table_names() if t in TABLES]
        before = [statement for table in there for statement in triggers_drop(vendor, table)]
        after = [statement for table in there for statement in triggers_create(vendor, table)]
        flush(self, [*before, *sql_list, *after])

    return execute_sql_flush


def install() -> None:
    """Replace Django's flush for this test process, once."""
    current: Any = BaseDatabaseOperations.execute_sql_flush
    if current.__name__ != "execute_sql_flush" or current.__module__ != __name__:
        BaseDatabaseOperations.execute_sql_flush = flush_lifts_triggers(current)  # type: ignore[method-assign]

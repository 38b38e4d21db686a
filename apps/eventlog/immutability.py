"""Tables that only grow: triggers that refuse UPDATE, DELETE and TRUNCATE, for the migrations that make them.

SQLite re-creates a table to alter it and forgets its triggers: a later migration that alters such a table
runs `append_only(table)` again (a test counts the triggers).
"""

from typing import Any, Final

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

_POSTGRESQL: Final = (
    """CREATE OR REPLACE FUNCTION forekeep_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '% only grows: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
    END $$""",
    """CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION forekeep_refuse_change()""",
    """CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION forekeep_refuse_change()""",
)
_SQLITE: Final = (
    """CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table}
    BEGIN SELECT RAISE(ABORT, '{table} only grows: UPDATE refused'); END""",
    """CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table}
    BEGIN SELECT RAISE(ABORT, '{table} only grows: DELETE refused'); END""",
)


def append_only(table: str) -> migrations.RunPython:
    """The migration operation that makes `table` append-only, on either database."""

    def forward(apps: Any, editor: BaseDatabaseSchemaEditor) -> None:
        for statement in triggers_create(editor.connection.vendor, table):
            editor.execute(statement, params=None)

    def backward(apps: Any, editor: BaseDatabaseSchemaEditor) -> None:
        for statement in triggers_drop(editor.connection.vendor, table):
            editor.execute(statement, params=None)

    return migrations.RunPython(forward, backward)


def triggers_create(vendor: str, table: str) -> list[str]:
    """The statements that put the triggers in place."""
    statements = _POSTGRESQL if vendor == "postgresql" else _SQLITE
    return [statement.replace("{table}", table) for statement in statements]


def triggers_drop(vendor: str, table: str) -> list[str]:
    """The statements that take them away; for going back a migration, and for tests."""
    if vendor == "postgresql":
        return [f"DROP TRIGGER {table}_{name} ON {table}" for name in ("no_change", "no_truncate")]
    return [f"DROP TRIGGER {table}_{name}" for name in ("no_update", "no_delete")]

"""Invariant 1 in the database: the postings of a transaction sum to 0 when the statement that adds them ends.

PostgreSQL only (SQLite has no statement triggers; there the service and `check` hold it). One query per
INSERT or COPY, whatever its size; a transaction's postings therefore arrive in one statement. A deferred
constraint trigger would run once per posting, and only at the commit.
"""

from typing import Any, Final

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

_FUNCTION: Final = """
CREATE OR REPLACE FUNCTION ledger_require_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    unbalanced text;
BEGIN
    SELECT p.transaction_id::text INTO unbalanced
    FROM ledger_posting p
    WHERE p.transaction_id IN (SELECT a.transaction_id FROM added a)
    GROUP BY p.transaction_id HAVING SUM(p.amount_units) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the postings of transaction % do not sum to 0', unbalanced
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$
"""
_TRIGGER: Final = """
CREATE TRIGGER ledger_posting_balanced AFTER INSERT ON ledger_posting
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION ledger_require_balanced()
"""


def postings_balanced() -> migrations.RunPython:
    """The migration operation that makes PostgreSQL hold invariant 1."""
    return migrations.RunPython(_forward, _backward)


def _forward(apps: Any, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "postgresql":
        editor.execute(_FUNCTION, params=None)
        editor.execute(_TRIGGER, params=None)


def _backward(apps: Any, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "postgresql":
        editor.execute("DROP TRIGGER ledger_posting_balanced ON ledger_posting", params=None)
        editor.execute("DROP FUNCTION ledger_require_balanced()", params=None)

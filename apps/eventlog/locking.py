"""The one way rows are locked: in primary-key order, skipping what another worker holds."""

from typing import TypeVar

from django.db import connections, models

M = TypeVar("M", bound=models.Model)


def lock_rows(
    queryset: "models.QuerySet[M, M]", limit: int | None = None, skip_locked: bool = True
) -> list[M]:
    """Return the queryset's rows locked until the transaction ends, ordered by primary key.

    PostgreSQL: FOR NO KEY UPDATE of the queryset's own table (rows that refer to these may still be
    inserted), SKIP LOCKED unless told otherwise. SQLite: the immediate transaction is the lock. Must run
    inside `transaction.atomic()`.
    """
    rows = queryset.order_by("pk")
    if connections[rows.db].features.has_select_for_update:
        rows = rows.select_for_update(skip_locked=skip_locked, of=("self",), no_key=True)
    return list(rows if limit is None else rows[:limit])

"""The one way rows are locked: in primary-key order, skipping what another worker holds."""

from collections.abc import Sequence
from typing import TypeVar

from django.db import connections, models
from django.db.models.base import ModelState

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


def lock_columns(queryset: "models.QuerySet[M, M]", columns: Sequence[str]) -> list[M]:
    """Wait for and lock the rows of one table with only these columns (`run_id`) or annotations at hand.

    For thousands of rows: the objects are made without Django's work per field, three times as fast. Any
    other column is read on its first use, row by row. Otherwise as `lock_rows`.
    """
    rows = queryset.order_by("pk")
    if connections[rows.db].features.has_select_for_update:
        rows = rows.select_for_update(no_key=True)
    model, found = rows.model, []
    for values in rows.values_list(*columns):
        row = model.__new__(model)
        row.__dict__.update(zip(columns, values, strict=True))
        row._state = ModelState()
        row._state.adding, row._state.db = False, rows.db
        found.append(row)
    return found

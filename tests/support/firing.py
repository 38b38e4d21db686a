"""Jobs fired without their runs: ticks laid out, marked, taken and counted, as the stages do it."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.jobs.data import Patience
from apps.jobs.firings import (
    Taken,
    firings_mark_due,
    firings_mark_opened,
    firings_take,
    jobs_look_ahead,
)


def fire_taken(
    now: datetime, limit: int = 1_000, patience: Patience | None = None, ids: Collection[UUID] | None = None
) -> list[Taken]:
    """One pass over what is due at `now`."""
    jobs_look_ahead(now=now, until=now, limit=limit, patience=patience, ids=ids)
    firings_mark_due(now=now)
    with transaction.atomic():
        taken = firings_take(limit=limit, ids=ids)
        firings_mark_opened(taken=taken, now=now)
    return taken


def fire_jobs(now: datetime, **options: Any) -> dict[UUID, list[str]]:
    """The keys of what fired, by job."""
    return {one.job.id: [firing.key for firing in one.firings] for one in fire_taken(now, **options)}

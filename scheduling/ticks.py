"""The time trigger: beat lays ticks out ahead and wakes the firing stage at their very time.

Every 30 s the ticks of the next 40 s become rows; `Clock`, the beat that runs here, is django-celery-beat's
own and besides sleeps no longer than until the next of them. Two beats poke twice, which changes nothing.
"""

from typing import Any, Final

import structlog
from django.conf import settings
from django.db import DatabaseError
from django_celery_beat.schedulers import DatabaseScheduler

from apps.eventlog.selectors import get_database_now
from apps.jobs.firings import firings_purge, get_next_due_at
from project.celery import app
from workers.pokes import poke

#: after a poke the clock looks again so soon, should the stage not have marked the tick yet
_AGAIN_SECONDS: Final = 0.1
_log = structlog.get_logger("forekeep.scheduling")


class Clock(DatabaseScheduler):  # type: ignore[misc]
    """The database's schedule, and the firing stage poked when the next tick is due."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due; the seconds to sleep until something is again."""
        wait: float = super().tick(*args, **kwargs)
        try:
            return min(wait, compute_wait())
        except DatabaseError as exc:
            _log.warning("the next tick is not known", reason=type(exc).__name__)
            return wait


def compute_wait() -> float:
    """The seconds until the next tick is due; one that is due is poked for."""
    due_at = get_next_due_at()
    if due_at is None:
        return float("inf")
    seconds = (due_at - get_database_now()).total_seconds()
    if seconds > 0:
        return seconds
    poke(["fire"])
    return _AGAIN_SECONDS


@app.task(name="scheduling.ticks.look_ahead", soft_time_limit=20, time_limit=30)
def look_ahead() -> None:
    """Have the ticks of the next seconds laid out."""
    poke(["schedule"])


@app.task(name="scheduling.ticks.firings_over", soft_time_limit=30, time_limit=60)
def firings_over() -> None:
    """Forget firings that were dealt with long ago."""
    keep_seconds = settings.FOREKEEP.jobs.firing_keep_seconds
    firings_purge(now=get_database_now(), keep_seconds=keep_seconds)

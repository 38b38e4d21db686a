"""Reading what is watched: the live event jobs, how they change, and whether anybody looks."""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

import structlog
from django.db.models import Count, Max, Q, QuerySet, Sum

from apps.jobs.data import JobStatus, TriggerKind
from apps.jobs.models import Job
from apps.kernel.errors import DomainError
from apps.triggers.data import EventTrigger, LogFilter, event_from_json, union_filter
from apps.watching.data import Watched
from apps.watching.models import ChainCursor, WatchLease

#: so long nobody may have looked at a chain
STALE_SECONDS: Final = 15.0
_log = structlog.get_logger("forekeep.watching")

Revision = tuple[object, ...]


def lease_name(chain_id: int) -> str:
    """The lease of a chain's logs."""
    return f"chain:{chain_id}"


def get_watched(chain_id: int, now: datetime) -> list[Watched]:
    """The active jobs that wait for logs of a chain, and whose life is not over."""
    jobs = _live().filter(Q(expires_at=None) | Q(expires_at__gt=now), event__chain_id=chain_id)
    found = []
    for job_id, armed_at, created_at, event in jobs.order_by("pk").values_list(
        "pk", "armed_at", "created_at", "event"
    ):
        trigger = _trigger(json.dumps(event, sort_keys=True))
        if trigger is not None:
            found.append(Watched(job_id=job_id, armed_at=armed_at or created_at, trigger=trigger))
    return found


def get_filter(chain_id: int, now: datetime) -> LogFilter | None:
    """What to subscribe to for all jobs of a chain together; None where nobody waits."""
    return union_filter(watched.trigger for watched in get_watched(chain_id, now))


def get_watch_revision(now: datetime) -> Revision:
    """Something that is another whenever the set of waiting jobs, or what they wait for, is another."""
    live = _live().filter(Q(expires_at=None) | Q(expires_at__gt=now))
    found = live.aggregate(
        count=Count("pk"), versions=Sum("version"), updated=Max("updated_at"), armed=Max("armed_at")
    )
    return tuple(found.values())


def is_led(name: str, now: datetime) -> bool:
    """Whether somebody holds a lease."""
    return WatchLease.objects.filter(name=name, expires_at__gt=now).exists()


def get_unheard(now: datetime, chain_ids: Iterable[int]) -> list[str]:
    """Why logs would be missed now, one line a chain: its node is away, or nobody has looked for long.

    Only chains that jobs wait for count, and a chain gets so long from when its first job was armed.
    """
    cursors = ChainCursor.objects.in_bulk()
    known = set(chain_ids)
    armed: dict[int, datetime] = {}
    for chain_id, armed_at, created_at in _live().values_list("event__chain_id", "armed_at", "created_at"):
        if isinstance(chain_id, int):
            at = armed_at or created_at
            armed[chain_id] = min(at, armed.get(chain_id, at))
    lines = []
    for chain_id, armed_at in sorted(armed.items()):
        cursor = cursors.get(chain_id)
        seen_at = max(armed_at, cursor.processed_at) if cursor and cursor.processed_at else armed_at
        if chain_id not in known:
            lines.append(f"chain {chain_id}: no URL is set")
        elif cursor is not None and cursor.error:
            lines.append(f"chain {chain_id}: {cursor.error} since {cursor.error_since:%Y-%m-%dT%H:%M:%SZ}")
        elif now - seen_at > timedelta(seconds=STALE_SECONDS):
            lines.append(f"chain {chain_id}: not read for {(now - seen_at).total_seconds():.0f} s")
    return lines


def _live() -> "QuerySet[Job, Job]":
    return Job.objects.filter(status=JobStatus.ACTIVE, trigger_kind=TriggerKind.EVENT)


@lru_cache(maxsize=4_096)
def _trigger(event: str) -> EventTrigger | None:
    """A stored event; what has been stored was checked when it came in."""
    try:
        return event_from_json(json.loads(event), "/event")
    except DomainError as exc:
        _log.error("a job's event cannot be read", code=exc.code, pointer=exc.pointer)
        return None

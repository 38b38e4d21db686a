"""Pokes: hints that a stage has work, one on its way per stage however many ask.

A poke is a Celery message behind a short-lived Redis mark that its receiver clears before it takes
rows. A lost poke or mark costs at most one sweep; Redis being away costs nothing but that.
"""

import contextlib
from collections.abc import Iterable

import structlog
from django.conf import settings
from kombu.exceptions import OperationalError
from redis import Redis, RedisError

from apps.progress.streams.nudge import CHANNEL
from project.celery import STAGES_QUEUE, app

_MARK_MILLISECONDS = 2_000
_log = structlog.get_logger("forekeep.pokes")
_redis = Redis.from_url(
    settings.FOREKEEP.broker.redis_url, socket_timeout=1, socket_connect_timeout=1, health_check_interval=25
)


def poke(stages: Iterable[str]) -> None:
    """Tell the stages that they have work; never raises for a broker that is away."""
    for stage in stages:
        if not _mark(stage):
            continue
        try:
            app.send_task("workers.stages.run", kwargs={"stage": stage}, queue=STAGES_QUEUE)
        except (OperationalError, RedisError, OSError) as exc:
            _log.warning("poke not sent", stage=stage, error=str(exc))
            poke_received(stage)


def poke_received(stage: str) -> None:
    """Clear the mark: from here on a further poke is sent again."""
    with contextlib.suppress(RedisError):
        _redis.delete(_key(stage))


def announce() -> None:
    """Tell whoever shows events live that there are new ones; it reads them from the database."""
    with contextlib.suppress(RedisError):
        _redis.publish(CHANNEL, "")


def _mark(stage: str) -> bool:
    try:
        return bool(_redis.set(_key(stage), 1, nx=True, px=_MARK_MILLISECONDS))
    except RedisError:
        return True


def _key(stage: str) -> str:
    return f"forekeep:poke:{stage}"

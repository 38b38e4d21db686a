"""The process's Redis client for what only Redis does (rate limits, pub/sub), with short patience."""

from functools import cache

import redis
from django.conf import settings


def get_redis() -> "redis.Redis":
    """A client of `REDIS_URL`; connections are pooled, time-outs are half a second."""
    return _client(settings.FOREKEEP.broker.redis_url)


@cache
def _client(url: str) -> "redis.Redis":
    return redis.Redis.from_url(url, socket_timeout=0.5, socket_connect_timeout=0.5, health_check_interval=30)

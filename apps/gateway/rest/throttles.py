"""Rate limits per caller, counted in Redis in windows of a minute.

Correctness never depends on them: while Redis is away, everything is let through.
"""

import time
from typing import Any, Final

import redis
import structlog
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from apps.gateway.data import Caller
from apps.gateway.errors import TooManyRequests
from apps.gateway.redis_client import get_redis

_WINDOW_SECONDS: Final = 60
_PAUSE_SECONDS: Final = 5.0

_log = structlog.get_logger("forekeep.gateway")
_paused_until = 0.0


class KeyThrottle(BaseThrottle):
    """Each caller's own `rate_limit_per_minute`; raises TooManyRequests (429, Retry-After) beyond it."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """True, or TooManyRequests."""
        caller: Any = request.user
        if not isinstance(caller, Caller):
            return True
        now = time.time()
        count = _count(caller.id, int(now // _WINDOW_SECONDS))
        if count > caller.rate_limit_per_minute:
            raise TooManyRequests(
                limit_per_minute=caller.rate_limit_per_minute,
                retry_after_seconds=max(1, _WINDOW_SECONDS - int(now % _WINDOW_SECONDS)),
            )
        return True


def _count(caller_id: str, window: int) -> int:
    """Requests of the caller in this window, this one included; 0 while Redis is away."""
    global _paused_until
    if time.monotonic() < _paused_until:
        return 0
    key = f"forekeep:rate:{caller_id}:{window}"
    try:
        with get_redis().pipeline(transaction=False) as pipeline:
            pipeline.incr(key)
            pipeline.expire(key, 2 * _WINDOW_SECONDS)
            count, _ = pipeline.execute()
    except redis.RedisError as exc:
        _paused_until = time.monotonic() + _PAUSE_SECONDS
        _log.warning("rate limits are off while redis is away", error=type(exc).__name__)
        return 0
    return int(count)

"""A brake on guessing passwords: five wrong ones for a name, or from an address, then a wait.

A try is counted before its password is looked at, so that many at once get no further than five. The
counters are in Redis; while it is away nobody is held up.
"""

import hashlib
from typing import Final

import redis
import structlog

from apps.gateway.redis_client import get_redis

TRIES: Final = 5
WINDOW_SECONDS: Final = 900

_log = structlog.get_logger("forekeep.login")


def tries_count(name: str, address: str) -> int:
    """Count a try; how many seconds to wait before another one, 0 where this one may go on."""
    try:
        with get_redis().pipeline() as pipeline:
            for key in (_key_of_name(name), _key_of_address(address)):
                pipeline.set(key, 0, ex=WINDOW_SECONDS, nx=True)
                pipeline.incr(key)
                pipeline.ttl(key)
            answers = pipeline.execute()
    except redis.RedisError as exc:
        _log.warning("nobody is kept from guessing passwords while redis is away", error=type(exc).__name__)
        return 0
    waits = [ttl for count, ttl in zip(answers[1::3], answers[2::3], strict=True) if count > TRIES]
    if waits:
        _log.warning("a login has to wait", seconds=max(waits))
    return max([0, *(max(1, int(wait)) for wait in waits)])


def tries_forgive(name: str, address: str) -> None:
    """After a right password the name starts anew; of the address only this try is taken back."""
    try:
        with get_redis().pipeline() as pipeline:
            pipeline.delete(_key_of_name(name))
            pipeline.decr(_key_of_address(address))
            pipeline.execute()
    except redis.RedisError as exc:
        _log.warning("a login's tries could not be forgotten", error=type(exc).__name__)


def _key_of_name(name: str) -> str:
    hashed = hashlib.sha256(name.strip().casefold().encode("utf-8", "replace")).hexdigest()
    return f"forekeep:login:name:{hashed}"


def _key_of_address(address: str) -> str:
    return f"forekeep:login:address:{address}"

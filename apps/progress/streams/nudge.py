"""A hint over Redis that there are new events: it shortens the wait, and nothing depends on it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import redis.asyncio as redis
from django.conf import settings

from apps.progress.streams.ending import end_task

CHANNEL: Final = "forekeep:events"
_AGAIN_SECONDS: Final = 5.0


@contextlib.asynccontextmanager
async def nudges() -> AsyncIterator[asyncio.Event]:
    """An event that is set whenever somebody publishes to the channel, as long as the block lasts."""
    nudge = asyncio.Event()
    listening = asyncio.create_task(_listen(nudge))
    try:
        yield nudge
    finally:
        await end_task(listening)


async def _listen(nudge: asyncio.Event) -> None:
    while True:
        with contextlib.suppress(redis.RedisError, OSError):
            await _listen_once(nudge)
        await asyncio.sleep(_AGAIN_SECONDS)


async def _listen_once(nudge: asyncio.Event) -> None:
    client = redis.Redis.from_url(
        settings.FOREKEEP.broker.redis_url, socket_connect_timeout=1, health_check_interval=30
    )
    async with client, client.pubsub(ignore_subscribe_messages=True) as channel:
        await channel.subscribe(CHANNEL)
        async for _ in channel.listen():
            nudge.set()

"""The hint over Redis: it wakes, and its absence costs nothing but a poll's length."""

import asyncio
import contextlib

import pytest
import redis

from apps.progress.streams.nudge import CHANNEL, nudges


def test_a_published_hint_sets_the_event(redis_url: str):
    async def steps() -> None:
        async with nudges() as nudge:
            with redis.Redis.from_url(redis_url) as client:
                while not nudge.is_set():
                    client.publish(CHANNEL, "")
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(nudge.wait(), 0.05)

    asyncio.run(asyncio.wait_for(steps(), 10))


def test_without_redis_nothing_happens_and_nothing_breaks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("apps.progress.streams.nudge._AGAIN_SECONDS", 0.01)
    refused = 0
    thrice = asyncio.Event()

    async def listen_once(nudge: asyncio.Event) -> None:
        nonlocal refused
        refused += 1
        if refused == 3:
            thrice.set()
        raise redis.ConnectionError("away")

    monkeypatch.setattr("apps.progress.streams.nudge._listen_once", listen_once)

    async def steps() -> bool:
        async with nudges() as nudge:
            await thrice.wait()
            return nudge.is_set()

    assert asyncio.run(asyncio.wait_for(steps(), 10)) is False

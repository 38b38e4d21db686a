"""The parts of a stream that need no database: places, scopes, the text of messages."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import UUID

import pytest

from apps.progress.domain.frames import Frame
from apps.progress.errors import TooManyStreams
from apps.progress.streams.ending import end_task
from apps.progress.streams.response import EventStreamResponse
from apps.progress.streams.slots import StreamSlots
from apps.progress.streams.tail import StreamScope
from apps.progress.streams.wire import encode_end, encode_frame, is_ended_by

RUN, OTHER, PROJECT = UUID(int=1), UUID(int=2), UUID(int=3)


class Clock:
    """Time that stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def frame(entity: str = "run", **patch: str) -> Frame:
    return Frame(
        sequence=9,
        type="run.confirmed",
        entity=entity,
        id="run_1",
        run="run_1",
        at="2026-11-20T07:00:00.000000Z",
        trace_id="ab",
        patch=patch,
    )


def test_a_caller_gets_as_many_places_as_it_may_have_and_others_have_their_own():
    slots = StreamSlots()
    for _ in range(2):
        slots.acquire("a", limit=2).start()

    with pytest.raises(TooManyStreams) as refused:
        slots.acquire("a", limit=2)
    slots.acquire("b", limit=2)

    assert refused.value.retry_after_seconds > 0


def test_a_place_given_back_twice_is_given_back_once():
    slots = StreamSlots()
    first, _second = slots.acquire("a", limit=2), slots.acquire("a", limit=2)

    first.release()
    first.release()

    assert slots.count("a") == 1


def test_a_stream_that_never_began_loses_its_place_after_a_while():
    clock = Clock()
    slots = StreamSlots(clock)
    slots.acquire("a", limit=1)
    with pytest.raises(TooManyStreams):
        slots.acquire("a", limit=1)

    clock.now = 11.0

    slots.acquire("a", limit=1)
    assert slots.count("a") == 1


def test_a_stream_that_has_begun_keeps_its_place():
    clock = Clock()
    slots = StreamSlots(clock)
    slots.acquire("a", limit=1).start()

    clock.now = 1_000.0

    with pytest.raises(TooManyStreams):
        slots.acquire("a", limit=1)


def test_a_scope_carries_its_run_or_its_projects():
    assert StreamScope(run_id=RUN).is_about(RUN, None)
    assert not StreamScope(run_id=RUN).is_about(OTHER, PROJECT)
    assert StreamScope(project_ids=frozenset({PROJECT})).is_about(None, PROJECT)
    assert not StreamScope(project_ids=frozenset({PROJECT})).is_about(RUN, None)
    assert StreamScope().is_about(None, None)


def test_a_message_is_one_block_with_the_sequence_as_its_id():
    text = encode_frame(frame(status="con\nfirmed")).decode()

    head, _, body = text.partition("data: ")
    assert head == "id: 9\nevent: frame\n"
    assert text.endswith("\n\n")
    assert text.count("\n\n") == 1
    assert json.loads(body)["patch"] == {"status": "con\nfirmed"}
    assert encode_end("run_ended") == b'event: end\ndata: {"reason":"run_ended"}\n\n'


def test_only_the_end_of_its_own_run_ends_a_stream():
    assert is_ended_by(frame(status="failed"), StreamScope(run_id=RUN))
    assert not is_ended_by(frame(status="open"), StreamScope(run_id=RUN))
    assert not is_ended_by(frame(), StreamScope(run_id=RUN))
    assert not is_ended_by(frame("task", status="failed"), StreamScope(run_id=RUN))
    assert not is_ended_by(frame(status="failed"), StreamScope())


def test_a_task_that_swallows_a_cancellation_is_ended_all_the_same():
    swallowed = 0

    async def stubborn(started: asyncio.Event) -> None:
        nonlocal swallowed
        started.set()
        while swallowed < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1

    async def steps() -> bool:
        started = asyncio.Event()
        task = asyncio.create_task(stubborn(started))
        await started.wait()
        await end_task(task)
        return task.done()

    assert asyncio.run(asyncio.wait_for(steps(), 10))
    assert swallowed == 3


def test_ending_a_task_that_fails_raises_nothing():
    async def failing() -> None:
        raise OSError

    async def steps() -> None:
        await end_task(asyncio.create_task(failing()))

    asyncio.run(asyncio.wait_for(steps(), 10))


def test_closing_an_answer_that_was_left_in_the_middle_ends_its_body_at_once():
    ended: list[str] = []

    async def body() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"part"
        finally:
            ended.append("body")

    async def steps() -> None:
        async with aclosing(aiter(EventStreamResponse(body()))) as parts:
            assert await anext(parts) == b"part"
        ended.append("answer")

    asyncio.run(steps())
    assert ended == ["body", "answer"]

"""Server-sent events: frames as text, and the body of one stream."""

import json
from collections.abc import AsyncGenerator
from typing import Final

import structlog
from django.conf import settings
from django.db import DatabaseError

from apps.progress.domain.frames import Frame, frame_of
from apps.progress.streams.slots import StreamSlot
from apps.progress.streams.tail import PAGE_EVENTS, StreamScope, get_tail
from apps.tasks.data import RunStatus

#: what the browser waits before it connects again
_RETRY: Final = b"retry: 1000\n\n"
_KEEP_ALIVE: Final = b": keep-alive\n\n"

_log = structlog.get_logger("forekeep.streams")


def encode_frame(frame: Frame) -> bytes:
    """One frame; its id is the event's sequence number, from which a client resumes."""
    body = json.dumps(frame.to_json(), separators=(",", ":"), ensure_ascii=False)
    return f"id: {frame.sequence}\nevent: frame\ndata: {body}\n\n".encode()


def encode_end(reason: str) -> bytes:
    """The last message of a stream that has nothing more to say."""
    return f'event: end\ndata: {{"reason":"{reason}"}}\n\n'.encode()


def is_ended_by(frame: Frame, scope: StreamScope) -> bool:
    """Whether this frame says that the one run a stream is about has ended."""
    is_of_run = scope.run_id is not None and frame.entity == "run"
    return is_of_run and frame.patch.get("status", RunStatus.OPEN) != RunStatus.OPEN


async def stream_body(
    scope: StreamScope, *, after: int, is_run_ended: bool, slot: StreamSlot
) -> AsyncGenerator[bytes, None]:
    """Every event of the scope after a sequence number, as it happens, in order and without a gap.

    Ends after the last event of a run that has ended, when the server stops, and with the client; where
    the database is away it breaks off, and the client comes back to where it was.
    """
    keep_alive_seconds = settings.FOREKEEP.progress.stream_keep_alive_seconds
    tail = get_tail()
    slot.start()
    try:
        async with tail.subscribe(scope) as subscription:
            yield _RETRY
            while not tail.is_stopping:
                events = await subscription.read(after)
                if events:
                    frames = [frame_of(event) for event in events]
                    is_run_ended = is_run_ended or any(is_ended_by(frame, scope) for frame in frames)
                    after = frames[-1].sequence
                    yield b"".join(encode_frame(frame) for frame in frames)
                if len(events) == PAGE_EVENTS:
                    continue
                if is_run_ended:
                    yield encode_end("run_ended")
                    return
                if not await subscription.wait(keep_alive_seconds):
                    yield _KEEP_ALIVE
    except DatabaseError as exc:
        _log.warning("a stream broke off", error=type(exc).__name__)
    finally:
        slot.release()

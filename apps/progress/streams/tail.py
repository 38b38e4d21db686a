"""The end of the event store, watched once per process for all open streams.

The database is the truth: the watch asks it a few times a second whether there is anything new, and wakes
the streams it concerns; each stream then reads its own events. All of this uses one thread and one
database connection, however many streams are open, and nothing at all while none is.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

import structlog
from django.conf import settings
from django.db import DatabaseError, connections

from apps.eventlog.selectors import events_query, get_events, get_horizon
from apps.progress.domain.frames import EventFacts
from apps.progress.streams.ending import end_task
from apps.progress.streams.nudge import nudges
from apps.progress.streams.stopping import StopWatch

#: after a wake the next look waits at least this long, so that a busy store is read in sets
_REST_SECONDS: Final = 0.05
PAGE_EVENTS: Final = 200

T = TypeVar("T")
_log = structlog.get_logger("forekeep.streams")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamScope:
    """Which events a stream carries: of one run, or of some projects (None: of all)."""

    run_id: UUID | None = None
    project_ids: frozenset[UUID] | None = None

    def is_about(self, run_id: UUID | None, project_id: UUID | None) -> bool:
        """Whether an event with these ids belongs to the stream."""
        if self.run_id is not None:
            return run_id == self.run_id
        return self.project_ids is None or project_id in self.project_ids


class Subscription:
    """One stream's view of the store."""

    def __init__(self, tail: "EventTail", scope: StreamScope) -> None:
        self._tail = tail
        self.scope = scope
        self.woken = asyncio.Event()

    async def read(self, after: int) -> list[EventFacts]:
        """The next events after a sequence number, at most PAGE_EVENTS."""
        self.woken.clear()
        return await self._tail.run(lambda: _read(self.scope, after))

    async def wait(self, timeout_seconds: float) -> bool:
        """Wait for a wake; False where the time was over first."""
        if self._tail.is_stopping:
            return True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.woken.wait(), timeout_seconds)
        return self.woken.is_set()


class EventTail:
    """The watch of one event loop; it runs while it has subscribers."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()
        self._gate = asyncio.Lock()
        self._thread: ThreadPoolExecutor | None = None
        self._watch: asyncio.Task[None] | None = None
        self._stop_watch = StopWatch(self.stop)
        self._seen = 0
        #: whether the server has been told to stop: streams end now
        self.is_stopping = False

    def stop(self) -> None:
        """End every stream; called in the loop's own thread."""
        self.is_stopping = True
        for subscription in self._subscriptions:
            subscription.woken.set()

    @contextlib.asynccontextmanager
    async def subscribe(self, scope: StreamScope) -> AsyncIterator[Subscription]:
        """Follow the store until the block is left."""
        subscription = Subscription(self, scope)
        async with self._gate:
            if self._thread is None:
                await self._open()
            self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
            await self._close_if_idle()

    async def run(self, read: Callable[[], T]) -> T:
        """Run a read on the tail's one thread and connection; a closed tail cancels its caller."""
        if self._thread is None:
            raise asyncio.CancelledError
        return await asyncio.get_running_loop().run_in_executor(self._thread, _in_thread, read)

    async def _open(self) -> None:
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="forekeep-streams")
        try:
            self._seen = await asyncio.get_running_loop().run_in_executor(thread, _in_thread, get_horizon)
        except BaseException:
            _end_thread(thread)
            raise
        self._thread = thread
        self._stop_watch.install()
        self._watch = asyncio.create_task(self._follow())

    async def _close_if_idle(self) -> None:
        """Let go of everything before the first await: whoever closes may be cancelled himself."""
        if self._subscriptions or self._thread is None or self._watch is None:
            return
        thread, watch = self._thread, self._watch
        self._thread = self._watch = None
        watch.cancel()
        _end_thread(thread)
        self._stop_watch.remove()
        await asyncio.shield(end_task(watch))

    async def _follow(self) -> None:
        """Look for news a few times a second; a database that is away is asked again."""
        poll_seconds = settings.FOREKEEP.progress.stream_poll_milliseconds / 1_000
        async with nudges() as nudge:
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(nudge.wait(), poll_seconds)
                nudge.clear()
                try:
                    self._wake(await self.run(self._look))
                except DatabaseError as exc:
                    _log.warning("the event store cannot be read", error=type(exc).__name__)
                await asyncio.sleep(_REST_SECONDS)

    def _look(self) -> Sequence[tuple[UUID | None, UUID | None]]:
        horizon = get_horizon()
        if horizon <= self._seen:
            return ()
        news = events_query().filter(sequence_number__gt=self._seen, sequence_number__lte=horizon)
        found = list(news.order_by().values_list("run_id", "project_id").distinct())
        self._seen = horizon
        return found

    def _wake(self, news: Sequence[tuple[UUID | None, UUID | None]]) -> None:
        if not news:
            return
        for subscription in self._subscriptions:
            if any(subscription.scope.is_about(run_id, project_id) for run_id, project_id in news):
                subscription.woken.set()


def get_tail() -> EventTail:
    """The tail of the running event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _tails:
        _tails[loop] = EventTail()
    return _tails[loop]


_tails: "WeakKeyDictionary[asyncio.AbstractEventLoop, EventTail]" = WeakKeyDictionary()


def _end_thread(thread: ThreadPoolExecutor) -> None:
    """Close the thread's connection after whatever it is reading now, then let it end."""
    thread.submit(connections.close_all)
    thread.shutdown(wait=False)


def _in_thread(read: Callable[[], T]) -> T:
    """Read on the tail's own connection, which is opened again after it broke."""
    try:
        return read()
    except DatabaseError:
        connections.close_all()
        raise


def _read(scope: StreamScope, after: int) -> list[EventFacts]:
    project_ids = None if scope.project_ids is None else sorted(scope.project_ids)
    events = get_events(run_id=scope.run_id, project_ids=project_ids, after=after, limit=PAGE_EVENTS)
    return [
        EventFacts(
            sequence=event.sequence_number,
            type=event.event_type,
            aggregate=event.aggregate_type,
            aggregate_id=event.aggregate_id,
            run_id=event.run_id,
            at=event.created_at,
            trace_id=event.trace_id,
            payload=event.payload,
        )
        for event in events
    ]

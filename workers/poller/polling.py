"""The loop: every source at its own pace, what changed evaluated together, what fires written at once.

Nothing waits for a slow source: each is its own task. Database work is done by one thread, in order.
"""

import asyncio
import contextlib
import json
import random
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

import structlog
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connections

from apps.chains.client import ChainClient
from apps.chains.networks import get_networks, open_network_client
from apps.egress.client import EgressClient
from apps.eventlog.selectors import get_database_now
from apps.kernel.errors import DomainError
from apps.triggers.data import ChainSource, HttpSource, PickFault, StaticSource, WebsocketSource, fault_of
from apps.watching.asking import Answer, ask_chain, ask_http, now, read_message, resolve_headers
from apps.watching.conditions import (
    Revision,
    conditions_move,
    get_condition_revision,
    get_condition_versions,
    get_watched_conditions,
    sources_record,
)
from workers.poller.board import Board, WatchedSource, observations_of

Result = TypeVar("Result")
#: what arrives within so long is evaluated together
_GATHER_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 60.0
_RELOAD_SECONDS: Final = 0.5
_RECORD_SECONDS: Final = 2.0
#: secrets may be replaced: a source's headers are resolved anew so often
_HEADERS_SECONDS: Final = 60.0
_CHAIN_UNKNOWN: Final = PickFault(code="chain_unknown")
_log = structlog.get_logger("forekeep.poller")


class Poller:
    """One process's watch over all conditions. `on_fired` is told when something has to be opened."""

    def __init__(self, client: EgressClient, on_fired: Callable[[], None]) -> None:
        self.board = Board(is_on_device=settings.FOREKEEP.triggers.is_on_device)
        self._client = client
        self._on_fired = on_fired
        self._database = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")
        self._chain = ThreadPoolExecutor(max_workers=4, thread_name_prefix="chain")
        self._changed = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._chain_keys: dict[int, set[str]] = defaultdict(set)
        self._chain_tasks: dict[int, asyncio.Task[None]] = {}
        self._unrecorded: set[str] = set()
        self._revision: Revision | None = None

    async def run(self, stopping: asyncio.Event) -> None:
        """Watch until told to stop."""
        loops = [self._reload_often(), self._evaluate_often(), self._record_often()]
        running = [asyncio.ensure_future(loop) for loop in loops]
        stop = asyncio.ensure_future(stopping.wait())
        try:
            done, _ = await asyncio.wait([stop, *running], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stop}:
                task.result()
        finally:
            await self._cancel([stop, *running])
            await self._close()

    async def run_once(self, seconds: float) -> None:
        """One round: every source asked once, for so long at most; what is met fires."""
        await self.reload()
        deadline = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_GATHER_SECONDS)
            await self.evaluate()
            if all(source.answer is not None for source in self.board.sources.values()):
                break
        await self._record(set(self.board.sources))
        await self._close()

    async def reload(self) -> None:
        """Take over jobs that came, changed or went."""
        revision = await self._in_database(lambda: get_condition_revision(get_database_now()))
        if revision == self._revision:
            return
        versions = await self._in_database(lambda: get_condition_versions(get_database_now()))
        for job_id in self.board.jobs.keys() - versions.keys():
            self.board.drop(job_id)
        stale = self.board.stale(versions)
        for start in range(0, len(stale), 500):
            some = stale[start : start + 500]
            for job in await self._in_database(partial(get_watched_conditions, some)):
                self.board.put(job)
        self._revision = revision
        self._follow_sources()
        self._changed.set()

    async def evaluate(self) -> None:
        """Evaluate what changed, remember and fire."""
        moves = self.board.evaluate(datetime.now(UTC))
        if not moves:
            return
        known, fired = await self._in_database(lambda: conditions_move(moves, now=get_database_now()))
        self.board.remember(known)
        if fired:
            self._on_fired()

    async def _reload_often(self) -> None:
        while True:
            await self._guarded(self.reload)
            await asyncio.sleep(_RELOAD_SECONDS)

    async def _evaluate_often(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), self._patience())
            await asyncio.sleep(_GATHER_SECONDS)
            self._changed.clear()
            await self._guarded(self.evaluate)

    async def _record_often(self) -> None:
        while True:
            await asyncio.sleep(_RECORD_SECONDS)
            keys, self._unrecorded = self._unrecorded, set()
            await self._guarded(partial(self._record, keys))

    async def _record(self, keys: set[str]) -> None:
        sources = [self.board.sources[key] for key in keys if key in self.board.sources]
        seen = observations_of(sources)
        for start in range(0, len(seen), 500):
            await self._in_database(partial(sources_record, seen[start : start + 500]))

    def _patience(self) -> float:
        """How long nothing has to be evaluated: until the first level may fire again."""
        if not self.board.again:
            return 1.0
        first = min(self.board.again.values())
        return min(1.0, max(0.0, (first - datetime.now(UTC)).total_seconds()))

    def _follow_sources(self) -> None:
        """A task for every source there is, none for those that went."""
        for key in [key for key in self._tasks if key not in self.board.sources]:
            self._tasks.pop(key).cancel()
        for chain_id, keys in self._chain_keys.items():
            self._chain_keys[chain_id] = keys & self.board.sources.keys()
        for key, watched in self.board.sources.items():
            if key in self._tasks:
                continue
            match watched.source:
                case HttpSource():
                    self._tasks[key] = asyncio.ensure_future(self._follow_http(watched, watched.source))
                case WebsocketSource():
                    self._tasks[key] = asyncio.ensure_future(self._follow_stream(watched, watched.source))
                case ChainSource() as source:
                    self._chain_keys[source.chain_id].add(key)
                    if source.chain_id not in self._chain_tasks:
                        self._chain_tasks[source.chain_id] = asyncio.ensure_future(
                            self._follow_chain(source.chain_id)
                        )
                case StaticSource() as source:
                    self._take(watched, Answer(at=now(), document=source.value))

    async def _follow_http(self, watched: WatchedSource, source: HttpSource) -> None:
        loop = asyncio.get_running_loop()
        headers: dict[str, str] | None = {} if not source.headers else None
        resolved_at = loop.time()
        while True:
            started_at = loop.time()
            if headers is None or (source.headers and started_at - resolved_at > _HEADERS_SECONDS):
                headers, resolved_at = await self._resolve(watched, source), started_at
            if headers is not None:
                self._take(watched, await ask_http(self._client, source, headers, watched.answer))
            pause = compute_pause(watched, source.poll_seconds, random.random())
            await asyncio.sleep(max(0.0, started_at + pause - loop.time()))

    async def _follow_stream(self, watched: WatchedSource, source: WebsocketSource) -> None:
        while True:
            headers = await self._resolve(watched, source)
            if headers is not None:
                try:
                    await self._listen(watched, source, headers)
                except DomainError as exc:
                    self._take(watched, Answer(at=now(), fault=fault_of(exc)))
            await asyncio.sleep(compute_pause(watched, 1, random.random()))

    async def _listen(self, watched: WatchedSource, source: WebsocketSource, headers: dict[str, str]) -> None:
        async with self._client.open_socket(source.url, headers) as connection:
            if source.subscribe is not None:
                await connection.send(json.dumps(source.subscribe))
            async for text in connection:
                self._take(watched, read_message(text))

    async def _follow_chain(self, chain_id: int) -> None:
        """All reads of a chain that are due, in one batch each second."""
        loop = asyncio.get_running_loop()
        due: dict[str, float] = {}
        while True:
            started_at = loop.time()
            keys = [key for key in self._chain_keys[chain_id] if due.get(key, 0.0) <= started_at]
            watched = [self.board.sources[key] for key in keys if key in self.board.sources]
            sources = [each.source for each in watched if isinstance(each.source, ChainSource)]
            if sources:
                answers = await loop.run_in_executor(self._chain, _ask_network, chain_id, sources)
                for each, source, answer in zip(watched, sources, answers, strict=True):
                    self._take(each, answer)
                    due[each.key] = started_at + compute_pause(each, source.poll_seconds, random.random())
            await asyncio.sleep(max(0.05, started_at + 1.0 - loop.time()))

    async def _resolve(
        self, watched: WatchedSource, source: HttpSource | WebsocketSource
    ) -> dict[str, str] | None:
        """The headers with secrets, or None where they cannot be had: then that is what the source says."""
        try:
            return await self._in_database(lambda: resolve_headers(source.headers, watched.project_id))
        except (DomainError, DatabaseError) as exc:
            fault = fault_of(exc) if isinstance(exc, DomainError) else PickFault(code="secret_unread")
            self._take(watched, Answer(at=now(), fault=fault))
            return None

    def _take(self, watched: WatchedSource, answer: Answer) -> None:
        self._unrecorded.add(watched.key)
        if self.board.take(watched.key, answer):
            self._changed.set()

    async def _guarded(self, act: Callable[[], Any]) -> None:
        """The database being away costs a round, not the process."""
        try:
            await act()
        except DatabaseError as exc:
            _log.warning("poller waits for the database", reason=type(exc).__name__)
            await asyncio.sleep(1.0)

    async def _in_database(self, act: Callable[[], Result]) -> Result:
        def run() -> Result:
            close_old_connections()
            return act()

        return await asyncio.get_running_loop().run_in_executor(self._database, run)

    async def _close(self) -> None:
        await self._cancel([*self._tasks.values(), *self._chain_tasks.values()])
        await self._in_database(connections.close_all)
        self._database.shutdown(wait=True)
        self._chain.shutdown(wait=False, cancel_futures=True)

    async def _cancel(self, tasks: list[Any]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def compute_pause(watched: WatchedSource, poll_seconds: int, jitter: float) -> float:
    """The poll period; of a source that fails, doubled each time up to a minute, or what it asks for."""
    if not watched.failures:
        return float(poll_seconds)
    asked = watched.answer.retry_after_seconds if watched.answer else None
    longest = max(_LONGEST_PAUSE_SECONDS, float(poll_seconds))
    pause = min(poll_seconds * 2.0 ** min(watched.failures - 1, 10), longest) * (1 + jitter / 4)
    return max(pause, min(asked or 0.0, 3_600.0))


def _ask_network(chain_id: int, sources: list[ChainSource]) -> list[Answer]:
    network = get_networks().get(chain_id)
    if network is None:
        return [Answer(at=now(), fault=_CHAIN_UNKNOWN)] * len(sources)
    client: ChainClient = open_network_client(network, timeout_seconds=5.0)
    return ask_chain(client, sources)

"""What goes back to the control plane, many items in one message.

An item waits 5 ms for company; right after a message the next one gathers for 150 ms, so that under load
a message holds many and a lone answer is not held up. 64 items at most to a message. While the broker is
away they are kept and tried again with back-off; beyond the bound the oldest acknowledgements go first,
then the oldest of the rest: a lost receipt is asked for again, and the answer book has it.
"""

import heapq
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

RECEIPTS: Final = "receipts"
ACKNOWLEDGEMENTS: Final = "acknowledgements"
BALLOTS: Final = "ballots"
KINDS: Final = (RECEIPTS, BALLOTS, ACKNOWLEDGEMENTS)

_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 5.0
_log = logging.getLogger("forekeep.keeper.outbox")

Item = Mapping[str, Any]
Send = Callable[[str, Sequence[Item]], None]


class Unsendable(Exception):
    """A message no broker will ever take; its items are dropped."""


class Later:
    """An acknowledgement that goes out unless it is cancelled first."""

    __slots__ = ("_is_cancelled", "make")

    def __init__(self, make: Callable[[], Item]) -> None:
        self.make = make
        self._is_cancelled = False

    @property
    def is_cancelled(self) -> bool:
        """Whether it was taken back."""
        return self._is_cancelled

    def cancel(self) -> None:
        """Take it back; too late is no error."""
        self._is_cancelled = True


class Outbox:
    """A thread that sends. `send(kind, items)` raises anything while the broker is away."""

    def __init__(
        self,
        send: Send,
        *,
        linger_seconds: float = 0.005,
        gather_seconds: float = 0.15,
        batch: int = 64,
        capacity: int = 10_000,
    ) -> None:
        self._send = send
        self._linger_seconds = linger_seconds
        self._gather_seconds = gather_seconds
        self._sent_at = 0.0
        self._batch = batch
        self._capacity = capacity
        self._waiting: dict[str, deque[Item]] = {kind: deque() for kind in KINDS}
        self._later: list[tuple[float, int, Later]] = []
        self._order = itertools.count()
        self._oldest_at: float | None = None
        self._failures = 0
        self._dropped = 0
        self._is_closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def start(self) -> None:
        """Start sending."""
        self._thread.start()

    def add(self, kind: str, item: Item) -> None:
        """Have an item sent."""
        with self._changed:
            self._add(kind, item)
            self._changed.notify()

    def acknowledge_after(self, seconds: float, make: Callable[[], Item]) -> Later:
        """Have an acknowledgement made and sent after a while, unless it is cancelled first."""
        later = Later(make)
        with self._changed:
            heapq.heappush(self._later, (time.monotonic() + seconds, next(self._order), later))
            if self._later[0][2] is later:
                self._changed.notify()
        return later

    def waiting_count(self) -> int:
        """How many items wait to be sent."""
        with self._changed:
            return sum(len(items) for items in self._waiting.values())

    def close(self, timeout_seconds: float = 2.0) -> None:
        """Send what waits, within the time, and stop."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._await_work()
                batches = {kind: self._take(kind) for kind in KINDS}
                is_last = self._is_closing
            is_sent = True
            for kind, items in batches.items():
                is_sent = (not items or self._deliver(kind, items)) and is_sent
            if is_last and (not is_sent or not self.waiting_count()):
                return
            if not is_sent:
                self._pause()

    def _await_work(self) -> None:
        """Return when a message is full, has lingered, or the outbox closes."""
        while not self._is_closing:
            now = time.monotonic()
            self._ripen(now)
            if any(len(items) >= self._batch for items in self._waiting.values()):
                return
            due = self._due_at()
            if due is not None and now >= due:
                return
            wakes = [at for at in (due, self._later[0][0] if self._later else None) if at is not None]
            self._changed.wait(min(wakes) - now if wakes else None)

    def _due_at(self) -> float | None:
        """When what waits is to go out; None where nothing waits."""
        if self._oldest_at is None:
            return None
        return max(self._oldest_at + self._linger_seconds, self._sent_at + self._gather_seconds)

    def _ripen(self, now: float) -> None:
        """Make the acknowledgements whose moment has come."""
        while self._later and (self._later[0][0] <= now or self._later[0][2].is_cancelled):
            later = heapq.heappop(self._later)[2]
            if later.is_cancelled:
                continue
            try:
                self._add(ACKNOWLEDGEMENTS, later.make())
            except Exception:
                _log.exception("acknowledgement not made")

    def _add(self, kind: str, item: Item) -> None:
        self._waiting[kind].append(item)
        if self._oldest_at is None:
            self._oldest_at = time.monotonic()
        self._keep_within_bounds()

    def _keep_within_bounds(self) -> None:
        while sum(len(items) for items in self._waiting.values()) > self._capacity:
            victim = next(self._waiting[kind] for kind in reversed(KINDS) if self._waiting[kind])
            victim.popleft()
            self._dropped += 1
            if self._dropped % 1_000 == 1:
                _log.error("outbox is full, items dropped", extra={"facts": {"dropped": self._dropped}})

    def _take(self, kind: str) -> list[Item]:
        waiting = self._waiting[kind]
        taken = [waiting.popleft() for _ in range(min(self._batch, len(waiting)))]
        if not any(self._waiting.values()):
            self._oldest_at = None
        return taken

    def _deliver(self, kind: str, items: list[Item]) -> bool:
        try:
            self._send(kind, items)
        except Unsendable as exc:
            _log.error("items no broker takes, dropped", extra={"facts": {"kind": kind, "reason": str(exc)}})
        except Exception as exc:
            self._failures += 1
            if self._failures == 1:
                _log.warning("broker is away", extra={"facts": {"kind": kind, "reason": type(exc).__name__}})
            with self._changed:
                self._waiting[kind].extendleft(reversed(items))
                self._oldest_at = self._oldest_at or time.monotonic()
                self._keep_within_bounds()
            return False
        self._sent_at = time.monotonic()
        if self._failures:
            _log.warning("broker is back", extra={"facts": {"failures": self._failures}})
            self._failures = 0
        return True

    def _pause(self) -> None:
        """Back off while the broker is away; closing ends it."""
        pause = min(_FIRST_PAUSE_SECONDS * 2 ** min(self._failures - 1, 10), _LONGEST_PAUSE_SECONDS)
        until = time.monotonic() + pause
        with self._changed:
            while not self._is_closing and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)

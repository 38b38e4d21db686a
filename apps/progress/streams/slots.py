"""How many streams each caller may hold open at once in this process."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Final

from apps.progress.errors import TooManyStreams

#: a stream that was let in but never began (its client had gone) gives its place back after this
_UNSTARTED_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 5


class StreamSlot:
    """One place; `start` when the stream's body begins, `release` when it ends (again is a no-op)."""

    def __init__(self, slots: "StreamSlots", caller: str, now: float) -> None:
        self._slots = slots
        self.caller = caller
        self.taken_at = now
        self.is_started = False

    def start(self) -> None:
        """The body is being sent: the place is held until `release`."""
        self.is_started = True

    def release(self) -> None:
        """Give the place back."""
        self._slots.release(self)


class StreamSlots:
    """The places of all callers. Safe to use from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: defaultdict[str, list[StreamSlot]] = defaultdict(list)

    def acquire(self, caller: str, *, limit: int) -> StreamSlot:
        """Take a place for a caller; raise TooManyStreams where it has `limit` of them."""
        now = self._clock()
        with self._lock:
            held = [slot for slot in self._held[caller] if self._is_live(slot, now)]
            if len(held) >= limit:
                self._held[caller] = held
                raise TooManyStreams(limit=limit, retry_after_seconds=_RETRY_SECONDS)
            slot = StreamSlot(self, caller, now)
            self._held[caller] = [*held, slot]
            return slot

    def release(self, slot: StreamSlot) -> None:
        """Give a place back; again is a no-op."""
        with self._lock:
            left = [held for held in self._held.get(slot.caller, ()) if held is not slot]
            if left:
                self._held[slot.caller] = left
            else:
                self._held.pop(slot.caller, None)

    def count(self, caller: str) -> int:
        """How many places a caller holds."""
        with self._lock:
            return len(self._held.get(caller, ()))

    @staticmethod
    def _is_live(slot: StreamSlot, now: float) -> bool:
        return slot.is_started or now - slot.taken_at < _UNSTARTED_SECONDS


SLOTS: Final = StreamSlots()

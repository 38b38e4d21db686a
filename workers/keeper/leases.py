"""What this node is working on right now, and which attempts it has seen.

A task's epoch only grows: an assignment of an older attempt than one seen is stale. The same lease never
runs twice at once. Aborting kills the running sandbox through its handle and leaves a mark, so that an
aborted attempt still waiting in the queue does not start.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from apps.execution.errors import EpochStale
from apps.kernel.errors import Conflict
from workers.keeper.sandbox.data import AbortHandle

_REMEMBERED: Final = 20_000


class LeaseRunning(Conflict):
    """The assignment was repeated while it is being worked on."""

    code = "lease_running"
    title = "The node already works on this lease"


class Leases:
    """Running work by task. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[UUID, tuple[int, UUID, AbortHandle]] = {}
        self._floors: OrderedDict[UUID, int] = OrderedDict()

    @contextmanager
    def working(self, task_id: UUID, epoch: int, lease: UUID) -> Iterator[AbortHandle]:
        """Claim the work for the time of the block; an older attempt that still runs is aborted.

        Raises EpochStale, LeaseRunning.
        """
        handle = AbortHandle()
        with self._lock:
            self._require_current(task_id, epoch)
            older = self._running.get(task_id)
            if older is not None and older[0] == epoch:
                raise LeaseRunning(epoch=epoch)
            self._running[task_id] = (epoch, lease, handle)
            self._remember(task_id, epoch)
        if older is not None:
            older[2].abort()
        try:
            yield handle
        finally:
            with self._lock:
                if self._running.get(task_id, (0, None, None))[2] is handle:
                    del self._running[task_id]

    def abort(self, task_id: UUID, epoch: int) -> bool:
        """Stop the work on this attempt or an older one, now or when it comes; return whether any ran."""
        with self._lock:
            self._remember(task_id, epoch + 1)
            found = self._running.get(task_id)
        if found is None or found[0] > epoch:
            return False
        found[2].abort()
        return True

    def abort_all(self) -> int:
        """Stop everything, at shutdown; return how much ran."""
        with self._lock:
            handles = [handle for _, _, handle in self._running.values()]
        for handle in handles:
            handle.abort()
        return len(handles)

    def _require_current(self, task_id: UUID, epoch: int) -> None:
        floor = self._floors.get(task_id, 0)
        if epoch < floor:
            raise EpochStale(epoch=epoch, current=floor)

    def _remember(self, task_id: UUID, epoch: int) -> None:
        self._floors[task_id] = max(epoch, self._floors.get(task_id, 0))
        self._floors.move_to_end(task_id)
        if len(self._floors) > _REMEMBERED:
            self._floors.popitem(last=False)

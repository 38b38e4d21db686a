"""Jails kept ready: each is taken once, and another is asked for in the background.

An empty pool is no obstacle: whoever comes then gets a jail of their own.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable

from workers.keeper.sandbox.errors import SandboxBroken
from workers.keeper.sandbox.jail import Jail


class JailPool:
    """`size` jails ahead of need; 0 keeps none."""

    def __init__(self, start_jail: Callable[[], Jail], size: int) -> None:
        self._start_jail = start_jail
        self._size = size
        self._ready: deque[Jail] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._filler = threading.Thread(target=self._fill, name="sandbox-pool", daemon=True)
        if size:
            self._filler.start()

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return len(self._ready)

    def take(self) -> Jail:
        """The jail that has waited longest, or a new one; it is the caller's to close."""
        with self._changed:
            if self._is_closed:
                raise SandboxBroken(reason="the sandbox is closed")
            jail = self._ready.popleft() if self._ready else None
            self._changed.notify()
        return jail or self._start_jail()

    def close(self) -> None:
        """End all jails that wait."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._size:
            self._filler.join()
        while self._ready:
            self._ready.popleft().close()

    def _fill(self) -> None:
        while self._wait_for_room():
            with contextlib.suppress(SandboxBroken, OSError):
                jail = self._start_jail()
                with self._changed:
                    self._ready.append(jail)

    def _wait_for_room(self) -> bool:
        """Wait until a jail is missing; False when the pool is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or len(self._ready) < self._size)
            return not self._is_closed

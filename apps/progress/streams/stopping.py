"""Notices that the server has been told to stop, so that endless answers end by themselves.

An ASGI server waits for open answers before it tells the application anything (lifespan shutdown comes
after them), so a stream would hold the stop up until the server's own patience is over. The signal's
handler is wrapped instead: it says so to the streams, then does what it did before.
"""

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class StopWatch:
    """Calls `on_stop` in the loop it was installed from when a stop signal arrives."""

    def __init__(self, on_stop: Callable[[], None]) -> None:
        self._on_stop = on_stop
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before: dict[signal.Signals, Any] = {}

    def install(self) -> None:
        """Wrap the handlers there are; outside the main thread, or where there is none, do nothing."""
        self._loop = asyncio.get_running_loop()
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            before = signal.getsignal(number)
            if callable(before):
                self._before[number] = before
                signal.signal(number, self._handle)

    def remove(self) -> None:
        """Put the handlers back, unless somebody else has replaced ours meanwhile."""
        for number, before in self._before.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, before)
        self._before = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._on_stop)
        self._before[signal.Signals(number)](number, frame)

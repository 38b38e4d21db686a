"""Trying again what only the outside world can cure, with back-off, until the work's time is over."""

import random
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from workers.keeper.errors import OUTSIDE, WorkAborted

T = TypeVar("T")

_FIRST_SECONDS: Final = 0.1
_LONGEST_SECONDS: Final = 2.0


def keep_trying(action: Callable[[], T], *, until: float, stopping: threading.Event) -> T:
    """The action's answer; an outside failure is retried until the Unix time `until`, then raised.

    Waits min(0.1 s · 2^n, 2 s) with jitter. Raises WorkAborted when the node stops meanwhile.
    """
    wait = _FIRST_SECONDS
    while True:
        try:
            return action()
        except OUTSIDE:
            pause = wait * random.uniform(0.5, 1.0)
            if time.time() + pause >= until:
                raise
            if stopping.wait(pause):
                raise WorkAborted() from None
            wait = min(wait * 2, _LONGEST_SECONDS)

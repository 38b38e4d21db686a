"""Waiting for a condition, never for a length of time."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_never = threading.Event()


def wait_until(condition: Callable[[], T], timeout_seconds: float = 10.0, every_seconds: float = 0.02) -> T:
    """Return the first truthy value of `condition`; fail the test when the time is over."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not true within {timeout_seconds} s: {condition!r} (last: {value!r})")
        _never.wait(every_seconds)

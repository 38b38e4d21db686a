"""Transactions that overlap: threads with connections of their own that start together."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.db import connection

_pause = threading.Event()


def at_once(*works: Callable[[], Any], seed: int = 0, most_milliseconds: float = 2.0) -> list[Any]:
    """Run the works in threads that start together; their results in order, the first failure raised.

    Each waits a moment, another each time, after every statement: that is what makes them interleave.
    """
    barrier = threading.Barrier(len(works))

    def run(number: int) -> Any:
        jitter = random.Random(f"{seed}:{number}")

        def slowly(execute: Callable[..., Any], *statement: Any) -> Any:
            try:
                return execute(*statement)
            finally:
                _pause.wait(jitter.random() * most_milliseconds / 1_000)

        wrapper: AbstractContextManager[None] = (
            connection.execute_wrapper(slowly) if most_milliseconds else nullcontext()
        )
        try:
            connection.ensure_connection()
            barrier.wait(timeout=20)
            with wrapper:
                return works[number]()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        return [done.result(timeout=60) for done in [pool.submit(run, n) for n in range(len(works))]]

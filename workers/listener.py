"""`python -m workers.listener`: hears of every new block and pokes who waits for one.

One WebSocket to the chain's node (`eth_subscribe` newHeads). A block is only a hint that the confirm stage
has work: what it says is read again there, and one that is missed is the sweep's. A node that is away, or
that takes no subscription, is asked again with back-off and jitter; the sweeps go on meanwhile.
"""

import json
import random
import signal
import threading
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import django
import structlog
from django.conf import settings
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from workers.pokes import poke

_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 15.0
#: a connection that is quiet for so long is still fine: a chain may rest
_PATIENCE_SECONDS: Final = 1.0
_log = structlog.get_logger("forekeep.listener")


class SubscriptionRefused(Exception):
    """The node takes no subscription to new blocks."""


def main() -> None:
    """Listen until SIGTERM or SIGINT."""
    django.setup()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    listen(socket_url(settings.FOREKEEP.chain.rpc_url), lambda: poke(["confirm"]), stopping)


def socket_url(rpc_url: str) -> str:
    """The WebSocket address of a node from its HTTP one: the same place, as nodes have it."""
    parts = urlsplit(rpc_url)
    return urlunsplit(parts._replace(scheme="wss" if parts.scheme == "https" else "ws"))


def listen(url: str, on_block: Callable[[], None], stopping: threading.Event) -> None:
    """Call `on_block` for every new block until told to stop, whatever the node does."""
    failures = 0
    while not stopping.is_set():
        try:
            with connect(url, open_timeout=5, close_timeout=1, max_size=1 << 20, proxy=None) as connection:
                subscribe(connection)
                if failures:
                    _log.info("chain is heard again", failures=failures)
                failures = 0
                on_block()
                follow(connection, on_block, stopping)
        except (OSError, WebSocketException, SubscriptionRefused, ValueError) as exc:
            failures += 1
            if failures == 1:
                # an error's text may name the address, which may hold a key
                _log.warning("chain is not heard", reason=type(exc).__name__)
            stopping.wait(compute_pause(failures, random.random()))


def subscribe(connection: ClientConnection) -> None:
    """Ask for new blocks. Raises SubscriptionRefused."""
    connection.send(
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]})
    )
    answer: Any = json.loads(connection.recv(timeout=5))
    if not isinstance(answer, dict) or "result" not in answer:
        raise SubscriptionRefused(str(answer)[:200])


def follow(connection: ClientConnection, on_block: Callable[[], None], stopping: threading.Event) -> None:
    """Hear blocks until the connection ends, which raises, or until told to stop."""
    while not stopping.is_set():
        try:
            connection.recv(timeout=_PATIENCE_SECONDS)
        except TimeoutError:
            continue
        on_block()


def compute_pause(failures: int, jitter: float) -> float:
    """Half to all of min(0.5 · 2^(n-1), 15) seconds; `jitter` is in [0, 1)."""
    ceiling = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 10), _LONGEST_PAUSE_SECONDS)
    return ceiling * (1 + jitter) / 2


if __name__ == "__main__":
    main()

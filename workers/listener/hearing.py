"""One WebSocket to a chain's node, for all jobs together: new blocks, and the logs anybody waits for.

What a message says is never used: it is a hint to look. A changed filter is subscribed to before the old
subscription is given up, so that nothing falls in between. A node that is away, or that takes no
subscription, is asked again with back-off and jitter.
"""

import itertools
import json
import random
import threading
from collections.abc import Callable
from typing import Any, Final

import structlog
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from apps.triggers.data import LogFilter

_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 15.0
#: so often a quiet connection looks whether another filter is wanted
_PATIENCE_SECONDS: Final = 0.1
_ANSWER_SECONDS: Final = 5.0
_log = structlog.get_logger("forekeep.listener")


class SubscriptionRefused(Exception):
    """The node takes no subscription."""


class Ear:
    """Hears one node in the calling thread. `want` may be called from any other."""

    def __init__(
        self, url: str, *, on_block: Callable[[], None], on_log: Callable[[], None] | None = None
    ) -> None:
        self._url = url
        self._on_block = on_block
        self._on_log = on_log or on_block
        self._wanted: LogFilter | None = None

    def want(self, wanted: LogFilter | None) -> None:
        """Let this filter be the one that is subscribed to, from the next look on."""
        self._wanted = wanted

    def listen(self, stopping: threading.Event) -> None:
        """Hear until told to stop, whatever the node does. Each connection begins with a hint."""
        failures = 0
        while not stopping.is_set():
            try:
                with connect(
                    self._url, open_timeout=5, close_timeout=1, max_size=1 << 22, proxy=None
                ) as connection:
                    talk = _Talk(connection)
                    heads = talk.subscribe("newHeads")
                    if failures:
                        _log.info("chain is heard again", failures=failures)
                    failures = 0
                    self._on_block()
                    self._follow(talk, heads, stopping)
            except (OSError, WebSocketException, SubscriptionRefused, ValueError) as exc:
                failures += 1
                if failures == 1:
                    # an error's text may name the address, which may hold a key
                    _log.warning("chain is not heard", reason=type(exc).__name__)
                stopping.wait(compute_pause(failures, random.random()))

    def _follow(self, talk: "_Talk", heads: str, stopping: threading.Event) -> None:
        """Hear until the connection ends, which raises, or until told to stop."""
        present: LogFilter | None = None
        logs: str | None = None
        while not stopping.is_set():
            wanted = self._wanted
            if wanted != present:
                former, logs = logs, None if wanted is None else talk.subscribe("logs", wanted.to_json())
                if former is not None:
                    talk.unsubscribe(former)
                present = wanted
                self._on_log()
            heard = talk.hear(_PATIENCE_SECONDS)
            if heard is not None:
                (self._on_block if heard == heads else self._on_log)()


class _Talk:
    """Requests and their answers on a connection that also brings messages."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self._waiting: list[str] = []

    def subscribe(self, *parameters: Any) -> str:
        """The id of a new subscription; raise SubscriptionRefused."""
        return str(self._ask("eth_subscribe", *parameters))

    def unsubscribe(self, subscription: str) -> None:
        """Give one up; what it still brings is heard all the same."""
        self._ask("eth_unsubscribe", subscription)

    def hear(self, seconds: float) -> str | None:
        """The subscription of the next message; None where nothing comes within the time."""
        if self._waiting:
            return self._waiting.pop(0)
        try:
            message = self._connection.recv(timeout=seconds)
        except TimeoutError:
            return None
        return _subscription_of(json.loads(message))

    def _ask(self, method: str, *parameters: Any) -> Any:
        number = next(self._numbers)
        request = {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}
        self._connection.send(json.dumps(request))
        while True:
            answer: Any = json.loads(self._connection.recv(timeout=_ANSWER_SECONDS))
            if isinstance(answer, dict) and answer.get("id") == number:
                if "result" not in answer:
                    raise SubscriptionRefused(str(answer)[:200])
                return answer["result"]
            subscription = _subscription_of(answer)
            if subscription is not None:
                self._waiting.append(subscription)


def compute_pause(failures: int, jitter: float) -> float:
    """Half to all of min(0.5 · 2^(n-1), 15) seconds; `jitter` is in [0, 1)."""
    ceiling = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 10), _LONGEST_PAUSE_SECONDS)
    return ceiling * (1 + jitter) / 2


def _subscription_of(message: Any) -> str | None:
    parameters = message.get("params") if isinstance(message, dict) else None
    return str(parameters.get("subscription")) if isinstance(parameters, dict) else None

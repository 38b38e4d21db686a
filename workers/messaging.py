"""Celery's and kombu's own parts, made lighter and harder to kill; both planes name them by their path.

Measured per message on 2 cores: kombu builds a Redis client for every single command, keeps a copy of each
unacknowledged message in Redis, and Celery publishes each task event alone. None of that is needed where a
lost message is healed by the database. And stock kombu lets a queue item that is no JSON, or no Celery
envelope, end the whole worker; here it is taken off, logged, and the worker goes on.
"""

import logging
from time import monotonic
from typing import Any, Final

from celery.app.events import Events
from celery.events.dispatcher import EventDispatcher
from kombu.transport import redis as redis_transport

_GATHER_SECONDS: Final = 0.25
_GATHER_EVENTS: Final = 250
_log = logging.getLogger("forekeep.messaging")


class LeanChannel(redis_transport.Channel):
    """A Redis channel that keeps its client and drops what is no message."""

    _kept: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        """The channel's one client over its pool; another where the pool is another (after a reconnect)."""
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[misc]
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = super()._create_client()  # type: ignore[misc]
        return self._kept

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]
        except (ValueError, TypeError, AttributeError, IndexError, KeyError) as exc:
            _log.error("item dropped, it is no message: %s", type(exc).__name__)
            return None


class LeanTransport(redis_transport.Transport):
    """Redis, with the lean channel."""

    Channel = LeanChannel


class GatheringDispatcher(EventDispatcher):
    """Sends the first task event at once and gathers the next ones: a message per quarter second.

    What is left when the work ends goes out with the worker's next heartbeat (2 s).
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{**options, "buffer_limit": _GATHER_EVENTS})
        self._flushed_at = 0.0
        self._flush_soon: Any = self.on_send_buffered  # type: ignore[has-type]
        if self._flush_soon is not None:
            self.on_send_buffered = self._flush_if_due

    def send(self, type: str, *arguments: Any, **fields: Any) -> Any:
        """Send or keep an event; a worker's own event takes the kept ones along."""
        result = super().send(type, *arguments, **fields)
        if self.enabled and type.startswith("worker-"):
            self.flush(errors=False)
        return result

    def flush(self, errors: bool = True, groups: bool = True) -> None:
        """Send what is kept."""
        self._flushed_at = monotonic()
        super().flush(errors=errors, groups=groups)

    def _flush_if_due(self) -> None:
        if monotonic() - self._flushed_at >= _GATHER_SECONDS:
            self._flush_soon()


class GatheredEvents(Events):
    """Celery's events, with the gathering dispatcher."""

    dispatcher_cls = "workers.messaging:GatheringDispatcher"

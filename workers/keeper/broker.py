"""The node's side of the broker: how it is reached, and the sender.

What the node sends goes straight to the control plane's `intake` queue, declared by its owner.
"""

import logging
from collections.abc import Sequence
from typing import Any, Final
from uuid import uuid4

from celery import Celery
from kombu import Connection, Queue
from kombu.exceptions import EncodeError

from apps.kernel.trace import new_trace
from workers.keeper.outbox import Item, Unsendable

INTAKE_QUEUE: Final = "intake"
_log = logging.getLogger("forekeep.keeper.broker")


def broker_options(url: str) -> dict[str, Any]:
    """Celery settings of a broker: its transport, and how a lost connection is noticed."""
    if url.startswith(("amqp", "amqps")):
        return {"broker_url": url, "broker_heartbeat": 30}
    return {
        "broker_url": url,
        "broker_transport": "workers.messaging:LeanTransport",
        "broker_heartbeat": 0,
        "broker_transport_options": redis_options(),
    }


def redis_options() -> dict[str, Any]:
    """Options of the Redis connection; a message that is lost with its node is offered again."""
    return {
        "ack_emulation": False,
        "socket_keepalive": True,
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        "retry_on_timeout": True,
        "health_check_interval": 25,
    }


class IntakeSender:
    """Sends items to the control plane over a connection of its own; used by one thread only."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connection: Connection | None = None
        self._producer: Any = None
        self._queue = Queue(INTAKE_QUEUE)

    def __call__(self, kind: str, items: Sequence[Item]) -> None:
        """Send one message; raises while the broker is away, Unsendable for what has no JSON form."""
        name = f"workers.intake.{kind}"
        message = self._app.amqp.as_task_v2(
            str(uuid4()), name, kwargs={"items": list(items)}, argsrepr="()", kwargsrepr=f"{len(items)} items"
        )
        try:
            self._app.amqp.send_task_message(
                self._open(),
                name,
                message,
                queue=self._queue,
                declare=[],
                retry=False,
                serializer="json",
                headers={"traceparent": new_trace().traceparent},
            )
        except EncodeError as exc:
            raise Unsendable(str(exc)[:200]) from None
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """Drop the connection; the next message opens another."""
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            try:
                connection.release()
            except Exception as exc:
                _log.debug("connection not released", extra={"facts": {"reason": type(exc).__name__}})

    def _open(self) -> Any:
        if self._producer is None:
            options = dict(self._app.conf.broker_transport_options or {})
            connection = self._app.connection_for_write(
                connect_timeout=5,
                transport_options={**options, "max_retries": 1, "interval_start": 0, "interval_step": 0},
            )
            self._connection = connection
            self._producer = self._app.amqp.Producer(connection, auto_declare=False)
        return self._producer

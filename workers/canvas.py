"""From what a stage decided to messages on keeper queues, sent after commit.

Each task goes to its keeper as one message of its own; a keeper's queue bears its address. A message
that is lost is offered again by the sweep, one that arrives twice is answered with the same receipt.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from kombu.exceptions import OperationalError
from redis import RedisError

from apps.kernel.outcome import Message
from apps.kernel.trace import trace_of
from project.celery import app, sending_together

_log = structlog.get_logger("forekeep.canvas")


def keeper_queue(address: str) -> str:
    """The queue a keeper listens on."""
    return f"keeper.{address}"


def send(messages: Sequence[Message]) -> None:
    """Send the messages together; a broker that is away is the sweep's business."""
    if not messages:
        return
    try:
        with sending_together() as producer:
            for message in messages:
                app.send_task(
                    message.task,
                    kwargs=dict(message.body),
                    queue=keeper_queue(message.keeper),
                    declare=[],
                    argsrepr="()",
                    kwargsrepr=_shown(message.body),
                    producer=producer,
                    headers={"traceparent": trace_of(message.trace_id).traceparent},
                )
    except (OperationalError, RedisError, OSError) as exc:
        _log.warning("messages not sent", count=len(messages), error=str(exc))


def _shown(body: Mapping[str, Any]) -> str:
    """What Flower shows of a body: whose it is, never what is in it (and no time spent on its repr)."""
    return ", ".join(f"{name} {part.get('task') or part.get('round')}" for name, part in body.items())

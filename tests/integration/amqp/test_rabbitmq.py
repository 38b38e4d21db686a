"""RabbitMQ smoke: the control plane's Celery app over AMQP, with a real worker and a real broker.

Runs where AMQP_URL is given (`make test` sees to it); everything else about stages is broker-neutral.
"""

import dataclasses
import os
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from celery.contrib.testing.worker import start_worker
from django.conf import settings
from kombu import Queue

from apps.kernel.trace import Trace, current_trace, new_trace, set_current_trace
from project.celery import build_app

_NOTE = "forekeep.tests.note"

pytestmark = pytest.mark.skipif(not os.environ.get("AMQP_URL"), reason="no AMQP_URL is given")


COUNT = 200


class Seen:
    """What the worker's task was called with, and in which trace."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, Trace]] = []
        self.is_complete = threading.Event()

    def note(self, value: int) -> None:
        self.calls.append((value, current_trace()))
        if len(self.calls) == COUNT:
            self.is_complete.set()


@pytest.fixture
def app() -> Iterator[Any]:
    queue = f"forekeep-smoke-{uuid.uuid4().hex}"
    app: Any = build_app(dataclasses.replace(settings.FOREKEEP.broker, amqp_url=os.environ["AMQP_URL"]))
    app.conf.task_queues = (Queue(queue, auto_delete=True),)
    app.conf.task_default_queue = queue
    app.conf.worker_send_task_events = False
    app.conf.task_send_sent_event = False
    app.conf.broker_heartbeat = 0
    yield app
    with app.connection_for_write() as connection:
        connection.default_channel.queue_delete(queue)
    app.close()


@pytest.fixture
def seen(app: Any) -> Seen:
    found = Seen()

    @app.task(name=_NOTE, shared=False)
    def note(*, value: int) -> None:
        found.note(value)

    return found


def test_messages_sent_over_rabbitmq_all_arrive_and_carry_the_senders_trace(app: Any, seen: Seen) -> None:
    trace = new_trace()
    set_current_trace(trace)

    with start_worker(app, perform_ping_check=False, shutdown_timeout=20):
        _send(app)
        assert seen.is_complete.wait(20)

    assert sorted(value for value, _ in seen.calls) == list(range(COUNT))
    assert {found.trace_id for _, found in seen.calls} == {trace.trace_id}


def test_messages_sent_while_no_worker_is_up_are_kept_by_rabbitmq(app: Any, seen: Seen) -> None:
    _send(app)

    with start_worker(app, perform_ping_check=False, shutdown_timeout=20):
        assert seen.is_complete.wait(20)

    assert len(seen.calls) == COUNT


def _send(app: Any) -> None:
    for value in range(COUNT):
        app.tasks[_NOTE].apply_async(kwargs={"value": value})

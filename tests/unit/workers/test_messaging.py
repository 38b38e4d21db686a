"""Celery's parts as the two planes use them."""

from typing import Any

import pytest
from celery import Celery

from workers import messaging
from workers.messaging import GatheringDispatcher


class Producer:
    """Keeps what would be sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def publish(self, event: Any, **options: Any) -> None:
        """A list is a message of many events."""
        self.sent.append([one["type"] for one in event] if isinstance(event, list) else event["type"])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be moved on."""
    now = [1_000.0]
    monkeypatch.setattr(messaging, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def dispatcher(clock: list[float]) -> Any:
    """A dispatcher as a worker builds it, whose loop flushes when it is asked to."""

    def flush() -> None:
        made.flush()

    app = Celery("test", broker="memory://", set_as_current=False, events="workers.messaging:GatheredEvents")
    made = app.events.Dispatcher(
        app.connection_for_write(),
        enabled=False,
        hostname="w",
        buffer_group=["task"],
        on_send_buffered=flush,
    )
    assert isinstance(made, GatheringDispatcher)
    made.enabled, made.producer = True, Producer()
    return made


def test_the_first_task_event_leaves_at_once_and_the_next_ones_together(dispatcher, clock):
    dispatcher.send("task-received", uuid="1")
    dispatcher.send("task-started", uuid="1")
    dispatcher.send("task-succeeded", uuid="1")
    assert dispatcher.producer.sent == [["task-received"]]
    clock[0] += 0.3
    dispatcher.send("task-received", uuid="2")
    assert dispatcher.producer.sent == [
        ["task-received"],
        ["task-started", "task-succeeded", "task-received"],
    ]


def test_a_heartbeat_takes_along_what_is_kept(dispatcher, clock):
    dispatcher.send("task-received", uuid="1")
    dispatcher.send("task-started", uuid="1")
    dispatcher.send("worker-heartbeat", freq=2)
    assert dispatcher.producer.sent == [["task-received"], "worker-heartbeat", ["task-started"]]


def test_a_crowd_of_events_does_not_wait(dispatcher, clock):
    for number in range(600):
        dispatcher.send("task-received", uuid=str(number))
    assert [len(batch) for batch in dispatcher.producer.sent] == [1, 250, 250]


def test_a_channel_keeps_its_client_until_its_pool_is_another(monkeypatch):
    class Client:
        def __init__(self, pool: object) -> None:
            self.connection_pool = pool

    def create(channel: Any, asynchronous: bool = False) -> Client:
        return Client(channel.pool)

    monkeypatch.setattr(messaging.redis_transport.Channel, "_create_client", create)
    channel = messaging.LeanChannel.__new__(messaging.LeanChannel)
    channel._pool = object()
    first = channel._create_client()
    assert channel._create_client() is first
    assert channel._create_client(asynchronous=True) is not first
    channel._pool = object()
    assert channel._create_client() is not first


@pytest.mark.parametrize("error", [ValueError, TypeError, AttributeError, IndexError, KeyError])
def test_what_is_no_message_is_dropped_and_nothing_is_raised(error, monkeypatch):
    def read(self: Any, **options: Any) -> None:
        raise error("not an envelope")

    monkeypatch.setattr(messaging.redis_transport.Channel, "_brpop_read", read)
    channel = messaging.LeanChannel.__new__(messaging.LeanChannel)
    assert channel._brpop_read() is None

"""Real pollers: killed, doubled, replaced by beat; over HTTP, a stream and a contract."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from websockets.sync.server import serve

from apps.jobs.models import Firing
from apps.watching.models import ConditionState
from scheduling.conditions import poll as poll_by_beat
from tests.support.processes import Process, is_led_by, kill, starting
from tests.support.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def start_poller(redis_url: str, tmp_path: Path) -> Iterator[Callable[[], Process]]:
    """Starts one more poller; all are killed after the test."""
    values = {"FOREKEEP_EGRESS_ALLOW": "127.0.0.0/8"}
    with starting("workers.poller", redis_url=redis_url, home=tmp_path, values=values) as start:
        yield start


def wait_for(condition: Callable[[], object]) -> None:
    wait_until(condition, timeout_seconds=60.0, every_seconds=0.1)


def fired(job: Any) -> int:
    return Firing.objects.filter(job=job).count()


def test_a_poller_killed_with_9_is_replaced_and_nothing_fires_twice(source, watch, start_poller):
    job = watch(source.set("/p", {"data": {"price": 101}}))
    first, second = start_poller(), start_poller()
    wait_for(lambda: fired(job) == 1)
    leader, other = (first, second) if is_led_by(first) else (second, first)
    assert not is_led_by(other)
    kill(leader)
    wait_for(lambda: is_led_by(other))
    asked = source.count("/p")
    wait_for(lambda: source.count("/p") > asked + 1)
    assert fired(job) == 1
    source.set("/p", {"data": {"price": 1}})
    wait_for(lambda: not ConditionState.objects.get(pk=job.pk).is_met)
    source.set("/p", {"data": {"price": 102}})
    wait_for(lambda: fired(job) == 2)


def test_a_poller_takes_over_jobs_that_come_while_it_runs(source, watch, start_poller):
    start_poller()
    early = watch(source.set("/p", {"data": {"price": 101}}))
    wait_for(lambda: fired(early) == 1)
    late = watch(source.url + "/p", "50")
    wait_for(lambda: fired(late) == 1)
    assert fired(early) == 1


def test_a_source_that_hangs_holds_up_nobody(source, watch, start_poller):
    with hanging() as url:
        stuck = watch(url)
        other = watch(source.set("/p", {"data": {"price": 101}}))
        start_poller()
        wait_for(lambda: fired(other) == 1)
        assert fired(stuck) == 0


def test_every_message_of_a_stream_counts_and_a_broken_stream_is_taken_up_again(source, watch, start_poller):
    with streaming() as stream:
        condition = {
            "sources": {"ticker": {"kind": "websocket", "url": stream.url, "subscribe": {"op": "go"}}},
            "when": {"route": "p", "is": "less_than", "value": "0"},
        }
        job = watch(condition=condition)
        start_poller()
        wait_for(lambda: stream.heard == [{"op": "go"}])
        stream.say({"p": "1"})
        stream.say({"p": "-0.5"})
        wait_for(lambda: fired(job) == 1)
        stream.say({"p": "3"})
        wait_for(lambda: not ConditionState.objects.get(pk=job.pk).is_met)
        stream.hang_up()
        wait_for(lambda: len(stream.heard) == 2)
        stream.say({"p": "-1"})
        wait_for(lambda: fired(job) == 2)


def test_beat_alone_polls_while_nobody_else_does(source, watch):
    job = watch(source.set("/p", {"data": {"price": 101}}))

    def beat() -> None:
        try:
            poll_by_beat.run()
        finally:
            connections.close_all()

    thread = threading.Thread(target=beat)
    thread.start()
    thread.join(30)
    assert fired(job) == 1


class Stream:
    """A WebSocket server that says what the test says."""

    def __init__(self) -> None:
        self.url = ""
        self.heard: list[Any] = []
        self._connections: list[Any] = []

    def say(self, document: Any) -> None:
        """One message to whoever listens now."""
        self._connections[-1].send(json.dumps(document))

    def hang_up(self) -> None:
        """End the connection."""
        self._connections[-1].close()

    def answer(self, connection: Any) -> None:
        """One connection, until it ends."""
        self._connections.append(connection)
        for text in connection:
            self.heard.append(json.loads(text))


@contextmanager
def streaming() -> Iterator[Stream]:
    """A stream on loopback."""
    stream = Stream()
    with serve(stream.answer, "127.0.0.1", 0) as server:
        stream.url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield stream
        server.shutdown()
        thread.join()


@contextmanager
def hanging() -> Iterator[str]:
    """A server whose connections are taken by the system and answered by nobody."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/p"

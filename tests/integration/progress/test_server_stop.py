"""A real server with open streams stops at once, and leaves them whole."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse

import pytest
from django.conf import settings
from django.db import connection

from tests.factories.accounts import make_key
from tests.support.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def database_url() -> str:
    given = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{given['NAME']}"
    login = f"{given['USER']}:{given['PASSWORD']}"
    return f"postgres://{login}@{given['HOST'] or 'localhost'}:{given['PORT'] or 5432}/{given['NAME']}"


@pytest.fixture
def web() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The Procfile's web process over the test's database, patient enough to show who ends the streams."""
    port = free_port()
    command = ("-m", "uvicorn", "project.asgi:application", "--port", str(port), "--log-level", "warning")
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "SECRET_KEY": settings.SECRET_KEY,
        "DATABASE_URL": database_url(),
        "ALLOWED_HOSTS": "127.0.0.1",
    }
    started = subprocess.Popen(
        (sys.executable, *command, "--timeout-graceful-shutdown", "60"), env=environment
    )
    try:
        wait_until(lambda: is_open(port), timeout_seconds=30)
        yield started, port
    finally:
        started.kill()
        started.wait(10)


def is_open(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def open_stream(client: HTTPConnection, secret: str) -> HTTPResponse:
    client.request("GET", "/api/v1/events/stream", headers={"Authorization": f"Bearer {secret}"})
    return client.getresponse()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_ends_open_streams_and_the_server(
    number: signal.Signals, web: tuple[subprocess.Popen[bytes], int], project
):
    process, port = web
    secret = make_key(project).secret
    with contextlib.ExitStack() as clients:
        connected = [HTTPConnection("127.0.0.1", port, timeout=10) for _ in range(3)]
        for client in connected:
            clients.enter_context(closing(client))
        streams = [open_stream(client, secret) for client in connected]
        assert [stream.readline() for stream in streams] == [b"retry: 1000\n"] * 3

        asked = time.monotonic()
        process.send_signal(number)
        rest = [stream.read() for stream in streams]
        process.wait(10)

    assert time.monotonic() - asked < 8
    assert rest == [b"\n"] * 3

"""What every test has: its own database, a private Redis per test process, no stray sockets.

Unit tests open no socket; everything else talks to loopback only.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import hypothesis
import pytest
import pytest_socket
import redis
import structlog
from django.conf import settings
from rest_framework.test import APIClient

from apps.accounts.data import IssuedKey
from apps.accounts.models import Project
from apps.eventlog.domain.actor import set_current_actor
from apps.kernel.trace import set_current_trace
from project.embedded.redis import start_private_redis
from tests.factories.accounts import make_key, make_project
from tests.support import append_only

# A busy machine makes a slow example, not a wrong one.
hypothesis.settings.register_profile("forekeep", deadline=None)
hypothesis.settings.load_profile("forekeep")

_TESTS = Path(__file__).parent

append_only.install()

#: importing py_ecc (the oracle of the BLS tests) raises the limit so far that deep input ends the process
_RECURSION_LIMIT = sys.getrecursionlimit()


@pytest.fixture(autouse=True)
def _recursion_limit() -> None:
    sys.setrecursionlimit(_RECURSION_LIMIT)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Close the network for unit tests, keep it on loopback for the others."""
    if item.path.is_relative_to(_TESTS / "unit"):
        pytest_socket.disable_socket(allow_unix_socket=True)
    else:
        pytest_socket.enable_socket()
        pytest_socket.socket_allow_hosts(["127.0.0.1", "localhost", "::1"], allow_unix_socket=True)


@pytest.fixture(autouse=True)
def _nobody_is_at_work() -> Iterator[None]:
    """Each test starts without a trace, an actor or log facts of the one before."""
    yield
    set_current_trace(None)
    set_current_actor()
    structlog.contextvars.clear_contextvars()


@pytest.fixture(scope="session")
def _redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    url = settings.FOREKEEP.broker.redis_url
    if settings.IS_REDIS_GIVEN:
        yield url
        return
    server = start_private_redis(tmp_path_factory.mktemp("redis"), urlsplit(url).port)
    try:
        yield server.url
    finally:
        server.stop()


@pytest.fixture
def redis_url(_redis_server: str) -> str:
    """The URL of the test process's Redis, emptied before the test."""
    with redis.Redis.from_url(_redis_server) as client:
        client.flushdb()
    return _redis_server


@pytest.fixture
def project(db: None) -> Project:
    """A project with an owner."""
    return make_project()


@pytest.fixture
def api_key(project: Project) -> IssuedKey:
    """A key of `project` with every scope a project's key can hold."""
    return make_key(project)


@pytest.fixture
def api_client(api_key: IssuedKey) -> APIClient:
    """A REST client that sends `api_key`; JSON by default."""
    client = APIClient()
    client.default_format = "json"
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {api_key.secret}")
    return client

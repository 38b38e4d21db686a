"""A node of the test's own whose blocks only the test makes, and settings that name it."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from apps.chains.anvil import AnvilProcess
from apps.chains.client import ChainClient
from apps.chains.networks import _open_client, get_networks, open_network_client
from apps.eventlog.selectors import get_database_now
from apps.watching.chains import events_catch_up
from apps.watching.data import CatchUp
from tests.support.chain import find_free_port
from tests.support.emitting import Emitter


@pytest.fixture
def node(tmp_path: Path, settings: Settings) -> Iterator[AnvilProcess]:
    """A node on chain 31337 that rests unless asked."""
    with AnvilProcess(tmp_path / "node", find_free_port(), block_time_seconds=3_600) as started:
        triggers = dataclasses.replace(
            settings.FOREKEEP.triggers, chain_urls=(f"31337=ws://127.0.0.1:{started.port}",)
        )
        settings.FOREKEEP = dataclasses.replace(settings.FOREKEEP, triggers=triggers)
        yield started
        for network in get_networks().values():
            open_network_client(network).close()
        _open_client.cache_clear()


@pytest.fixture
def emitter(node: AnvilProcess) -> Emitter:
    """The contract that logs what it is called with."""
    return Emitter(node)


@pytest.fixture
def client(node: AnvilProcess) -> Iterator[ChainClient]:
    """A client of the node."""
    opened = ChainClient(node.url)
    yield opened
    opened.close()


@pytest.fixture
def catch_up(client: ChainClient) -> Callable[[], CatchUp]:
    """One pass."""
    return lambda: events_catch_up(31337, client, now=get_database_now())

"""A real node for every test of the chains app."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from apps.chains.anvil import AnvilProcess
from apps.chains.client import ChainClient
from tests.support.chain import (
    BLOCK_SECONDS,
    DeployedChain,
    anvil,
    chain,
    close_clients,
    deploy_on,
    deployed,
    find_free_port,
    point_settings_at,
)

__all__ = ["anvil", "chain", "deployed"]


@pytest.fixture
def connect() -> Iterator[Callable[[type[ChainClient], str], Any]]:
    """Open clients of any kind; all are closed after the test."""
    opened: list[ChainClient] = []

    def open_one(kind: type[ChainClient], url: str) -> ChainClient:
        opened.append(kind(url))
        return opened[-1]

    yield open_one
    for client in opened:
        client.close()


@pytest.fixture
def own_chain(tmp_path: Path, settings: Settings) -> Iterator[DeployedChain]:
    """A node of the test's own, to be killed, restored and reorganised."""
    with AnvilProcess(tmp_path / "state", find_free_port(), BLOCK_SECONDS, save_every_seconds=0.0) as node:
        target = deploy_on(node, tmp_path)
        point_settings_at(settings, target)
        yield target
        close_clients()
        target.client.close()

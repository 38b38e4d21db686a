"""A real node for every test of the chains app."""

import dataclasses
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
def home(tmp_path: Path, settings: Settings) -> Iterator[Path]:
    """A fresh home with a node that has nothing on it."""
    with AnvilProcess(tmp_path / "chain", find_free_port(), BLOCK_SECONDS) as node:
        tree = settings.FOREKEEP
        chain = dataclasses.replace(
            tree.chain,
            rpc_url=node.url,
            deployment_file=tmp_path / "deployment.json",
            dispatcher_key_file=tmp_path / "keys" / "dispatcher.json",
            submitter_key_files=tuple(tmp_path / "keys" / f"submitter-{n}.json" for n in (1, 2)),
        )
        proofs = dataclasses.replace(
            tree.proofs, is_required=True, sizes=("16",), keys_folder=tmp_path / "proofs"
        )
        settings.FOREKEEP = dataclasses.replace(tree, home=tmp_path, chain=chain, proofs=proofs)
        yield tmp_path
        close_clients()


@pytest.fixture
def own_chain(tmp_path: Path, settings: Settings) -> Iterator[DeployedChain]:
    """A node of the test's own, to be killed, restored and reorganised."""
    with AnvilProcess(tmp_path / "state", find_free_port(), BLOCK_SECONDS, save_every_seconds=0.0) as node:
        target = deploy_on(node, tmp_path)
        point_settings_at(settings, target)
        yield target
        close_clients()
        target.client.close()

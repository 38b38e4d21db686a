"""A funded project, five keepers and their nodes, over a deployment that needs no chain."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.accounts.models import Project
from apps.content.store import ContentStore, open_store
from apps.execution.dispatcher import get_dispatcher_key
from apps.jobs.data import Bounds, definition_from_json
from apps.jobs.models import Job
from apps.jobs.services import job_create
from apps.ledger.domain.postings import deposit_project
from apps.ledger.services import transactions_post
from apps.progress.invariants import find_violations
from tests.integration.chains.conftest import own_chain
from tests.support.chain import DeployedChain, anvil, chain, deployed
from tests.support.hub import FakeHub
from tests.support.network import (
    Network,
    deployment_without_chain,
    identity_of,
    make_identity,
    make_network,
)

__all__ = ["anvil", "chain", "deployed", "own_chain"]

DEPOSIT_UNITS = 10**12
COST_UNITS = 10**7


@pytest.fixture
def _deployment() -> Iterator[None]:
    """Files that name a hub and hold the dispatcher's key."""
    with deployment_without_chain():
        yield


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    """A content store on disk."""
    return open_store(f"file://{tmp_path}/content")


@pytest.fixture
def network(_deployment: None, db: None, store: ContentStore, tmp_path: Path) -> Iterator[Network]:
    """Five keepers; the ledger's invariants hold when the test is over."""
    made = make_network([make_identity(n) for n in range(1, 6)], store=store, folder=tmp_path)
    yield made
    made.close()
    assert made.is_tampered or find_violations() == []


@pytest.fixture
def hub(network: Network, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """A hub in memory for the settlements of `network`."""
    return FakeHub().install(monkeypatch)


@pytest.fixture
def chain_network(chain: DeployedChain, db: None, store: ContentStore, tmp_path: Path) -> Iterator[Network]:
    """The keepers registered on the real chain, over its deployment."""
    yield from network_on(chain, store, tmp_path)


@pytest.fixture
def own_network(own_chain: DeployedChain, db: None, store: ContentStore, tmp_path: Path) -> Iterator[Network]:
    """The same over a chain of the test's own, to be reorganised."""
    yield from network_on(own_chain, store, tmp_path)


def network_on(chain: DeployedChain, store: ContentStore, folder: Path) -> Iterator[Network]:
    """A network whose keepers and hub are a chain's."""
    get_dispatcher_key.cache_clear()
    chain.prepare_senders()
    identities = [identity_of(keys) for keys in chain.keepers]
    made = make_network(identities, store=store, folder=folder, rpc_url=chain.node.url)
    yield made
    made.close()
    assert made.is_tampered or find_violations() == []
    get_dispatcher_key.cache_clear()


@pytest.fixture
def funded(project: Project) -> Project:
    """A project with money."""
    transactions_post([deposit_project(project.id, DEPOSIT_UNITS, "test:0x00:0")])
    return project


@pytest.fixture
def make_job(funded: Project, store: ContentStore) -> Callable[..., Job]:
    """Jobs of the funded project from (key, parents, further fields); without steps, one called main."""

    def make(*steps: tuple[str, list[str]] | tuple[str, list[str], dict[str, Any]], **fields: Any) -> Job:
        bodies = [
            {"key": key, "parents": above, "script_source": "print({})", "params": key, **dict(*more)}
            for key, above, *more in (steps or (("main", []),))
        ]
        body = {"name": "job", "trigger_kind": "manual", "steps": bodies, **fields}
        job = job_create(project_id=funded.id, definition=definition_from_json(body, Bounds()), store=store)
        Job.objects.filter(pk=job.pk).update(estimated_cost_units=COST_UNITS)
        return Job.objects.get(pk=job.pk)

    return make


@pytest.fixture
def one_attempt(settings: Any) -> None:
    """The first failed attempt of a task is its last."""
    execution = dataclasses.replace(settings.FOREKEEP.execution, max_attempts=1)
    settings.FOREKEEP = dataclasses.replace(settings.FOREKEEP, execution=execution)

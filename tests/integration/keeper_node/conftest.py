"""Real surroundings for real nodes."""

from collections.abc import Iterator

import pytest

from tests.factories.nodes import close_nodes
from tests.integration.keeper_node.surroundings import Surroundings


@pytest.fixture
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surroundings]:
    """Redis, control plane and content of one test."""
    surroundings = Surroundings(tmp_path_factory.mktemp("around"))
    try:
        yield surroundings
    finally:
        surroundings.close()


@pytest.fixture(autouse=True)
def _closed_nodes() -> Iterator[None]:
    yield
    close_nodes()

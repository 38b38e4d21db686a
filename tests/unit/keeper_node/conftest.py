"""Nodes do not outlive their test."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.factories.nodes import close_nodes, make_node


@pytest.fixture(autouse=True)
def _closed_nodes() -> Iterator[None]:
    yield
    close_nodes()


@pytest.fixture
def node(tmp_path: Path) -> Any:
    """A node with fakes for the outside world."""
    return make_node(tmp_path)

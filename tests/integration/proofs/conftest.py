"""Worlds of attested tasks, held to the invariants of proofs when the test is over."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from apps.proofs.selectors import check
from tests.factories.proofs import ProofWorld


@pytest.fixture
def make_world(db: None) -> Iterator[Callable[..., ProofWorld]]:
    """Worlds by their steps; what must always hold of proofs holds after the test."""
    yield ProofWorld
    assert check() == []


@pytest.fixture
def limit(settings: Any) -> Callable[..., None]:
    """Set other limits of proofs."""

    def change(**fields: Any) -> None:
        proofs = dataclasses.replace(settings.FOREKEEP.proofs, **fields)
        settings.FOREKEEP = dataclasses.replace(settings.FOREKEEP, proofs=proofs)

    return change


@pytest.fixture
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries wait as long as they may, so that a test knows when."""
    monkeypatch.setattr("apps.proofs.services.random.random", lambda: 1.0)

"""After every test of rollbacks the numbered invariants hold."""

from collections.abc import Iterator

import pytest

from apps.eventlog.selectors import chain_verify
from apps.ledger.selectors import check as check_ledger
from apps.rollback.selectors import check
from tests.support.bonds import find_bond_faults


@pytest.fixture(autouse=True)
def _invariants(db: None) -> Iterator[None]:
    yield
    assert check() == []
    assert check_ledger() == []
    assert find_bond_faults() == []
    assert chain_verify() == []

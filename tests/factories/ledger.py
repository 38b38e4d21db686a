"""Money for tests, posted through the services as real deposits are."""

import itertools
from uuid import UUID

from apps.ledger.domain.postings import deposit_keeper_stake, deposit_project
from apps.ledger.services import transactions_post

_numbers = itertools.count(1)


def fund_project(project_id: UUID, amount_units: int) -> None:
    """Give a project something to spend."""
    transactions_post([deposit_project(project_id, amount_units, f"test:{next(_numbers)}")])


def fund_keeper(address: str, amount_units: int) -> None:
    """Give a keeper free stake."""
    transactions_post([deposit_keeper_stake(address, amount_units, f"test:{next(_numbers)}")])

"""Real parallel transactions: nothing is lost, nothing deadlocks, a reference is posted once."""

import random
import threading
from collections.abc import Callable
from functools import partial
from uuid import UUID

import pytest
from django.db import connection

from apps.kernel.ids import new_id
from apps.ledger.domain.postings import (
    DEPOSITS,
    FEES,
    deposit_keeper_stake,
    deposit_project,
    escrow_hold,
    escrow_settle,
    keeper_free,
)
from apps.ledger.errors import InsufficientFunds
from apps.ledger.models import Account, Transaction
from apps.ledger.selectors import check, get_balances, get_project_balances
from apps.ledger.services import transactions_post
from tests.factories.ledger import fund_project

pytestmark = pytest.mark.django_db(transaction=True)

PROJECT = UUID(int=1)
KEEPERS = tuple(f"0x{number:040x}" for number in range(1, 9))


def in_parallel(works: list[Callable[[], None]]) -> None:
    """Run all of them at once, each over its own connection; fail on any exception."""
    gate = threading.Barrier(len(works))
    failures: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            gate.wait(30)
            work()
        except BaseException as exc:
            failures.append(exc)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert not failures, failures


def test_settlements_in_parallel_lose_no_unit_and_do_not_deadlock():
    threads, rounds, size = 6, 8, 10
    fund_project(PROJECT, threads * rounds * size * 10)
    transactions_post([escrow_hold(PROJECT, new_id(), threads * rounds * size * 10)])

    def settle(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(rounds):
            chosen = [dice.sample(KEEPERS, 2) for _ in range(size)]
            transactions_post(
                [
                    escrow_settle(
                        PROJECT, new_id(), 10, performer=one, performer_units=6, attester_units={other: 1}
                    )
                    for one, other in chosen
                ]
            )

    in_parallel([partial(settle, seed) for seed in range(threads)])
    settled = threads * rounds * size
    assert get_project_balances(PROJECT) == (0, 0)
    assert get_balances([FEES])[FEES] == settled * 3
    assert sum(get_balances(keeper_free(address) for address in KEEPERS).values()) == settled * 7
    assert Transaction.objects.count() == settled + 2
    assert check() == []


def test_a_reference_posted_by_several_at_once_happens_once():
    counts: list[int] = []
    draft = deposit_project(PROJECT, 7, "31337:0xaa:0")
    in_parallel([lambda: counts.append(transactions_post([draft]))] * 6)
    assert sorted(counts) == [0, 0, 0, 0, 0, 1]
    assert get_balances([DEPOSITS])[DEPOSITS] == -7
    assert check() == []


def test_new_accounts_opened_by_several_at_once_are_opened_once():
    def deposit(seed: int) -> None:
        order = random.Random(seed).sample(KEEPERS, len(KEEPERS))
        transactions_post([deposit_keeper_stake(address, 5, f"{seed}:{address}") for address in order])

    in_parallel([partial(deposit, seed) for seed in range(6)])
    assert Account.objects.count() == len(KEEPERS) + 1
    assert set(get_balances(keeper_free(address) for address in KEEPERS).values()) == {30}
    assert check() == []


def test_a_balance_is_spent_once_however_many_try():
    fund_project(PROJECT, 25)
    outcomes: list[str] = []

    def hold() -> None:
        try:
            transactions_post([escrow_hold(PROJECT, new_id(), 10)])
            outcomes.append("held")
        except InsufficientFunds:
            outcomes.append("refused")

    in_parallel([hold] * 6)
    assert sorted(outcomes) == ["held"] * 2 + ["refused"] * 4
    assert get_project_balances(PROJECT) == (5, 20)
    assert check() == []

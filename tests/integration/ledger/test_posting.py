"""Posting to a real database."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction

from apps.kernel.ids import new_id
from apps.kernel.trace import current_trace
from apps.ledger.data import AccountKey, AccountKind, TransactionDraft
from apps.ledger.domain.postings import (
    DEPOSITS,
    FEES,
    TREASURY,
    deposit_project,
    escrow_hold,
    escrow_release,
    escrow_settle,
    keeper_free,
    project_escrow,
    project_prepaid,
)
from apps.ledger.errors import InsufficientFunds, LedgerImmutable, UnbalancedTransaction
from apps.ledger.models import Account, Posting, Transaction
from apps.ledger.selectors import check, get_balances, get_project_balances, get_statement
from apps.ledger.services import accounts_lock, transactions_post
from tests.factories.ledger import fund_keeper, fund_project
from tests.support.append_only import triggers_lifted

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 20, tzinfo=UTC)
PROJECT = UUID("01932c07-20aa-7123-8abc-0123456789ab")
PERFORMER, ATTESTER = "0x" + "a1" * 20, "0x" + "b2" * 20


@pytest.fixture(autouse=True)
def _invariants():
    yield
    assert check() == []


def settle(task_id: UUID, total: int = 10) -> TransactionDraft:
    return escrow_settle(
        PROJECT, task_id, total, performer=PERFORMER, performer_units=total // 2, attester_units={ATTESTER: 1}
    )


def test_a_task_is_paid_from_deposit_to_keeper():
    run, task = new_id(), new_id()
    assert transactions_post([deposit_project(PROJECT, 100, "31337:0xaa:0")]) == 1
    assert transactions_post([escrow_hold(PROJECT, run, 30)]) == 1
    assert get_project_balances(PROJECT) == (70, 30)
    settled = escrow_settle(
        PROJECT,
        task,
        20,
        performer=PERFORMER,
        performer_units=12,
        attester_units={ATTESTER: 3},
        treasury_units=2,
    )
    assert transactions_post([settled, escrow_release(PROJECT, run, 10)]) == 2
    assert get_project_balances(PROJECT) == (80, 0)
    assert get_balances([DEPOSITS, TREASURY, FEES, keeper_free(PERFORMER), keeper_free(ATTESTER)]) == {
        DEPOSITS: -100,
        TREASURY: 2,
        FEES: 3,
        keeper_free(PERFORMER): 12,
        keeper_free(ATTESTER): 3,
    }


def test_a_transaction_is_recorded_with_its_trace_time_and_memo():
    transactions_post([deposit_project(PROJECT, 100, "31337:0xaa:0")], now=NOW)
    posted = Transaction.objects.get()
    assert (posted.kind, posted.reference) == ("project_deposit", "deposit:31337:0xaa:0")
    assert (posted.created_at, posted.trace_id) == (NOW, current_trace().trace_id)
    assert posted.memo == {"chain_reference": "31337:0xaa:0"}
    assert sum(posting.amount_units for posting in posted.postings.all()) == 0


def test_the_same_reference_again_changes_nothing():
    deposit = deposit_project(PROJECT, 100, "31337:0xaa:0")
    assert transactions_post([deposit, deposit]) == 1
    assert transactions_post([deposit]) == 0
    assert transactions_post([deposit, deposit_project(PROJECT, 1, "31337:0xaa:1")]) == 1
    assert get_project_balances(PROJECT) == (101, 0)
    assert Transaction.objects.count() == 2


def test_a_call_without_funds_for_all_of_it_posts_nothing():
    fund_project(PROJECT, 100)
    drafts = [escrow_hold(PROJECT, new_id(), 60), escrow_hold(PROJECT, new_id(), 60)]
    with pytest.raises(InsufficientFunds) as caught, transaction.atomic():
        transactions_post(drafts)
    assert caught.value.account == f"project_prepaid:{PROJECT.hex}"
    assert (caught.value.balance, caught.value.needed) == (100, 120)
    assert get_project_balances(PROJECT) == (100, 0)
    assert Transaction.objects.count() == 1


def test_a_refusal_leaves_the_callers_transaction_usable():
    fund_project(PROJECT, 100)
    with transaction.atomic():
        with pytest.raises(InsufficientFunds):
            transactions_post([escrow_hold(PROJECT, new_id(), 101)])
        transactions_post([escrow_hold(PROJECT, new_id(), 99)])
    assert get_project_balances(PROJECT) == (1, 99)


def test_what_is_already_posted_does_not_count_against_the_funds():
    fund_project(PROJECT, 100)
    hold = escrow_hold(PROJECT, new_id(), 100)
    transactions_post([hold])
    assert transactions_post([hold]) == 0


def test_an_unbalanced_draft_refuses_the_whole_call():
    wrong = TransactionDraft(
        kind="x", reference="x", postings=((DEPOSITS, -5), (project_prepaid(PROJECT), 4))
    )
    with pytest.raises(UnbalancedTransaction):
        transactions_post([deposit_project(PROJECT, 1, "a"), wrong])
    assert Transaction.objects.count() == 0


def test_nothing_to_post_is_nothing(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert transactions_post([]) == 0


def test_a_batch_of_five_hundred_settlements_is_a_handful_of_statements(django_assert_max_num_queries):
    fund_project(PROJECT, 10_000)
    transactions_post([escrow_hold(PROJECT, new_id(), 10_000)])
    transactions_post([settle(new_id())])
    with django_assert_max_num_queries(6):
        assert transactions_post([settle(new_id()) for _ in range(500)]) == 500
    assert get_balances([keeper_free(PERFORMER)])[keeper_free(PERFORMER)] == 501 * 5


def test_each_posting_knows_the_balance_it_left():
    fund_project(PROJECT, 100)
    transactions_post([escrow_hold(PROJECT, new_id(), 30), escrow_hold(PROJECT, new_id(), 20)])
    lines = [
        (str(line.account.kind), line.amount_units, line.balance_after_units)
        for line in get_statement(PROJECT)
    ]
    assert lines == [
        ("project_escrow", 20, 50),
        ("project_prepaid", -20, 50),
        ("project_escrow", 30, 30),
        ("project_prepaid", -30, 70),
        ("project_prepaid", 100, 100),
    ]


def test_an_account_nobody_used_has_nothing():
    assert get_balances([FEES, project_escrow(PROJECT)]) == {FEES: 0, project_escrow(PROJECT): 0}
    assert get_balances([]) == {}
    assert list(get_statement(PROJECT)) == []


def test_accounts_can_be_locked_and_read_before_deciding():
    fund_keeper(PERFORMER, 5)
    with transaction.atomic():
        assert accounts_lock([keeper_free(PERFORMER), keeper_free(ATTESTER)]) == {
            keeper_free(PERFORMER): 5,
            keeper_free(ATTESTER): 0,
        }


def execute(sql: str, *params: Any) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, params)


@pytest.mark.parametrize("table", ["ledger_transaction", "ledger_posting"])
def test_what_is_posted_cannot_be_changed_or_deleted_by_sql(table):
    fund_project(PROJECT, 5)
    column = "kind" if table == "ledger_transaction" else "amount_units"
    with pytest.raises(IntegrityError, match="only grows"):
        execute(f"UPDATE {table} SET {column} = {column}")
    with pytest.raises(IntegrityError, match="only grows"):
        execute(f"DELETE FROM {table}")


def test_what_is_posted_cannot_be_changed_or_deleted_by_django():
    fund_project(PROJECT, 5)
    for model in (Transaction, Posting):
        with pytest.raises(LedgerImmutable):
            model.objects.all().update(pk=0)
        with pytest.raises(LedgerImmutable):
            model.objects.all().delete()
        with pytest.raises(LedgerImmutable):
            model.objects.all()[0].delete()


@pytest.mark.parametrize(
    ("kind", "owner", "balance"),
    [
        ("treasury", "", -1),
        ("deposits", "", 1),
        ("project_prepaid", PROJECT.hex, -1),
        ("treasury", "somebody", 0),
        ("keeper_free", "", 0),
        ("pocket", "", 0),
    ],
)
def test_the_database_refuses_an_account_that_breaks_a_rule(kind, owner, balance):
    with pytest.raises(IntegrityError):
        execute(
            "INSERT INTO ledger_account (kind, owner, balance_units) VALUES (%s, %s, %s)",
            kind,
            owner,
            balance,
        )


def test_postgresql_refuses_postings_that_do_not_sum_to_zero():
    if connection.vendor != "postgresql":
        assert connection.vendor == "sqlite"  # there the service and check() hold invariant 1
        return
    fund_project(PROJECT, 5)
    posted, account = Transaction.objects.get(), Account.objects.get(kind="deposits")
    other = Account.objects.create(kind="fees")
    with pytest.raises(IntegrityError, match="do not sum to 0"):
        execute(
            "INSERT INTO ledger_posting (transaction_id, account_id, amount_units, balance_after_units)"
            " VALUES (%s, %s, 1, 1)",
            posted.pk,
            other.pk,
        )
    assert account.balance_units == -5


@pytest.mark.django_db
class TestCheck:
    """What the check finds when somebody writes past the services."""

    @pytest.fixture(autouse=True)
    def _invariants(self):
        """These tests break them on purpose."""

    @pytest.fixture(autouse=True)
    def _money(self):
        fund_project(PROJECT, 100)
        transactions_post([escrow_hold(PROJECT, new_id(), 40)])

    def reasons(self) -> list[tuple[int, str, int, int]]:
        return [(fault.invariant, fault.where, fault.expected, fault.found) for fault in check()]

    def test_a_sound_ledger_has_no_fault(self):
        assert check() == []

    def test_a_balance_that_was_written_is_found(self):
        Account.objects.filter(kind="project_escrow").update(balance_units=41)
        assert self.reasons() == [(1, "", 0, 1), (2, f"project_escrow:{PROJECT.hex}", 40, 41)]

    def test_two_balances_that_were_shifted_are_found(self):
        Account.objects.filter(kind="project_escrow").update(balance_units=41)
        Account.objects.filter(kind="project_prepaid").update(balance_units=59)
        assert [fault.invariant for fault in check()] == [2, 2]

    def test_a_posting_that_was_changed_is_found(self):
        with triggers_lifted("ledger_posting"):
            execute("UPDATE ledger_posting SET amount_units = 41 WHERE amount_units = 40")
        reference = Transaction.objects.get(kind="escrow_hold").reference
        assert self.reasons() == [(1, reference, 0, 1), (2, f"project_escrow:{PROJECT.hex}", 41, 40)]

    def test_a_transaction_without_postings_is_found(self):
        Transaction.objects.create(kind="x", reference="empty", created_at=NOW)
        assert self.reasons() == [(1, "empty", 2, 0)]


def test_account_kinds_of_the_design_are_all_there():
    assert {kind.value for kind in AccountKind} == (
        {"deposits", "keeper_free", "keeper_bonded", "treasury", "project_prepaid", "project_escrow"}
        | {"fees", "withdrawn"}
    )
    assert str(AccountKey(kind=AccountKind.FEES)) == "fees"

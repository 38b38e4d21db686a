"""Any interleaving of deposits, holds, settlements, releases and repetitions keeps invariants 1 and 2."""

from uuid import UUID

import pytest
from django.db import transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from apps.kernel.ids import new_id
from apps.ledger.data import AccountKey, AccountKind, TransactionDraft
from apps.ledger.domain.postings import (
    DEPOSITS,
    FEES,
    TREASURY,
    deposit_keeper_stake,
    deposit_project,
    escrow_hold,
    escrow_release,
    escrow_settle,
    keeper_free,
    project_escrow,
    project_prepaid,
)
from apps.ledger.errors import InsufficientFunds
from apps.ledger.models import Account, Posting, Transaction
from apps.ledger.selectors import check, get_balances
from apps.ledger.services import transactions_post

PROJECTS = (UUID(int=1), UUID(int=2))
KEEPERS = tuple(f"0x{number:040x}" for number in range(1, 4))
ACCOUNTS = (
    DEPOSITS,
    TREASURY,
    FEES,
    *(key for project in PROJECTS for key in (project_prepaid(project), project_escrow(project))),
    *(keeper_free(address) for address in KEEPERS),
)

amounts = st.integers(1, 50)
projects = st.sampled_from(PROJECTS)
keepers = st.sampled_from(KEEPERS)


class LedgerMachine(RuleBasedStateMachine):
    """Posts through the service and keeps a plain dictionary of what every balance must be."""

    posted = Bundle("posted")

    @initialize()
    def empty(self) -> None:
        self.balances: dict[AccountKey, int] = dict.fromkeys(ACCOUNTS, 0)
        self.references: set[str] = set()

    def post(self, *drafts: TransactionDraft) -> None:
        fresh = {draft.reference: draft for draft in drafts if draft.reference not in self.references}
        after = dict(self.balances)
        for draft in fresh.values():
            for account, amount in draft.postings:
                after[account] += amount
        is_possible = all(balance >= 0 for account, balance in after.items() if account != DEPOSITS)
        try:
            with transaction.atomic():
                count = transactions_post(drafts)
        except InsufficientFunds:
            assert not is_possible
            return
        assert is_possible
        assert count == len(fresh)
        self.balances = after
        self.references |= fresh.keys()

    @rule(target=posted, project=projects, amount=amounts)
    def deposit(self, project: UUID, amount: int) -> TransactionDraft:
        draft = deposit_project(project, amount, f"test:{new_id().hex}")
        self.post(draft)
        return draft

    @rule(target=posted, keeper=keepers, amount=amounts)
    def stake(self, keeper: str, amount: int) -> TransactionDraft:
        draft = deposit_keeper_stake(keeper, amount, f"test:{new_id().hex}")
        self.post(draft)
        return draft

    @rule(target=posted, project=projects, amount=amounts)
    def hold(self, project: UUID, amount: int) -> TransactionDraft:
        draft = escrow_hold(project, new_id(), amount)
        self.post(draft)
        return draft

    @rule(target=posted, project=projects, amount=amounts)
    def release(self, project: UUID, amount: int) -> TransactionDraft:
        draft = escrow_release(project, new_id(), amount)
        self.post(draft)
        return draft

    @rule(
        target=posted,
        project=projects,
        total=amounts,
        shares=st.tuples(*[st.integers(0, 16)] * 3),
        chosen=st.permutations(KEEPERS),
    )
    def settle(
        self, project: UUID, total: int, shares: tuple[int, int, int], chosen: list[str]
    ) -> TransactionDraft:
        total = max(total, sum(shares))
        draft = escrow_settle(
            project,
            new_id(),
            total,
            performer=chosen[0],
            performer_units=shares[0],
            attester_units={chosen[1]: shares[1]},
            treasury_units=shares[2],
        )
        self.post(draft)
        return draft

    @rule(draft=posted)
    def repeat(self, draft: TransactionDraft) -> None:
        self.post(draft)

    @rule(drafts=st.lists(posted, min_size=1, max_size=4), project=projects, amount=amounts)
    def repeat_with_something_new(self, drafts: list[TransactionDraft], project: UUID, amount: int) -> None:
        self.post(*drafts, escrow_hold(project, new_id(), amount), deposit_project(project, 3, new_id().hex))

    @invariant()
    def balances_are_what_was_posted(self) -> None:
        assert get_balances(ACCOUNTS) == self.balances

    @invariant()
    def nothing_appears_vanishes_or_falls_below_zero(self) -> None:
        assert check() == []
        assert {draft.reference for draft in Transaction.objects.all()} == self.references

    @invariant()
    def the_last_posting_of_an_account_names_its_balance(self) -> None:
        for account in Account.objects.exclude(kind=AccountKind.WITHDRAWN.value):
            last = Posting.objects.filter(account=account).first()
            assert last is None or last.balance_after_units == account.balance_units


@pytest.mark.django_db
def test_random_interleavings_keep_every_unit():
    class Isolated(LedgerMachine):
        """Each example in a transaction of its own, undone at its end."""

        def __init__(self) -> None:
            super().__init__()
            self.savepoint = transaction.savepoint()

        def teardown(self) -> None:
            transaction.savepoint_rollback(self.savepoint)

    run_state_machine_as_test(
        Isolated,
        settings=settings(
            max_examples=30, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )

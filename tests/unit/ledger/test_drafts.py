"""What makes drafts postable, and what they do to balances."""

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.ledger.data import AccountKey, AccountKind, TransactionDraft
from apps.ledger.domain.drafts import REFERENCE_MAX, apply_amounts, compute_amounts, require_postable
from apps.ledger.domain.postings import DEPOSITS, FEES, TREASURY, keeper_free, project_prepaid
from apps.ledger.errors import InsufficientFunds, PostingInvalid, ReferenceRepeated, UnbalancedTransaction

PROJECT = project_prepaid(UUID(int=1))
KEEPER = keeper_free("0x" + "AB" * 20)


def draft(*postings: tuple[AccountKey, int], reference: str = "r") -> TransactionDraft:
    return TransactionDraft(kind="test", reference=reference, postings=postings)


def test_a_balanced_draft_is_postable():
    good = draft((DEPOSITS, -5), (PROJECT, 5))
    assert require_postable([good]) == [good]


def test_postings_that_do_not_sum_to_zero_are_refused():
    with pytest.raises(UnbalancedTransaction) as caught:
        require_postable([draft((DEPOSITS, -5), (PROJECT, 4))])
    assert (caught.value.reference, caught.value.sum) == ("r", -1)


@pytest.mark.parametrize("postings", [(), ((PROJECT, 0), (FEES, 0)), ((PROJECT, 5), (PROJECT, -5))])
def test_a_draft_that_moves_nothing_is_refused(postings):
    with pytest.raises(PostingInvalid):
        require_postable([draft(*postings)])


@pytest.mark.parametrize("reference", ["", "x" * (REFERENCE_MAX + 1)])
def test_a_reference_has_a_length(reference):
    with pytest.raises(PostingInvalid):
        require_postable([draft((DEPOSITS, -5), (PROJECT, 5), reference=reference)])


@pytest.mark.parametrize("amount", [2**62, True, 1.0])
def test_an_amount_is_a_bounded_integer(amount):
    with pytest.raises(PostingInvalid):
        require_postable([draft((DEPOSITS, -amount), (PROJECT, amount))])


@pytest.mark.parametrize(
    "account",
    [
        AccountKey(kind=AccountKind.TREASURY, owner="0x" + "ab" * 20),
        AccountKey(kind=AccountKind.KEEPER_FREE),
        AccountKey(kind=AccountKind.KEEPER_FREE, owner="0x" + "AB" * 20),
        AccountKey(kind=AccountKind.KEEPER_BONDED, owner="00" * 16),
        AccountKey(kind=AccountKind.PROJECT_PREPAID, owner="0x" + "ab" * 20),
        AccountKey(kind=AccountKind.PROJECT_ESCROW, owner=str(UUID(int=1))),
    ],
)
def test_an_account_without_its_owner_is_refused(account):
    with pytest.raises(PostingInvalid):
        require_postable([draft((DEPOSITS, -5), (account, 5))])


def test_the_same_draft_twice_in_one_call_counts_once():
    good = draft((DEPOSITS, -5), (PROJECT, 5))
    assert require_postable([good, good]) == [good]


def test_two_different_drafts_under_one_reference_are_refused():
    with pytest.raises(ReferenceRepeated):
        require_postable([draft((DEPOSITS, -5), (PROJECT, 5)), draft((DEPOSITS, -6), (PROJECT, 6))])


def test_amounts_of_one_account_are_added_up():
    moved = compute_amounts(draft((PROJECT, -5), (KEEPER, 2), (FEES, 1), (KEEPER, 2), (TREASURY, 0)))
    assert moved == {PROJECT: -5, KEEPER: 4, FEES: 1}


def test_a_balance_may_be_spent_to_zero_but_not_below():
    assert apply_amounts({PROJECT: 5, FEES: 0}, [{PROJECT: -5, FEES: 5}]) == {PROJECT: 0, FEES: 5}
    with pytest.raises(InsufficientFunds) as caught:
        apply_amounts({PROJECT: 5, FEES: 0}, [{PROJECT: -3, FEES: 3}, {PROJECT: -3, FEES: 3}])
    assert caught.value.account == str(PROJECT)
    assert (caught.value.balance, caught.value.needed) == (5, 6)


def test_deposits_are_the_one_account_below_zero():
    assert apply_amounts({DEPOSITS: 0, PROJECT: 0}, [{DEPOSITS: -5, PROJECT: 5}])[DEPOSITS] == -5
    with pytest.raises(InsufficientFunds):
        apply_amounts({DEPOSITS: -1, PROJECT: 5}, [{DEPOSITS: 2, PROJECT: -2}])


_accounts = st.sampled_from([DEPOSITS, PROJECT, KEEPER, FEES, TREASURY])


@settings(deadline=None)
@given(st.lists(st.dictionaries(_accounts, st.integers(-100, 100), min_size=1), max_size=8))
def test_whatever_is_applied_the_sum_of_all_balances_does_not_change(amounts):
    balanced = []
    for moved in amounts:
        rest = -sum(amount for account, amount in moved.items() if account is not FEES)
        balanced.append({**moved, FEES: rest})
    before = {DEPOSITS: -4_000, PROJECT: 1_000, KEEPER: 1_000, FEES: 1_000, TREASURY: 1_000}
    try:
        after = apply_amounts(before, balanced)
    except InsufficientFunds:
        return
    assert sum(after.values()) == 0
    assert all(balance >= 0 for account, balance in after.items() if account is not DEPOSITS)

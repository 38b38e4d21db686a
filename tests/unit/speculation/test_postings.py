"""The ways bonds move, as drafts the ledger takes."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.ledger.data import TransactionKind
from apps.ledger.domain.drafts import compute_amounts, require_postable
from apps.ledger.domain.postings import TREASURY, keeper_bonded, keeper_free
from apps.ledger.errors import PostingInvalid, ReferenceRepeated
from apps.speculation.domain.bonds import Shares, compute_shares
from apps.speculation.domain.postings import bond_lock, bond_release, bond_slash, cascade_settle
from apps.speculation.errors import SharesInvalid
from tests.factories.speculation import KEEPERS, A

ONE, TWO, THREE, _ = KEEPERS
ROLLBACK = UUID(int=99)


def test_a_lock_binds_and_a_release_frees():
    lock, release = bond_lock(ONE, A, 3, 10), bond_release(ONE, A, 3, 10)
    assert compute_amounts(lock) == {keeper_free(ONE): -10, keeper_bonded(ONE): 10}
    assert compute_amounts(release) == {keeper_bonded(ONE): -10, keeper_free(ONE): 10}
    assert (lock.kind, release.kind) == (TransactionKind.BOND_LOCK, TransactionKind.BOND_RELEASE)
    assert bond_lock(ONE, A, 4, 10).reference != lock.reference


def test_a_slash_pays_treasury_and_victims_and_gives_the_rest_back():
    shares = compute_shares(100, {TWO: 3, THREE: 1}, slashed_keeper=ONE)
    draft = bond_slash(ONE, A, 3, 1_000, shares, reason="proof_rejected")
    assert compute_amounts(draft) == {
        keeper_bonded(ONE): -1_000,
        keeper_free(ONE): 900,
        TREASURY: 50,
        keeper_free(TWO): 38,
        keeper_free(THREE): 12,
    }
    assert (draft.kind, draft.memo["reason"]) == (TransactionKind.BOND_SLASH, "proof_rejected")


def test_a_slash_of_nothing_is_a_release():
    assert bond_slash(ONE, A, 3, 10, Shares(), reason="manual") == bond_release(ONE, A, 3, 10)


def test_a_bond_ends_once_whatever_the_end():
    shares = Shares(slashed_units=1, treasury_units=1)
    release, slash = bond_release(ONE, A, 3, 10), bond_slash(ONE, A, 3, 10, shares, reason="timeout")
    assert release.reference == slash.reference
    with pytest.raises(ReferenceRepeated):
        require_postable([release, slash])


@pytest.mark.parametrize("units", [0, -1])
def test_a_bond_of_nothing_does_not_move(units):
    for build in (bond_lock, bond_release):
        with pytest.raises(PostingInvalid):
            build(ONE, A, 1, units)


@pytest.mark.parametrize(
    "shares",
    [
        Shares(slashed_units=11, treasury_units=11),
        Shares(slashed_units=4, treasury_units=3),
        Shares(slashed_units=4, treasury_units=5, victims={TWO: -1}),
        Shares(slashed_units=4, treasury_units=2, victims={ONE: 2}),
    ],
)
def test_shares_that_do_not_add_up_are_refused(shares):
    with pytest.raises(SharesInvalid):
        bond_slash(ONE, A, 1, 10, shares, reason="timeout")


def test_the_bonds_of_a_cascade_end_in_one_movement_with_one_posting_per_account():
    shares = compute_shares(10, {TWO: 1}, slashed_keeper=ONE)
    draft = cascade_settle(ROLLBACK, {ONE: 90, TWO: 500}, slashed_keeper=ONE, shares=shares)
    assert draft is not None
    assert compute_amounts(draft) == dict(draft.postings)
    assert compute_amounts(draft) == {
        keeper_bonded(ONE): -100,
        keeper_free(ONE): 90,
        keeper_bonded(TWO): -500,
        keeper_free(TWO): 505,
        TREASURY: 5,
    }
    assert cascade_settle(ROLLBACK, {}) is None


@given(
    st.dictionaries(st.sampled_from(KEEPERS), st.integers(1, 10**9), min_size=1),
    st.integers(0, 10**9),
    st.dictionaries(st.sampled_from(KEEPERS), st.integers(0, 99)),
)
def test_every_movement_of_bonds_balances(released, slashed, wasted):
    shares = compute_shares(slashed, wasted, slashed_keeper=ONE)
    draft = cascade_settle(ROLLBACK, released, slashed_keeper=ONE, shares=shares)
    assert draft is not None
    single = bond_slash(ONE, A, 1, slashed + 5, shares, reason="timeout")
    lock = bond_lock(ONE, A, 1, slashed + 5)
    assert len(require_postable([draft, single, lock])) == 3
    bonded = sum(units for key, units in draft.postings if key.kind == "keeper_bonded")
    assert -bonded == sum(released.values()) + slashed

"""The life of a commitment: opened under bond, fulfilled by its producer, ended once."""

from datetime import timedelta

import pytest

from apps.kernel.transitions import IllegalTransition
from apps.ledger.data import TransactionKind
from apps.speculation.data import COMMITMENT_TABLE, CommitmentStatus, FailureReason
from apps.speculation.domain.bonds import BondTerms, Shares
from apps.speculation.domain.commitments import (
    confirm_commitment,
    fail_commitment,
    fulfil_commitment,
    is_purgeable,
    open_commitment,
    roll_back_commitment,
)
from apps.speculation.errors import BondTooSmall, CommitmentForeign, CommitmentStale, SharesInvalid
from tests.factories.speculation import KEEPERS, NOW, A, B, C

OWN, OTHER = KEEPERS[:2]
SHARES = Shares(slashed_units=200_000, treasury_units=200_000)
REASON = FailureReason.PROOF_REJECTED


def opened(depth=1, bond_units=2_000_000):
    return open_commitment(
        task=B,
        epoch=2,
        run=C,
        producer=OWN,
        depth=depth,
        bond_units=bond_units,
        ancestors=((A, 1),),
        terms=BondTerms(),
        now=NOW,
    )


def fulfilled():
    return fulfil_commitment(opened().commitment, keeper=OWN, epoch=2, result_hash="0xaa").commitment


def test_opening_locks_the_bond():
    moved = opened()
    assert (moved.commitment.status, moved.commitment.ancestors) == (CommitmentStatus.OPEN, ((A, 1),))
    assert moved.draft.kind == TransactionKind.BOND_LOCK


def test_less_than_the_bond_is_refused():
    with pytest.raises(BondTooSmall) as refused:
        opened(bond_units=1_999_999)
    assert (refused.value.required, refused.value.offered) == (2_000_000, 1_999_999)


def test_a_root_may_be_opened_without_a_bond_and_then_nothing_moves():
    root = opened(depth=0, bond_units=0)
    done = fulfil_commitment(root.commitment, keeper=OWN, epoch=2, result_hash="0xaa").commitment
    assert root.draft is None
    assert confirm_commitment(done, now=NOW).draft is None
    assert fail_commitment(done, reason=REASON, shares=Shares(), now=NOW).draft is None


def test_only_its_producer_fulfils_a_commitment():
    with pytest.raises(CommitmentForeign) as refused:
        fulfil_commitment(opened().commitment, keeper=OTHER, epoch=2, result_hash="0xaa")
    assert refused.value.producer == OWN


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_word_about_another_attempt_is_refused(epoch):
    with pytest.raises(CommitmentStale):
        fulfil_commitment(opened().commitment, keeper=OWN, epoch=epoch, result_hash="0xaa")


def test_the_same_result_again_changes_nothing_and_another_one_is_refused():
    commitment = fulfilled()
    again = fulfil_commitment(commitment, keeper=OWN, epoch=2, result_hash="0xaa")
    assert again.commitment is commitment
    with pytest.raises(IllegalTransition):
        fulfil_commitment(commitment, keeper=OWN, epoch=2, result_hash="0xbb")


def test_a_confirmed_commitment_gets_its_bond_back_once():
    moved = confirm_commitment(fulfilled(), now=NOW)
    assert (moved.draft.kind, moved.commitment.ended_at) == (TransactionKind.BOND_RELEASE, NOW)
    again = confirm_commitment(moved.commitment, now=NOW + timedelta(1))
    assert (again.draft, again.commitment) == (None, moved.commitment)
    for undo in (
        lambda: roll_back_commitment(moved.commitment, reason=REASON, now=NOW),
        lambda: fail_commitment(moved.commitment, reason=REASON, shares=SHARES, now=NOW),
    ):
        with pytest.raises(IllegalTransition):
            undo()


def test_nothing_is_confirmed_without_a_result():
    with pytest.raises(IllegalTransition):
        confirm_commitment(opened().commitment, now=NOW)


@pytest.mark.parametrize("commitment", [opened().commitment, fulfilled()])
def test_what_is_rolled_back_gets_its_bond_back_and_keeps_its_first_reason(commitment):
    moved = roll_back_commitment(commitment, reason=FailureReason.ANCESTOR_FAILED, now=NOW)
    assert moved.draft.kind == TransactionKind.BOND_RELEASE
    again = fail_commitment(moved.commitment, reason=REASON, shares=SHARES, now=NOW)
    assert (again.draft, again.commitment.reason) == (None, "ancestor_failed")


@pytest.mark.parametrize("commitment", [opened().commitment, fulfilled()])
def test_what_fails_is_slashed_once(commitment):
    moved = fail_commitment(commitment, reason=REASON, shares=SHARES, now=NOW)
    assert (moved.draft.kind, moved.commitment.reason) == (TransactionKind.BOND_SLASH, "proof_rejected")
    again = roll_back_commitment(moved.commitment, reason=FailureReason.MANUAL, now=NOW)
    assert (again.draft, again.commitment) == (None, moved.commitment)


def test_a_slash_beyond_the_bond_is_refused():
    shares = Shares(slashed_units=2_000_001, treasury_units=2_000_001)
    with pytest.raises(SharesInvalid):
        fail_commitment(fulfilled(), reason=REASON, shares=shares, now=NOW)


def test_an_ended_commitment_is_kept_for_a_day():
    ended = confirm_commitment(fulfilled(), now=NOW).commitment
    assert not is_purgeable(ended, now=NOW + timedelta(hours=23, minutes=59))
    assert is_purgeable(ended, now=NOW + timedelta(hours=24))
    assert not is_purgeable(fulfilled(), now=NOW + timedelta(days=9))


def test_three_states_of_a_commitment_are_endings():
    endings = {status for status in CommitmentStatus if COMMITMENT_TABLE.is_ending(status)}
    assert endings == {CommitmentStatus.CONFIRMED, CommitmentStatus.ROLLED_BACK, CommitmentStatus.FAILED}

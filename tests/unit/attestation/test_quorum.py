"""Rules of agreement (invariants 19 and 20)."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.attestation.data import ItemVerdict, RoundStatus
from apps.attestation.domain.committee import Candidate, compute_required, draw_committee
from apps.attestation.domain.quorum import BallotValue, decide_round, judge_item


def ballots(*verdicts: tuple[bool, ...]) -> list[BallotValue]:
    return [BallotValue(attester=f"0x{index:040x}", verdicts=each) for index, each in enumerate(verdicts)]


def decide(*verdicts: tuple[bool, ...], committee_size: int = 4, is_over: bool = False):
    return decide_round(
        size=len(verdicts[0]) if verdicts else 1,
        committee_size=committee_size,
        required=compute_required(committee_size),
        ballots=ballots(*verdicts),
        is_over=is_over,
    )


@pytest.mark.parametrize(("size", "required"), [(1, 1), (3, 2), (4, 3), (5, 4), (6, 4), (7, 5), (100, 67)])
def test_the_quorum_is_two_thirds_rounded_up(size, required):
    assert compute_required(size) == required


@given(st.integers(1, 1000))
def test_the_quorum_is_the_least_count_that_is_at_least_two_thirds(size):
    required = compute_required(size)
    assert 3 * required >= 2 * size > 3 * (required - 1)


def test_a_quorum_that_agrees_with_everything_makes_the_round_unanimous_and_names_its_signers():
    decision = decide((True, True), (True, True), (True, True))
    assert decision.status is RoundStatus.UNANIMOUS
    assert decision.verdicts == (ItemVerdict.VALID, ItemVerdict.VALID)
    assert decision.signers == tuple(f"0x{index:040x}" for index in range(3))


def test_a_dissenter_beyond_the_quorum_does_not_spoil_a_unanimous_round():
    decision = decide((True,), (False,), (True,), (True,))
    assert decision.status is RoundStatus.UNANIMOUS
    assert len(decision.signers) == 3


def test_a_round_waits_while_its_items_are_undecided_and_ballots_may_come():
    assert decide((True,), (True,)).status is RoundStatus.OPEN


def test_a_quorum_against_an_item_makes_it_invalid_and_the_rest_is_asked_again():
    decision = decide((True, False), (True, False), (True, False))
    assert decision.status is RoundStatus.SPLIT
    assert decision.verdicts == (ItemVerdict.VALID, ItemVerdict.INVALID)
    assert decision.signers == ()


def test_a_tie_is_no_quorum_once_everybody_has_voted():
    decision = decide((True,), (True,), (False,), (False,))
    assert decision.status is RoundStatus.SPLIT
    assert decision.verdicts == (ItemVerdict.NO_QUORUM,)


def test_silence_until_the_end_is_no_quorum():
    decision = decide((True,), (True,), is_over=True)
    assert decision.status is RoundStatus.EXPIRED
    assert decision.verdicts == (ItemVerdict.NO_QUORUM,)


@given(st.lists(st.booleans(), max_size=12), st.integers(4, 12))
def test_an_item_is_never_both_valid_and_invalid_and_needs_a_quorum_for_either(votes, committee_size):
    required = compute_required(committee_size)
    verdict = judge_item(votes[:committee_size], required)
    positive = sum(votes[:committee_size])
    assert (verdict is ItemVerdict.VALID) == (positive >= required)
    if verdict is ItemVerdict.INVALID:
        assert len(votes[:committee_size]) - positive >= required


@given(
    st.integers(1, 4).flatmap(
        lambda size: st.lists(
            st.lists(st.booleans(), min_size=size, max_size=size).map(tuple), min_size=1, max_size=4
        )
    )
)
def test_the_order_in_which_ballots_arrive_decides_nothing(verdicts):
    decisions = {
        decide_round(
            size=len(verdicts[0]),
            committee_size=4,
            required=3,
            ballots=[ballots(*verdicts)[index] for index in order],
            is_over=True,
        )
        for order in itertools.permutations(range(len(verdicts)))
    }
    assert len(decisions) == 1


CANDIDATES = [Candidate(address=f"0x{index:040x}", stake_units=1000 + index) for index in range(8)]


@given(st.binary(min_size=32, max_size=32), st.integers(0, 7), st.integers(1, 8))
def test_a_committee_has_distinct_members_never_the_performer_and_follows_from_the_seed(
    seed, performer, size
):
    excluded = frozenset({CANDIDATES[performer].address})
    drawn = draw_committee(CANDIDATES, seed=seed, size=size, excluded=excluded)
    assert len(drawn) == min(size, 7) == len(set(drawn))
    assert not excluded & set(drawn)
    again = draw_committee(list(reversed(CANDIDATES)), seed=seed, size=size, excluded=excluded)
    assert again == drawn


def test_a_keeper_without_stake_is_never_drawn():
    candidates = [*CANDIDATES[:3], Candidate(address="0xff", stake_units=0)]
    assert "0xff" not in draw_committee(candidates, seed=bytes(32), size=4, excluded=frozenset())


def test_the_chance_to_be_drawn_first_is_the_share_of_the_stake():
    rich = Candidate(address="0x01", stake_units=9_000)
    poor = Candidate(address="0x02", stake_units=1_000)
    first = [
        draw_committee([rich, poor], seed=number.to_bytes(32), size=1, excluded=frozenset())[0]
        for number in range(2_000)
    ]
    assert 1_700 < first.count("0x01") < 1_900

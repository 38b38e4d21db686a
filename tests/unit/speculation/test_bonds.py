"""Bonds, slashes and shares: to the unit, in integers, and nobody but the root pays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.rollback.domain.cascade import plan_cascade
from apps.speculation.data import FailureReason
from apps.speculation.domain.bonds import (
    SLASH_PERCENT,
    BondForm,
    BondTerms,
    compute_bond,
    compute_required_bond,
    compute_shares,
    compute_slash,
)
from apps.speculation.errors import BondTermsInvalid
from tests.factories.speculation import KEEPERS, A, B, C, make_chain, make_state

TERMS = BondTerms()
LINEAR = BondTerms(form=BondForm.LINEAR, base_units=500, step_units=30)


def test_a_bond_doubles_with_every_level():
    assert [compute_bond(depth, TERMS) for depth in range(4)] == [1_000_000, 2_000_000, 4_000_000, 8_000_000]
    assert compute_bond(20, TERMS) == 1_000_000 * 2**20


def test_base_and_growth_are_terms_and_fractions_are_rounded_down():
    terms = BondTerms(base_units=7, growth_percent=150)
    assert [compute_bond(depth, terms) for depth in range(4)] == [7, 10, 15, 23]


def test_the_linear_form_adds_a_step_a_level():
    assert [compute_bond(depth, LINEAR) for depth in (0, 1, 20)] == [500, 530, 1_100]


def test_a_task_at_depth_0_needs_no_bond():
    assert [compute_required_bond(depth, TERMS) for depth in (0, 1)] == [0, 2_000_000]


@pytest.mark.parametrize(
    ("reason", "percent"),
    [
        (FailureReason.PROOF_REJECTED, 10),
        (FailureReason.PROOF_GENERATION_FAILED, 10),
        (FailureReason.TIMEOUT, 5),
        (FailureReason.CLAIM_EXPIRED, 5),
        (FailureReason.ANCESTOR_FAILED, 0),
        (FailureReason.MANUAL, 0),
        (FailureReason.NO_QUORUM, 0),
    ],
)
def test_a_slash_is_its_reasons_percent_of_the_bond(reason, percent):
    assert compute_slash(1_000_000, reason, TERMS) == percent * 10_000
    assert compute_slash(19, reason, TERMS) == 19 * percent // 100


def test_every_reason_has_a_percent():
    assert set(SLASH_PERCENT) == set(FailureReason)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"base_units": 0}, "base_units"),
        ({"growth_percent": 99}, "growth_percent"),
        ({"form": BondForm.LINEAR, "step_units": -1}, "step_units"),
        ({"growth_percent": 1_000}, "form"),
        ({"slash_percent": {**SLASH_PERCENT, FailureReason.TIMEOUT: 101}}, "slash_percent.timeout"),
        ({"slash_percent": {}}, "slash_percent.proof_rejected"),
    ],
)
def test_terms_that_make_no_bonds_are_refused(changed, field):
    with pytest.raises(BondTermsInvalid) as refused:
        BondTerms(**changed)
    assert refused.value.field == field


def test_the_worked_example_of_a_chain_of_three():
    """A 1M, B 2M, C 4M; A's proof is rejected: C, B, A; 100,000 slashed, 6,900,000 back before the shares."""
    bonds = {task: compute_bond(depth, TERMS) for depth, task in enumerate((A, B, C))}
    states = {
        A: make_state(A, "proving", keeper=KEEPERS[0], bond_units=bonds[A], compute_units=9),
        B: make_state(B, "waiting_ancestors", keeper=KEEPERS[1], bond_units=bonds[B], compute_units=2),
        C: make_state(C, "executing", keeper=KEEPERS[2], bond_units=bonds[C], compute_units=1),
    }
    reason = FailureReason.PROOF_REJECTED
    plan = plan_cascade(A, reason, graph=make_chain(A, B, C), states=states, terms=TERMS)
    assert [change.task for change in plan.changes] == [C, B, A]
    assert plan.shares.slashed_units == 100_000
    assert sum(plan.released.values()) == 6_900_000
    assert plan.shares.treasury_units == 50_000
    assert plan.shares.victims == {KEEPERS[1]: 33_333, KEEPERS[2]: 16_667}


def test_the_treasury_takes_the_smaller_half_and_the_remainder_goes_by_fraction_then_keeper():
    shares = compute_shares(101, {"c": 1, "a": 1, "b": 1}, slashed_keeper="z")
    assert (shares.treasury_units, shares.victims) == (50, {"a": 17, "b": 17, "c": 17})
    shares = compute_shares(5, {"b": 1, "a": 1}, slashed_keeper="z")
    assert (shares.treasury_units, shares.victims) == (2, {"a": 2, "b": 1})


@pytest.mark.parametrize("wasted", [{}, {"a": 0}, {"z": 7}])
def test_without_a_victim_all_of_it_is_the_treasurys(wasted):
    shares = compute_shares(9, wasted, slashed_keeper="z")
    assert (shares.treasury_units, shares.victims) == (9, {})


@given(
    st.integers(0, 10**14),
    st.dictionaries(st.sampled_from("abcdefgz"), st.integers(0, 10**6), max_size=8),
)
def test_shares_add_up_to_the_slash_and_follow_the_waste(amount, wasted):
    shares = compute_shares(amount, wasted, slashed_keeper="z")
    assert shares.treasury_units + sum(shares.victims.values()) == amount == shares.slashed_units
    victims = {keeper: units for keeper, units in wasted.items() if units and keeper != "z"}
    assert set(shares.victims) <= set(victims)
    assert shares.treasury_units == (amount // 2 if victims else amount)
    for keeper, units in victims.items():
        exact = (amount - amount // 2) * units / sum(victims.values())
        assert abs(shares.victims.get(keeper, 0) - exact) <= 1 + exact * 1e-9

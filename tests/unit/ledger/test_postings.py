"""The ways money moves, as drafts."""

from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.ledger.domain.drafts import compute_amounts, require_postable
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
from apps.ledger.errors import PostingInvalid

PROJECT, RUN, TASK = UUID(int=1), UUID(int=2), UUID(int=3)
PERFORMER, ATTESTER, OTHER = ("0x" + digit * 40 for digit in "abc")


def test_deposits_come_from_outside():
    project = deposit_project(PROJECT, 7, "31337:0xaa:0")
    assert compute_amounts(project) == {DEPOSITS: -7, project_prepaid(PROJECT): 7}
    keeper = deposit_keeper_stake(PERFORMER.upper().replace("X", "x"), 9, "31337:0xaa:1")
    assert compute_amounts(keeper) == {DEPOSITS: -9, keeper_free(PERFORMER): 9}
    assert project.reference != keeper.reference


def test_escrow_is_held_per_run_and_what_is_left_goes_back():
    hold, release = escrow_hold(PROJECT, RUN, 10), escrow_release(PROJECT, RUN, 4)
    assert compute_amounts(hold) == {project_prepaid(PROJECT): -10, project_escrow(PROJECT): 10}
    assert compute_amounts(release) == {project_escrow(PROJECT): -4, project_prepaid(PROJECT): 4}
    assert escrow_release(PROJECT, RUN, 4, part=TASK.hex).reference != release.reference


def test_a_settled_task_pays_performer_attesters_treasury_and_the_rest_is_the_fee():
    draft = escrow_settle(
        PROJECT,
        TASK,
        100,
        performer=PERFORMER,
        performer_units=60,
        attester_units={ATTESTER: 10, OTHER: 10},
        treasury_units=5,
        run_id=RUN,
    )
    assert compute_amounts(draft) == {
        project_escrow(PROJECT): -100,
        keeper_free(PERFORMER): 60,
        keeper_free(ATTESTER): 10,
        keeper_free(OTHER): 10,
        TREASURY: 5,
        FEES: 15,
    }
    assert draft.memo == {"task_id": TASK.hex, "run_id": RUN.hex}


def test_shares_beyond_the_total_are_refused():
    with pytest.raises(PostingInvalid):
        escrow_settle(PROJECT, TASK, 100, performer=PERFORMER, performer_units=101)
    with pytest.raises(PostingInvalid):
        escrow_settle(PROJECT, TASK, 100, performer=PERFORMER, performer_units=-1)


@pytest.mark.parametrize("amount", [0, -1])
def test_an_amount_that_is_not_above_zero_is_refused(amount):
    with pytest.raises(PostingInvalid):
        escrow_hold(PROJECT, RUN, amount)


@settings(deadline=None)
@given(st.integers(1, 10**18), st.lists(st.integers(0, 10**6), min_size=3, max_size=3))
def test_every_settlement_that_is_built_can_be_posted(total, shares):
    performer_units, attester, treasury = shares
    if sum(shares) > total:
        return
    draft = escrow_settle(
        PROJECT,
        TASK,
        total,
        performer=PERFORMER,
        performer_units=performer_units,
        attester_units={ATTESTER: attester},
        treasury_units=treasury,
    )
    assert require_postable([draft]) == [draft]

"""A stored rollback goes on wherever it was stopped, and a second word about it changes nothing."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.rollback.data import ROLLBACK_TABLE, Rollback, RollbackPhase
from apps.rollback.domain.cascade import CascadePlan, plan_cascade
from apps.rollback.domain.phases import (
    STEPS,
    Signal,
    Step,
    apply_plan,
    finish_step,
    is_holding,
    merge_signal,
)
from apps.speculation.data import FailureReason
from apps.speculation.domain.bonds import BondTerms
from tests.factories.speculation import NOW, A, B, make_chain, make_state

REASON = FailureReason.TIMEOUT
STATES = {A: make_state(A, "executed"), B: make_state(B, "executing")}
PLAN = plan_cascade(A, REASON, graph=make_chain(A, B), states=STATES, terms=BondTerms())
EMPTY = CascadePlan(root=A, reason=REASON)
DETECTED = Rollback(id=UUID(int=1), root=A, epoch=2, reason=REASON, detected_at=NOW)


def at(phase):
    return replace(DETECTED, phase=phase)


def test_a_failure_goes_through_its_six_phases():
    applied = apply_plan(DETECTED, PLAN)
    assert [each.phase for each in applied] == [
        RollbackPhase.INITIATING,
        RollbackPhase.PROPAGATING,
        RollbackPhase.CLEANING,
    ]
    logging = finish_step(applied[-1], Step.CLEAN)
    complete = finish_step(logging, Step.LOG)
    assert (logging.phase, complete.phase) == (RollbackPhase.LOGGING, RollbackPhase.COMPLETE)
    assert (complete.size, complete.reason) == (2, REASON)


def test_a_signal_that_does_not_hold_is_dismissed():
    assert [each.phase for each in apply_plan(DETECTED, EMPTY)] == [RollbackPhase.DISMISSED]


@pytest.mark.parametrize("phase", [RollbackPhase.INITIATING, RollbackPhase.PROPAGATING])
def test_one_found_half_way_is_applied_and_goes_on_also_when_nothing_is_left_to_change(phase):
    for plan in (PLAN, EMPTY):
        assert apply_plan(at(phase), plan)[-1].phase is RollbackPhase.CLEANING


@pytest.mark.parametrize("phase", [p for p in RollbackPhase if STEPS[p] is not Step.APPLY])
def test_a_plan_is_never_applied_twice(phase):
    assert apply_plan(at(phase), PLAN) == ()


@pytest.mark.parametrize("phase", list(RollbackPhase))
@pytest.mark.parametrize("step", list(Step))
def test_a_step_that_is_not_due_changes_nothing(phase, step):
    done = finish_step(at(phase), step)
    is_due = STEPS[phase] is step and step in (Step.CLEAN, Step.LOG)
    assert (done != at(phase)) is is_due


def test_the_first_reason_is_kept():
    second = Signal(reason=FailureReason.PROOF_REJECTED, epoch=2)
    assert merge_signal(None, second) is None
    assert merge_signal(DETECTED, second) is DETECTED
    assert merge_signal(DETECTED, replace(second, epoch=1)) is DETECTED
    assert merge_signal(DETECTED, replace(second, epoch=3)) is None


@pytest.mark.parametrize(
    ("epoch", "status", "holds"),
    [(2, "executing", True), (1, "executing", False), (3, "executing", False), (2, "confirmed", False)]
    + [(2, status, False) for status in ("failed", "rolled_back", "aborted", "cancelled")],
)
def test_a_failure_holds_for_the_current_attempt_while_it_lives(epoch, status, holds):
    """Invariant 12."""
    signal = Signal(reason=REASON, epoch=epoch)
    assert is_holding(signal, make_state(A, status, epoch=2)) is holds


def test_every_phase_but_the_last_two_has_a_step_and_a_way_on():
    endings = {phase for phase in RollbackPhase if ROLLBACK_TABLE.is_ending(phase)}
    assert endings == {RollbackPhase.COMPLETE, RollbackPhase.DISMISSED}
    assert {phase for phase in RollbackPhase if STEPS[phase] is Step.NONE} == endings


@given(st.lists(st.sampled_from(["crash", "go"]), min_size=20, max_size=40))
def test_a_rollback_that_crashes_anywhere_ends_complete_having_been_applied_once(happenings):
    stored, applied, cleaned = DETECTED, 0, 0
    for happening in [*happenings, *["go"] * 3]:
        step = STEPS[stored.phase]
        if step is Step.APPLY:
            after = apply_plan(stored, PLAN)[-1]
            if happening == "go":
                stored, applied = after, applied + 1
        elif step is not Step.NONE:
            cleaned += step is Step.CLEAN
            if happening == "go":
                stored = finish_step(stored, step)
    assert (stored.phase, applied) == (RollbackPhase.COMPLETE, 1)
    assert cleaned >= 1

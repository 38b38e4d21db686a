"""Random lives of stored rollbacks and of the breaker: only listed moves, endings absorb."""

from datetime import timedelta
from itertools import pairwise
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from apps.rollback.data import ROLLBACK_TABLE, Rollback, RollbackPhase
from apps.rollback.domain.cascade import CascadePlan, plan_cascade
from apps.rollback.domain.phases import Signal, Step, apply_plan, finish_step, merge_signal
from apps.speculation.data import FailureReason
from apps.speculation.domain.bonds import BondTerms
from apps.speculation.domain.breaker import (
    BREAKER_TABLE,
    Breaker,
    BreakerStatus,
    BreakerTerms,
    Outcomes,
    advance_breaker,
    is_letting,
)
from tests.factories.speculation import NOW, A, B, make_chain, make_state

STATES = {A: make_state(A, "executed"), B: make_state(B, "executing")}
PLAN = plan_cascade(A, FailureReason.TIMEOUT, graph=make_chain(A, B), states=STATES, terms=BondTerms())
EMPTY = CascadePlan(root=A, reason=FailureReason.TIMEOUT)
TERMS = BreakerTerms()


class RollbackMachine(RuleBasedStateMachine):
    """One rollback, signals about it, and workers that do its steps, some of them twice."""

    def __init__(self):
        super().__init__()
        self.stored = Rollback(id=UUID(int=1), root=A, epoch=1, reason=FailureReason.TIMEOUT, detected_at=NOW)
        self.applied = 0

    def store(self, rollback):
        before, after = self.stored.phase, rollback.phase
        assert before is after or not ROLLBACK_TABLE.is_ending(before)
        self.stored = rollback

    @rule(plan=st.sampled_from([PLAN, EMPTY]))
    def apply(self, plan):
        walked = apply_plan(self.stored, plan)
        phases = [self.stored.phase, *(each.phase for each in walked)]
        assert all(ROLLBACK_TABLE.is_legal(*pair) for pair in pairwise(phases))
        if walked:
            self.applied += walked[-1].phase is RollbackPhase.CLEANING
            self.store(walked[-1])

    @rule(step=st.sampled_from(Step))
    def finish(self, step):
        self.store(finish_step(self.stored, step))

    @rule(reason=st.sampled_from(FailureReason), epoch=st.integers(1, 2))
    def hear_again(self, reason, epoch):
        known = merge_signal(self.stored, Signal(reason=reason, epoch=epoch))
        assert known is (self.stored if epoch == 1 else None)

    @invariant()
    def it_is_applied_at_most_once_and_keeps_its_reason(self):
        assert self.applied <= 1
        assert self.stored.reason is FailureReason.TIMEOUT


class BreakerMachine(RuleBasedStateMachine):
    """A breaker, commitments that end one way or the other, and time."""

    def __init__(self):
        super().__init__()
        self.now = NOW
        self.breaker = Breaker(since=NOW)
        self.outcomes = Outcomes()

    @rule(opened=st.integers(0, 5), undone=st.integers(0, 5), fine=st.integers(0, 30))
    def count(self, opened, undone, fine):
        known = self.outcomes
        self.outcomes = Outcomes(
            opened=known.opened + opened,
            ended=known.ended + undone + fine,
            undone=known.undone + undone,
        )

    @rule(seconds=st.integers(0, 400))
    def advance(self, seconds):
        self.now += timedelta(seconds=seconds)
        after = advance_breaker(self.breaker, self.outcomes, now=self.now, terms=TERMS)
        if after == self.breaker:
            return
        assert BREAKER_TABLE.is_legal(self.breaker.status, after.status)
        if after.status is BreakerStatus.HALF_OPEN:
            assert self.now - self.breaker.since >= timedelta(seconds=300)
        if self.breaker.status is BreakerStatus.HALF_OPEN:
            assert (after.status is BreakerStatus.OPEN) is (self.outcomes.undone > 0)
        self.breaker, self.outcomes = after, Outcomes()

    @invariant()
    def an_open_breaker_lets_nothing_through(self):
        if self.breaker.status is BreakerStatus.OPEN:
            assert not is_letting(self.breaker, self.outcomes, TERMS)


TestRollback = RollbackMachine.TestCase
TestBreaker = BreakerMachine.TestCase
TestRollback.settings = TestBreaker.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None
)

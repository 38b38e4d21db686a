"""What follows a failure: by its type, as often as the terms allow, and never under a dead ancestor."""

from datetime import timedelta

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.rollback.data import RecoveryAction, Scope
from apps.rollback.domain.cascade import apply_change, plan_cascade
from apps.rollback.domain.recovery import (
    POLICIES,
    RecoveryTerms,
    compute_delay,
    decide_recovery,
    is_counted,
    plan_retry,
)
from apps.rollback.errors import RetryNotAllowed, RollbackRootUnknown
from apps.speculation.data import STANDINGS, FailureReason, Standing
from apps.speculation.domain.bonds import BondTerms
from tests.factories.speculation import NOW, A, B, C, D, make_chain, make_graph, make_state, task_id
from tests.unit.rollback.reference import DEAD, random_world

TERMS = RecoveryTerms()


def recover(reason, failed_attempts=1, timeout_seconds=30):
    return decide_recovery(
        reason, failed_attempts=failed_attempts, timeout_seconds=timeout_seconds, now=NOW, terms=TERMS
    )


@pytest.mark.parametrize(
    ("reason", "scope", "action"),
    [
        (FailureReason.PROOF_REJECTED, Scope.DOWNSTREAM, RecoveryAction.RE_EXECUTE),
        (FailureReason.ANCESTOR_FAILED, Scope.DOWNSTREAM, RecoveryAction.WAIT_FOR_ANCESTOR),
        (FailureReason.TIMEOUT, Scope.DOWNSTREAM, RecoveryAction.EXTEND_TIMEOUT),
        (FailureReason.RESOURCES_EXHAUSTED, Scope.TASK_ONLY, RecoveryAction.QUEUE_LATER),
        (FailureReason.INVALID_STATE, Scope.DOWNSTREAM, RecoveryAction.REDISCOVER),
        (FailureReason.MANUAL, Scope.DOWNSTREAM, RecoveryAction.GIVE_UP),
        (FailureReason.NO_QUORUM, Scope.DOWNSTREAM, RecoveryAction.GIVE_UP),
    ],
)
def test_each_type_of_failure_has_its_scope_and_its_recovery(reason, scope, action):
    recovery = recover(reason)
    assert (recovery.scope, recovery.action) == (scope, action)
    assert recovery.is_retried is (recovery.not_before is not None)


def test_every_reason_has_a_policy():
    assert set(POLICIES) == set(FailureReason)


@pytest.mark.parametrize("reason", [reason for reason in FailureReason if recover(reason).is_retried])
def test_after_the_last_attempt_it_is_given_up_with_everything_below(reason):
    assert recover(reason, failed_attempts=2).is_retried
    last = recover(reason, failed_attempts=3)
    assert (last.action, last.scope, last.not_before) == (RecoveryAction.GIVE_UP, Scope.DOWNSTREAM, None)


def test_a_timeout_gets_twice_the_time_up_to_the_most():
    seconds = [
        recover(FailureReason.TIMEOUT, timeout_seconds=given).timeout_seconds for given in (30, 400, 900)
    ]
    assert seconds == [60, 600, 900]
    assert recover(FailureReason.PROOF_REJECTED).timeout_seconds == 30


def test_exhausted_resources_are_waited_for_longer_and_longer():
    assert [compute_delay(n, TERMS) for n in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert compute_delay(10_000, TERMS) == 30
    assert recover(FailureReason.RESOURCES_EXHAUSTED, 2).not_before == NOW + timedelta(seconds=2)
    assert recover(FailureReason.PROOF_REJECTED, 2).not_before == NOW


def retry(root, graph, states, final=()):
    return plan_retry(root, graph=graph, states=states, final=final)


def test_a_retry_brings_back_what_its_failure_took_along_parents_first():
    states = {
        A: make_state(A, "failed"),
        B: make_state(B, "rolled_back"),
        C: make_state(C, "aborted"),
        D: make_state(D, "cancelled"),
    }
    assert retry(A, make_chain(A, B, C, D), states) == [A, B, C, D]


def test_what_a_person_stopped_or_failed_itself_stays_with_all_that_stands_on_it():
    states = {
        A: make_state(A, "failed"),
        B: make_state(B, "failed"),
        C: make_state(C, "cancelled"),
        D: make_state(D, "cancelled"),
    }
    graph = make_graph((A, B, C, D), [(A, B), (B, C), (A, D)])
    assert retry(A, graph, states) == [A, D]
    assert retry(A, graph, states, final={D}) == [A]


def test_a_join_waits_for_its_other_parents_retry():
    graph = make_graph((A, B, C), [(A, C), (B, C)])
    states = {A: make_state(A, "failed"), B: make_state(B, "failed"), C: make_state(C, "cancelled")}
    assert retry(A, graph, states) == [A]
    assert retry(B, graph, states | {A: make_state(A, "waiting")}) == [B, C]


@pytest.mark.parametrize("status", ["waiting", "executing", "submitted", "confirmed"])
def test_only_what_has_ended_badly_is_tried_again(status):
    with pytest.raises(RetryNotAllowed):
        retry(A, make_chain(A), {A: make_state(A, status)})


def test_nothing_is_tried_again_under_a_dead_ancestor():
    """Invariant 10."""
    states = {A: make_state(A, "failed"), B: make_state(B, "failed")}
    with pytest.raises(RetryNotAllowed):
        retry(B, make_chain(A, B), states)


def test_a_retry_of_an_unknown_task_is_refused():
    with pytest.raises(RollbackRootUnknown):
        retry(B, make_chain(A), {A: make_state(A, "failed")})


@given(st.integers(0, 2**32), st.integers(1, 14), st.floats(0, 0.5), st.integers(0, 10**6))
def test_a_retry_undoes_exactly_what_its_cascade_ended(seed, size, density, pick):
    graph, oracle, states = random_world(seed, size, density)
    root = task_id(pick % size + 1)
    if states[root].status in ("confirmed", *DEAD):
        return
    reason = FailureReason.PROOF_REJECTED
    plan = plan_cascade(root, reason, graph=graph, states=states, terms=BondTerms())
    after = states | {change.task: apply_change(states[change.task], change) for change in plan.changes}
    opened = retry(root, graph, after)
    before_dead = {task for task in states if states[task].status in DEAD}
    assert {change.task for change in plan.changes} <= set(opened)
    assert not {task for task in opened if after[task].status == "failed" and task != root}
    again = after | {task: make_state(task, "waiting") for task in opened}
    for task in opened:
        above = [STANDINGS[again[ancestor].status] for ancestor in nx.ancestors(oracle, task)]
        assert Standing.DEAD not in above
    place = {task: n for n, task in enumerate(opened)}
    assert all(place[p] < place[c] for p, c in oracle.edges if p in place and c in place)
    assert set(opened) - {change.task for change in plan.changes} <= before_dead


def test_an_attempt_counts_unless_nobody_failed():
    uncounted = {FailureReason.NOT_ACKNOWLEDGED, FailureReason.ANCESTOR_FAILED, FailureReason.MANUAL}
    assert {reason for reason in FailureReason if not is_counted(reason)} == uncounted

"""What stopping would do, told beforehand, is what it then does; and what is kept of a failure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.rollback.data import Target
from apps.rollback.domain.cascade import plan_cascade
from apps.rollback.domain.preview import (
    build_dead_letter,
    plan_cancel,
    preview_cancel,
    preview_failure,
)
from apps.rollback.domain.recovery import RecoveryTerms, decide_recovery
from apps.rollback.errors import RollbackRootUnknown
from apps.speculation.data import FailureReason
from apps.speculation.domain.bonds import BondTerms
from tests.factories.speculation import KEEPERS, NOW, A, B, C, D, E, make_graph, make_state, task_id
from tests.unit.rollback.reference import random_world

TERMS = BondTerms()
GRAPH = make_graph((A, B, C, D, E), [(A, B), (B, C), (B, D), (D, E)], [A])
STATES = {
    A: make_state(A, "confirmed", keeper=KEEPERS[0]),
    B: make_state(B, "proving", keeper=KEEPERS[0], bond_units=1_000_000, compute_units=4, epoch=1),
    C: make_state(C, "executing", keeper=KEEPERS[1], bond_units=2_000_000, compute_units=1, epoch=1),
    D: make_state(D, "waiting_ancestors", keeper=KEEPERS[2], bond_units=2_000_000, compute_units=3),
    E: make_state(E, "waiting"),
}


def recovery_of(reason, failed_attempts=1):
    return decide_recovery(
        reason, failed_attempts=failed_attempts, timeout_seconds=30, now=NOW, terms=RecoveryTerms()
    )


def test_the_blast_radius_of_a_failure():
    radius = preview_failure(B, FailureReason.PROOF_REJECTED, graph=GRAPH, states=STATES, terms=TERMS)
    assert radius.to_json() == {
        "targets": {"aborted": 1, "cancelled": 1, "failed": 1, "rolled_back": 1},
        "tasks": [f"task_{number:032x}" for number in (5, 4, 3, 2)],
        "depth": 2,
        "released_units": "4900000",
        "slashed_units": "100000",
        "wasted_units": "8",
        "running": 1,
        "proofs": 2,
        "confirmed": 1,
    }


def test_stopping_a_run_leaves_out_what_is_confirmed_or_being_settled():
    states = STATES | {B: make_state(B, "submitted", bond_units=7, keeper=KEEPERS[0])}
    radius = preview_cancel(list(GRAPH.get_order()), graph=GRAPH, states=states, terms=TERMS)
    assert set(radius.tasks) == {C, D, E}
    assert (radius.slashed_units, radius.released_units) == (0, 4_000_000)
    assert radius.targets == {Target.ABORTED: 1, Target.ROLLED_BACK: 1, Target.CANCELLED: 1}


def test_stopping_a_task_takes_along_what_stands_on_it_only():
    radius = preview_cancel([D], graph=GRAPH, states=STATES, terms=TERMS)
    assert set(radius.tasks) == {D, E}
    with pytest.raises(RollbackRootUnknown):
        preview_cancel([task_id(99)], graph=GRAPH, states=STATES, terms=TERMS)


def test_a_dead_letter_says_where_why_and_what_it_took_along():
    plan = plan_cascade(B, FailureReason.TIMEOUT, graph=GRAPH, states=STATES, terms=TERMS)
    letter = build_dead_letter(plan, recovery=recovery_of(plan.reason), error="x" * 600, attempts=1, now=NOW)
    assert letter is not None
    assert (letter.task, letter.stage, letter.dependents, letter.wasted_units) == (B, "proving", 3, 8)
    assert (letter.is_final, len(letter.error)) == (False, 500)
    final = build_dead_letter(plan, recovery=recovery_of(plan.reason, 3), error="", attempts=3, now=NOW)
    assert final is not None
    assert final.is_final


def test_what_a_person_stops_leaves_no_dead_letter():
    (plan,) = plan_cancel([D], graph=GRAPH, states=STATES, terms=TERMS)
    letter = build_dead_letter(plan, recovery=recovery_of(plan.reason), error="", attempts=1, now=NOW)
    assert letter is None


@given(st.integers(0, 2**32), st.integers(1, 12), st.floats(0, 0.5), st.data())
def test_the_preview_of_a_cancel_is_what_the_cancel_does(seed, size, density, data):
    graph, _, states = random_world(seed, size, density)
    roots = data.draw(st.lists(st.sampled_from(sorted(states)), unique=True))
    plans = plan_cancel(roots, graph=graph, states=states, terms=TERMS)
    radius = preview_cancel(roots, graph=graph, states=states, terms=TERMS)
    changes = [change for plan in plans for change in plan.changes]
    assert radius.tasks == tuple(change.task for change in changes)
    assert len(set(radius.tasks)) == len(radius.tasks)
    assert radius.released_units == sum(states[task].bond_units for task in radius.tasks)
    assert sum(radius.targets.values()) == len(radius.tasks)
    assert radius.slashed_units == 0

"""What a failure does: leaves first, by state, bonds back, the root slashed; all or nothing, and once."""

from uuid import UUID

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.ledger.domain.drafts import compute_amounts, require_postable
from apps.rollback.data import Scope, Target
from apps.rollback.domain.cascade import apply_change, plan_cascade, plan_cascades
from apps.rollback.errors import RollbackOfConfirmed, RollbackRootUnknown, RollbackTooLate
from apps.speculation.data import STANDINGS, UNDER_WAY, FailureReason, Standing
from apps.speculation.domain.bonds import BondTerms
from apps.speculation.domain.postings import cascade_settle
from apps.tasks.data import TASK_TABLE, TaskStatus
from tests.factories.speculation import (
    KEEPERS,
    A,
    B,
    C,
    D,
    E,
    make_chain,
    make_graph,
    make_state,
    task_id,
)
from tests.unit.rollback.reference import DEAD, expected_shares, expected_statuses, random_world

TERMS = BondTerms()
REJECTED = FailureReason.PROOF_REJECTED


def cascade(root, graph, states, reason=REJECTED):
    return plan_cascade(root, reason, graph=graph, states=states, terms=TERMS)


def chain_of(*statuses, **changed):
    """A chain of tasks in these states, and the states."""
    tasks = [task_id(n + 1) for n in range(len(statuses))]
    return make_chain(*tasks), {
        task: make_state(task, status, keeper=KEEPERS[0], epoch=1, **changed)
        for task, status in zip(tasks, statuses, strict=True)
    }


@pytest.mark.parametrize(
    ("status", "target"),
    [
        ("discovered", Target.CANCELLED),
        ("waiting", Target.CANCELLED),
        ("scheduled", Target.CANCELLED),
        ("executing", Target.ABORTED),
        ("executed", Target.ROLLED_BACK),
        ("attested", Target.ROLLED_BACK),
        ("proving", Target.ROLLED_BACK),
        ("proved", Target.ROLLED_BACK),
        ("waiting_ancestors", Target.ROLLED_BACK),
        ("submitted", Target.ROLLED_BACK),
    ],
)
def test_what_becomes_of_a_descendant_depends_on_how_far_it_came(status, target):
    plan = cascade(A, *chain_of("executed", status))
    assert [(change.task, change.target) for change in plan.changes] == [(B, target), (A, Target.FAILED)]


@pytest.mark.parametrize("status", ["confirmed", *DEAD])
def test_a_descendant_that_has_ended_stays_as_it_is(status):
    plan = cascade(A, *chain_of("executed", status))
    assert [change.task for change in plan.changes] == [A]
    assert plan.confirmed == ((B,) if status == "confirmed" else ())


def test_what_is_below_an_ended_task_is_reached_all_the_same():
    plan = cascade(A, *chain_of("executed", "cancelled", "waiting"))
    assert [change.task for change in plan.changes] == [C, A]


def test_leaves_come_first_and_the_root_last():
    graph = make_graph((A, B, C, D, E), [(A, B), (A, C), (B, D), (C, D), (D, E)])
    states = {task: make_state(task, "executed") for task in (A, B, C, D, E)}
    plan = cascade(A, graph, states)
    assert [change.task for change in plan.changes] == [E, D, C, B, A]
    assert (plan.depth, plan.dependents) == (3, 4)


def test_only_what_stands_on_the_root_is_touched():
    graph = make_graph((A, B, C, D), [(A, C), (B, C), (B, D)])
    states = {task: make_state(task, "executed") for task in (A, B, C, D)}
    assert {change.task for change in cascade(A, graph, states).changes} == {A, C}


def test_leases_are_revoked_and_proofs_cancelled_leaves_first():
    plan = cascade(A, *chain_of("proving", "waiting_ancestors", "executing", "scheduled", "waiting"))
    assert [change.task for change in plan.aborted] == [D, C]
    assert [change.task for change in plan.cancelled_proofs] == [B, A]
    assert plan.revoked == ((A, 1),)


@pytest.mark.parametrize("status", DEAD)
def test_a_root_that_has_ended_gives_an_empty_plan(status):
    plan = cascade(A, *chain_of(status, "executed"))
    assert (plan.changes, plan.shares.slashed_units, plan.wasted_units) == ((), 0, 0)
    assert (plan.released, plan.revoked, plan.slashed_keeper) == ({}, (), "")


def test_a_confirmed_task_cannot_be_rolled_back():
    with pytest.raises(RollbackOfConfirmed):
        cascade(A, *chain_of("confirmed", "executed"))


def test_an_unknown_root_is_refused():
    graph, states = chain_of("executed")
    for given_graph, given_states in ((graph, {}), (make_graph([B], []), states)):
        with pytest.raises(RollbackRootUnknown):
            cascade(A, given_graph, given_states)
    with pytest.raises(RollbackRootUnknown):
        plan_cascades({E: REJECTED}, graph=graph, states=states, terms=TERMS)


@pytest.mark.parametrize(
    ("status", "target"),
    [("waiting", Target.CANCELLED), ("executing", Target.ABORTED), ("proved", Target.ROLLED_BACK)],
)
def test_a_person_stops_a_task_without_a_fault_or_a_slash(status, target):
    graph, states = chain_of(status, "waiting", bond_units=1_000_000)
    plan = cascade(A, graph, states, FailureReason.MANUAL)
    assert (plan.changes[-1].target, plan.shares.slashed_units) == (target, 0)
    assert plan.released == {KEEPERS[0]: 2_000_000}


def test_what_is_being_settled_can_fail_but_not_be_stopped():
    graph, states = chain_of("submitted")
    with pytest.raises(RollbackTooLate):
        cascade(A, graph, states, FailureReason.MANUAL)
    assert cascade(A, graph, states).changes[-1].target is Target.FAILED


@pytest.mark.parametrize("status", ["scheduled", "executing"])
def test_a_keeper_out_of_resources_costs_nobody_anything(status):
    graph, states = chain_of(status, "scheduled", "waiting", bond_units=1_000_000)
    plan = cascade(A, graph, states, FailureReason.RESOURCES_EXHAUSTED)
    assert plan.scope is Scope.TASK_ONLY
    assert [(change.task, change.target) for change in plan.changes] == [
        (B, Target.WAITING),
        (A, Target.WAITING),
    ]
    assert (plan.released, plan.shares.slashed_units) == ({KEEPERS[0]: 2_000_000}, 0)


@pytest.mark.parametrize("statuses", [("executed", "scheduled"), ("executing", "executing")])
def test_it_takes_everything_along_once_something_stands_on_it(statuses):
    graph, states = chain_of(*statuses)
    plan = cascade(A, graph, states, FailureReason.RESOURCES_EXHAUSTED)
    assert (plan.scope, plan.changes[-1].target) == (Scope.DOWNSTREAM, Target.FAILED)


def test_after_the_last_attempt_a_keeper_out_of_resources_is_a_failure_too():
    graph, states = chain_of("executing", "scheduled")
    reason, scope = FailureReason.RESOURCES_EXHAUSTED, Scope.DOWNSTREAM
    plan = plan_cascade(A, reason, graph=graph, states=states, terms=TERMS, scope=scope)
    (same,) = plan_cascades({A: reason}, graph=graph, states=states, terms=TERMS, scopes={A: scope})
    assert [change.target for change in plan.changes] == [Target.CANCELLED, Target.FAILED]
    assert plan == same


def test_of_two_failures_at_once_the_upper_one_is_the_root_and_the_lower_one_is_not_slashed():
    graph, states = chain_of("executed", "executed", "executed", bond_units=1_000_000)
    upper, lower = plan_cascades({C: REJECTED, A: REJECTED}, graph=graph, states=states, terms=TERMS)
    assert [change.task for change in upper.changes] == [C, B, A]
    assert (lower.root, lower.changes, lower.shares.slashed_units) == (C, (), 0)


def test_of_two_offers_that_go_back_at_once_the_lower_one_goes_back_with_the_upper():
    graph, states = chain_of("scheduled", "scheduled", "scheduled")
    failures = {B: FailureReason.NOT_ACKNOWLEDGED, A: FailureReason.NOT_ACKNOWLEDGED}
    upper, lower = plan_cascades(failures, graph=graph, states=states, terms=TERMS)
    assert [(change.task, change.target) for change in upper.changes] == [
        (C, Target.WAITING),
        (B, Target.WAITING),
        (A, Target.WAITING),
    ]
    assert (lower.root, lower.changes) == (B, ())


def test_overlapping_cascades_one_after_the_other_share_nothing():
    graph, states = chain_of("executed", "executed", "executed", bond_units=1_000_000)
    lower = cascade(B, graph, states)
    after = states | {change.task: apply_change(states[change.task], change) for change in lower.changes}
    upper = cascade(A, graph, after, FailureReason.TIMEOUT)
    assert [change.task for change in upper.changes] == [A]
    assert [plan.shares.slashed_units for plan in (lower, upper)] == [100_000, 50_000]


def test_a_keeper_is_not_the_victim_of_its_own_failure():
    graph, states = chain_of("executed", "executed", bond_units=1_000_000, compute_units=5)
    plan = cascade(A, graph, states)
    assert (plan.shares.treasury_units, plan.shares.victims) == (100_000, {})


WORLDS = (st.integers(0, 2**32), st.integers(1, 14), st.floats(0, 0.5))
ROOT = st.integers(0, 10**6)


@given(*WORLDS, ROOT, st.booleans())
def test_a_cascade_does_what_the_definition_says(seed, size, density, pick, is_legal):
    graph, oracle, states = random_world(seed, size, density, legal=is_legal)
    root = task_id(pick % size + 1)
    before = {task: state.status for task, state in states.items()}
    if before[root] == "confirmed":
        return
    plan = cascade(root, graph, states)
    after = before | {change.task: str(change.target) for change in plan.changes}
    assert after == expected_statuses(root, oracle, before)

    changed = [change.task for change in plan.changes]
    assert len(set(changed)) == len(changed)
    place = {task: n for n, task in enumerate(changed)}
    assert all(
        place[child] < place[parent] for parent, child in oracle.edges if {parent, child} <= set(changed)
    )
    assert not changed or changed[-1] == root
    assert plan.depth == max(_count_paths_end(oracle, root, task, set(changed) - {root}) for task in states)


def _count_paths_end(oracle, root, task, changed):
    """The changed tasks on the fullest path from the root to a task; -1 where there is none."""
    if task == root:
        return 0
    above = max((_count_paths_end(oracle, root, up, changed) for up in oracle.predecessors(task)), default=-1)
    return above if above < 0 else above + (task in changed)


@given(*WORLDS, ROOT, st.sampled_from(FailureReason))
def test_money_is_moved_to_the_unit_and_only_the_root_pays(seed, size, density, pick, reason):
    """Invariants 1, 3, 4 and 5."""
    graph, _, states = random_world(seed, size, density)
    root = task_id(pick % size + 1)
    if states[root].status in ("confirmed", "submitted"):
        return
    plan = cascade(root, graph, states, reason)
    for change in plan.changes:
        assert change.released_units + change.slashed_units == states[change.task].bond_units
        assert change.slashed_units == 0 or change.task == root
        assert change.released_units >= 0
    assert sum(change.slashed_units for change in plan.changes) == plan.shares.slashed_units
    wasted: dict[str, int] = {}
    for change in plan.changes[:-1]:
        if change.keeper != states[root].keeper and change.wasted_units:
            wasted[change.keeper] = wasted.get(change.keeper, 0) + change.wasted_units
    assert (plan.shares.treasury_units, plan.shares.victims) == expected_shares(
        plan.shares.slashed_units, wasted
    )
    draft = cascade_settle(UUID(int=1), plan.released, slashed_keeper=plan.slashed_keeper, shares=plan.shares)
    if draft is None:
        assert not any(states[change.task].bond_units for change in plan.changes)
        return
    assert require_postable([draft])
    bonded = sum(units for key, units in compute_amounts(draft).items() if key.kind == "keeper_bonded")
    assert -bonded == sum(states[change.task].bond_units for change in plan.changes)


@given(*WORLDS, ROOT, st.sampled_from(FailureReason))
def test_after_a_cascade_nothing_alive_stands_on_the_root_and_again_changes_nothing(
    seed, size, density, pick, reason
):
    """Invariants 6, 7, 8, 9 and 13."""
    graph, oracle, states = random_world(seed, size, density)
    root = task_id(pick % size + 1)
    if states[root].status in ("confirmed", "submitted"):
        return
    plan = cascade(root, graph, states, reason)
    for change in plan.changes:
        assert TASK_TABLE.is_legal(TaskStatus(change.previous), TaskStatus(str(change.target)))
    after = states | {change.task: apply_change(states[change.task], change) for change in plan.changes}
    standings = {task: STANDINGS[state.status] for task, state in after.items()}
    for task, standing in standings.items():
        above = {standings[ancestor] for ancestor in nx.ancestors(oracle, task)}
        assert standing is not Standing.CONFIRMED or above <= {Standing.CONFIRMED}
        if Standing.DEAD in above:
            assert standing is Standing.DEAD
        if plan.scope is Scope.TASK_ONLY and Standing.PENDING in above:
            assert standing not in UNDER_WAY
        assert standing is Standing.CONFIRMED or states[task].status != "confirmed"
    if plan.scope is Scope.DOWNSTREAM:
        assert cascade(root, graph, after, reason).changes == ()
    assert graph.check() == []


@given(*WORLDS, st.lists(ROOT, min_size=1, max_size=4))
def test_failures_handled_together_end_as_one_after_the_other_from_above(seed, size, density, picks):
    graph, oracle, states = random_world(seed, size, density)
    roots = {task_id(pick % size + 1) for pick in picks}
    roots = {root for root in roots if states[root].status not in ("confirmed", "submitted")}
    plans = plan_cascades(dict.fromkeys(roots, REJECTED), graph=graph, states=states, terms=TERMS)
    expected = {task: state.status for task, state in states.items()}
    for root in nx.topological_sort(oracle):
        if root in roots:
            expected = expected_statuses(root, oracle, expected)
    after = {task: state.status for task, state in states.items()}
    ended: list[UUID] = []
    for plan in plans:
        ended.extend(change.task for change in plan.changes)
        after |= {change.task: str(change.target) for change in plan.changes}
    assert after == expected
    assert len(set(ended)) == len(ended)
    slashed = {change.task for plan in plans for change in plan.changes if change.slashed_units}
    for task in slashed:
        assert not nx.ancestors(oracle, task) & {plan.root for plan in plans if plan.changes}

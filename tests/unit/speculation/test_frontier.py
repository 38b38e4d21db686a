"""The whole frontier in one pass: parents first, and what one task takes is gone for the next."""

import random
from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from apps.jobs.data import EdgeKind
from apps.speculation.data import UNDER_WAY, Standing
from apps.speculation.domain.breaker import Breaker, BreakerStatus
from apps.speculation.domain.case import Check
from apps.speculation.domain.decision import Verdict
from apps.speculation.domain.frontier import Claim, KeeperStake, count_running_children, decide_frontier
from tests.factories.speculation import (
    KEEPERS,
    NOW,
    A,
    B,
    C,
    D,
    E,
    make_around,
    make_chain,
    make_graph,
    make_terms,
    random_pairs,
    task_id,
)

RICH = {KEEPERS[0]: KeeperStake(free_units=10**12, reputation=5_000)}
LONG = NOW + timedelta(seconds=600)


def run(graph, standings=None, *, keepers=None, around=None, limits=None, claims=None):
    standings = dict.fromkeys(graph.get_order(), Standing.PENDING) | (standings or {})
    decisions = decide_frontier(
        graph,
        standings,
        claims=claims
        if claims is not None
        else dict.fromkeys(standings, Claim(keeper=KEEPERS[0], lease_expires_at=LONG)),
        keepers=keepers or RICH,
        around=around or make_around(),
        terms=make_terms(limits),
        now=NOW,
    )
    return {decision.task: decision for decision in decisions}


def test_a_chain_runs_ahead_as_far_as_the_mode_allows():
    chain = [task_id(n) for n in range(1, 9)]
    decisions = run(make_chain(*chain))
    assert [decisions[task].verdict for task in chain[:6]] == [Verdict.READY] + [Verdict.AHEAD] * 5
    assert decisions[chain[6]].refusal is Check.DEPTH
    assert chain[7] not in decisions
    assert [decisions[task].bond_units for task in chain[:4]] == [1_000_000 << n for n in range(4)]
    assert decisions[chain[5]].ancestors == tuple(chain[:5])


def test_when_an_ancestor_is_confirmed_the_next_one_may_start():
    chain = [task_id(n) for n in range(1, 9)]
    graph = make_chain(*chain)
    graph.confirm(chain[:1])
    standings = {chain[0]: Standing.CONFIRMED} | dict.fromkeys(chain[1:6], Standing.EXECUTING)
    decisions = run(graph, standings)
    assert decisions[chain[6]].verdict is Verdict.AHEAD
    assert decisions[chain[7]].refusal is Check.DEPTH


def test_a_fan_out_is_cut_at_the_branch_limit():
    leaves = [task_id(n) for n in range(10, 17)]
    decisions = run(make_graph([A, *leaves], [(A, leaf) for leaf in leaves]))
    verdicts = [decisions[leaf].verdict for leaf in leaves]
    assert verdicts == [Verdict.AHEAD] * 4 + [Verdict.WAIT] * 3
    assert decisions[leaves[4]].refusal is Check.BRANCHES


def test_a_keepers_stake_is_spent_once():
    keepers = {KEEPERS[0]: KeeperStake(free_units=3_500_000, reputation=5_000)}
    decisions = run(make_graph([A, B, C], [(A, B), (A, C)]), keepers=keepers)
    assert [decisions[task].bond_units for task in (A, B, C)] == [1_000_000, 2_000_000, 0]
    assert decisions[C].refusal is Check.BOND


def test_the_cap_on_stake_at_risk_holds_over_all_keepers():
    decisions = run(make_graph([A, B, C], [(A, B), (A, C)]), limits={"max_at_risk_units": 3_000_000})
    assert [decisions[task].may_start for task in (A, B, C)] == [True, True, False]


def test_nobody_stands_on_a_task_that_waits():
    resource = make_graph([A, B], [(A, B)], kind=EdgeKind.RESOURCE)
    assert run(resource)[B].refusal is Check.EDGES
    graph = make_graph([A, B, C], [(A, B), (B, C)])
    no_keeper = {task: Claim(keeper=KEEPERS[0], lease_expires_at=LONG) for task in (A, C)}
    decisions = run(graph, claims=no_keeper)
    assert decisions[B].refusal is Check.LEASE
    assert C not in decisions


def test_a_task_under_a_dead_parent_is_asked_and_refused():
    decisions = run(make_chain(A, B, C), {A: Standing.DEAD})
    assert decisions[B].refusal is Check.ANCESTORS
    assert set(decisions) == {B}


def test_a_half_open_breaker_lets_its_trials_through_and_no_more():
    around = make_around(breaker=Breaker(status=BreakerStatus.HALF_OPEN, since=NOW))
    decisions = run(make_chain(A, B, C, D, E), around=around)
    assert [decisions[task].verdict for task in (A, B, C, D, E)] == [
        Verdict.READY,
        Verdict.AHEAD,
        Verdict.AHEAD,
        Verdict.AHEAD,
        Verdict.WAIT,
    ]


def test_running_children_are_counted_for_unconfirmed_parents_only():
    graph = make_graph([A, B, C, D], [(A, C), (B, C), (B, D)], [A])
    standings = {
        A: Standing.CONFIRMED,
        B: Standing.PRODUCED,
        C: Standing.EXECUTING,
        D: Standing.DEAD,
    }
    assert count_running_children(graph, standings) == {B: 1}


@given(st.integers(0, 2**32), st.integers(1, 14), st.floats(0, 0.5), st.integers(1, 4), st.integers(1, 3))
def test_whatever_is_admitted_keeps_every_limit(seed, size, density, max_depth, max_branches):
    rng = random.Random(seed)
    tasks = [task_id(n) for n in range(1, size + 1)]
    confirmed = tasks[: rng.randrange(size)]
    graph = make_graph(tasks, random_pairs(rng, tasks, density), confirmed)
    standings = dict.fromkeys(tasks, Standing.PENDING) | dict.fromkeys(confirmed, Standing.CONFIRMED)
    keepers = {
        address: KeeperStake(free_units=rng.randrange(20) * 10**6, reputation=rng.choice([400, 600]))
        for address in KEEPERS
    }
    claims = {task: Claim(keeper=rng.choice(KEEPERS), lease_expires_at=LONG) for task in tasks}
    limits = {"max_depth": max_depth, "max_branches": max_branches, "max_at_risk_units": 30_000_000}
    decisions = run(graph, standings, keepers=keepers, claims=claims, limits=limits)
    started = {task for task, decision in decisions.items() if decision.may_start}
    after = standings | dict.fromkeys(started, Standing.SCHEDULED)

    for task in started:
        assert all(after[parent] in {*UNDER_WAY, Standing.CONFIRMED} for parent in graph.get_parents(task))
        assert graph.get_depth(task) <= max_depth
        if graph.get_depth(task):
            assert keepers[claims[task].keeper].reputation >= 500
            assert decisions[task].bond_units == 10**6 << graph.get_depth(task)
    assert max(count_running_children(graph, after).values(), default=0) <= max_branches
    for address, stake in keepers.items():
        bound = sum(decisions[task].bond_units for task in started if claims[task].keeper == address)
        assert bound <= stake.free_units
    assert sum(decisions[task].bond_units for task in started) <= 30_000_000
    place = {task: n for n, task in enumerate(graph.get_order())}
    assert all(place[one] < place[other] for one, other in pairwise(decisions))

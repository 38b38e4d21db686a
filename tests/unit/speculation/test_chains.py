"""How admitted tasks travel: every one exactly once, in order, in chains as long as can be."""

import random
from itertools import pairwise

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.speculation.domain.chains import Canvas, Chain, Start, plan_canvases
from apps.speculation.errors import DependencyUnknown
from tests.factories.speculation import A, B, C, D, E, task_id


def parents_of(tasks, *pairs):
    return {task: [parent for parent, child in pairs if child == task] for task in tasks}


def test_a_chain_is_one_canvas():
    canvases = plan_canvases([A, B, C], parents_of((A, B, C), (A, B), (B, C)))
    assert canvases == [Canvas(start=Start.NOW, chains=(Chain(tasks=(A, B, C)),))]
    assert canvases[0].first == A


def test_a_fan_out_is_a_group_of_chains():
    canvases = plan_canvases([A, B, C, D], parents_of((A, B, C, D), (A, B), (A, C), (C, D)))
    (canvas,) = canvases
    assert canvas.chains == (Chain(tasks=(A,), following=(1, 2)), Chain(tasks=(B,)), Chain(tasks=(C, D)))


def test_a_join_is_a_canvas_of_its_own_started_by_its_last_parent():
    tasks = (A, B, C, D, E)
    canvases = plan_canvases(tasks, parents_of(tasks, (A, B), (A, C), (B, D), (C, D), (D, E)))
    assert canvases == [
        Canvas(
            start=Start.NOW,
            chains=(Chain(tasks=(A,), following=(1, 2)), Chain(tasks=(B,)), Chain(tasks=(C,))),
        ),
        Canvas(start=Start.LAST_PARENT, chains=(Chain(tasks=(D, E)),), waits_for=(B, C)),
    ]


def test_a_branch_that_ends_in_a_join_does_not_break_the_chain_beside_it():
    tasks = (A, B, C, D)
    canvases = plan_canvases(tasks, parents_of(tasks, (A, C), (A, D), (B, D)))
    assert [canvas.chains for canvas in canvases] == [
        (Chain(tasks=(A, C)),),
        (Chain(tasks=(B,)),),
        (Chain(tasks=(D,)),),
    ]


def test_a_parent_whose_output_is_there_is_waited_for_by_nobody():
    canvases = plan_canvases([B, C], {B: [A], C: [A, B]})
    assert canvases == [Canvas(start=Start.NOW, chains=(Chain(tasks=(B, C)),))]


def test_a_task_under_an_attempt_on_its_way_is_started_by_the_database():
    canvases = plan_canvases([B], {B: [A]}, pending={A})
    assert canvases == [Canvas(start=Start.LAST_PARENT, chains=(Chain(tasks=(B,)),), waits_for=(A,))]


def test_a_task_without_an_entry_is_refused():
    with pytest.raises(DependencyUnknown):
        plan_canvases([A], {})


def test_a_long_chain_needs_no_deep_stack():
    tasks = [task_id(n) for n in range(20_000)]
    parents = {task: [tasks[n - 1]] if n else [] for n, task in enumerate(tasks)}
    (canvas,) = plan_canvases(tasks, parents)
    assert canvas.chains[0].tasks == tuple(tasks)


@given(st.integers(0, 2**32), st.integers(1, 25), st.floats(0, 0.5))
def test_every_admitted_task_travels_exactly_once_and_in_order(seed, size, density):
    rng = random.Random(seed)
    tasks = [task_id(n) for n in range(size)]
    oracle = nx.DiGraph([(p, c) for j, c in enumerate(tasks) for p in tasks[:j] if rng.random() < density])
    oracle.add_nodes_from(tasks)
    admitted = [task for task in tasks if rng.random() < 0.7]
    pending = {task for task in tasks if task not in admitted and rng.random() < 0.3}
    parents = {task: sorted(oracle.predecessors(task)) for task in tasks}
    canvases = plan_canvases(admitted, parents, pending)

    travelled = [task for canvas in canvases for chain in canvas.chains for task in chain.tasks]
    assert sorted(travelled) == sorted(admitted)
    for canvas in canvases:
        followed = {n: chain for chain in canvas.chains for n in chain.following}
        assert sorted(followed) == list(range(1, len(canvas.chains)))
        for index, chain in enumerate(canvas.chains):
            assert all(index < n for n in chain.following)
            assert len(chain.following) != 1
            before = followed[index].tasks[-1:] if index else ()
            for parent, child in pairwise((*before, *chain.tasks)):
                assert {p for p in parents[child] if p in admitted or p in pending} == {parent}
        awaited = {p for p in parents[canvas.first] if p in admitted or p in pending}
        assert set(canvas.waits_for) == awaited
        assert (canvas.start is Start.NOW) is (not awaited)
        assert not awaited or len(awaited) > 1 or awaited <= pending

"""When a task may start, when a run is over, and which moves exist (invariants 6, 9, 13)."""

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.kernel.transitions import IllegalTransition
from apps.tasks.data import RUN_TABLE, TASK_TABLE, UNFINISHED, RunStatus, TaskStatus
from apps.tasks.domain.closing import decide_run
from apps.tasks.domain.depths import compute_depths

ENDINGS = set(TaskStatus) - UNFINISHED


@st.composite
def dags(draw):
    size = draw(st.integers(1, 12))
    pairs = [(parent, child) for child in range(size) for parent in range(child)]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return size, edges


@given(dags())
def test_depths_are_what_networkx_says(dag):
    size, edges = dag
    graph = nx.DiGraph(edges)
    graph.add_nodes_from(range(size))
    parents = {node: list(graph.predecessors(node)) for node in graph}
    depths = compute_depths(parents)
    for layer, nodes in enumerate(nx.topological_generations(graph)):
        assert all(depths[node] == layer for node in nodes)


@given(st.lists(st.sampled_from(sorted(TaskStatus)), min_size=1), st.booleans())
def test_a_run_is_open_exactly_while_a_task_is_unfinished(statuses, is_cancel_requested):
    decided = decide_run(statuses, is_cancel_requested=is_cancel_requested)
    assert (decided is RunStatus.OPEN) == bool(UNFINISHED & set(statuses))
    assert (decided is RunStatus.CONFIRMED) == (set(statuses) == {TaskStatus.CONFIRMED})


def test_endings_absorb():
    for ending in ENDINGS:
        assert TASK_TABLE.is_ending(ending)
        for target in TaskStatus:
            with pytest.raises(IllegalTransition):
                TASK_TABLE.move(id="task", current=ending, target=target)
    for status in (RunStatus.CONFIRMED, RunStatus.FAILED, RunStatus.CANCELLED):
        assert RUN_TABLE.is_ending(status)


def test_every_state_can_be_reached_and_every_unfinished_one_can_end():
    graph = nx.DiGraph((source, target) for source, targets in TASK_TABLE.moves.items() for target in targets)
    assert set(graph) == set(TaskStatus)
    assert nx.descendants(graph, TaskStatus.DISCOVERED) == set(TaskStatus) - {TaskStatus.DISCOVERED}
    for status in UNFINISHED:
        assert nx.descendants(graph, status) & ENDINGS

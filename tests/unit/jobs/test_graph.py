"""The dependency graph of steps: every refusal is named, every accepted graph has an order."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.jobs.data import Parent, StepDefinition, compute_depths, topological_order
from apps.jobs.domain.graph import check_graph
from apps.jobs.errors import DependencyCycle, ParentUnknown, SelfDependency, StepDuplicate


def steps(**edges):
    return [
        StepDefinition(key=key, parents=tuple(Parent(step=parent) for parent in parents))
        for key, parents in edges.items()
    ]


def test_a_diamond_has_depths_by_its_longest_path():
    graph = steps(d=("b", "c"), b=("a",), c=("b",), a=())
    assert compute_depths(graph) == {"a": 0, "b": 1, "c": 2, "d": 3}
    assert topological_order(graph) == ("a", "b", "c", "d")


def test_a_cycle_is_named_in_order():
    with pytest.raises(DependencyCycle) as refused:
        check_graph(steps(root=(), a=("c", "root"), b=("a",), c=("b",), tail=("c",)))
    cycle = refused.value.cycle
    assert cycle[0] == cycle[-1]
    assert sorted(cycle[:-1]) == ["a", "b", "c"]
    assert cycle in (["a", "b", "c", "a"], ["b", "c", "a", "b"], ["c", "a", "b", "c"])


def test_a_step_may_not_depend_on_itself():
    with pytest.raises(SelfDependency) as refused:
        check_graph(steps(a=(), b=("a", "b")))
    assert refused.value.pointer == "/steps/1/parents/1"


def test_a_parent_must_be_a_step_of_the_job():
    with pytest.raises(ParentUnknown) as refused:
        check_graph(steps(a=("nobody",)))
    assert (refused.value.pointer, refused.value.parent) == ("/steps/0/parents/0", "nobody")


def test_a_key_is_used_once():
    with pytest.raises(StepDuplicate) as refused:
        check_graph([*steps(a=()), *steps(a=())])
    assert refused.value.pointer == "/steps/1/key"


def test_a_chain_may_be_as_deep_as_it_has_steps():
    chain = steps(**{"s0": (), **{f"s{n}": (f"s{n - 1}",) for n in range(1, 1_000)}})
    check_graph(chain)
    assert compute_depths(chain)["s999"] == 999


GRAPHS = st.integers(1, 12).flatmap(
    lambda count: st.lists(
        st.lists(st.integers(0, count - 1), unique=True, max_size=4), min_size=count, max_size=count
    )
)


@given(GRAPHS)
def test_a_graph_has_an_order_or_a_real_cycle(parents):
    graph = steps(**{f"s{n}": tuple(f"s{p}" for p in above) for n, above in enumerate(parents)})
    edges = {(parent.step, step.key) for step in graph for parent in step.parents}
    try:
        order = topological_order(graph)
    except DependencyCycle as error:
        refused = error
    else:
        place = {key: n for n, key in enumerate(order)}
        assert len(place) == len(graph)
        assert all(place[parent] < place[child] for parent, child in edges)
        return
    assert refused.cycle[0] == refused.cycle[-1]
    assert len(set(refused.cycle)) == len(refused.cycle) - 1
    assert set(pairwise(refused.cycle)) <= edges

"""The dependency graph: what it refuses, what it answers, and networkx as the oracle of both."""

import random
from itertools import pairwise

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.jobs.data import EdgeKind
from apps.jobs.errors import DependencyCycle, DuplicateEdge, SelfDependency
from apps.speculation.domain.graph import DependencyGraph
from apps.speculation.errors import DependencyUnknown, TaskRepeated

DATA, ORDER = EdgeKind.DATA, EdgeKind.ORDER


def graph_of(nodes, *pairs, confirmed=()):
    return DependencyGraph.build(nodes, [(parent, child, DATA) for parent, child in pairs], confirmed)


DIAMOND = ("ab", "ac", "bd", "cd")


def test_a_diamond_knows_its_orders_depths_ancestors_and_descendants():
    graph = graph_of("dcba", *DIAMOND)
    assert graph.get_order() == ["a", "c", "b", "d"]
    assert graph.get_leaves_first() == ["d", "b", "c", "a"]
    assert graph.get_depths() == {"a": 0, "b": 1, "c": 1, "d": 2}
    assert graph.get_ancestors("d") == {"a", "b", "c"}
    assert graph.get_descendants(["b", "c"]) == {"d"}
    assert set(graph.get_children("a")) == {"b", "c"}
    assert graph.get_parents("d") == {"b": DATA, "c": DATA}
    assert (len(graph), "a" in graph, "x" in graph) == (4, True, False)


def test_the_order_of_a_built_graph_does_not_depend_on_the_order_of_its_edges():
    orders = {tuple(graph_of("abcd", *random.Random(n).sample(DIAMOND, 4)).get_order()) for n in range(20)}
    assert orders == {("a", "b", "c", "d")}


def test_confirmed_ancestors_do_not_count_for_depth():
    graph = graph_of("abcde", "ab", "bc", "cd", "de")
    assert graph.get_depth("e") == 4
    graph.confirm(["a"])
    assert (graph.get_depth("b"), graph.get_depth("e")) == (0, 3)
    graph.confirm(["b", "c", "b"])
    assert graph.get_depths() == {"a": 0, "b": 0, "c": 0, "d": 0, "e": 1}
    assert graph.get_unconfirmed_ancestors("e") == {"d"}
    assert graph.is_confirmed("c")


def test_a_cycle_is_refused_and_named_and_nothing_changes():
    graph = graph_of("abcd", "ab", "bc", "cd", "bd")
    with pytest.raises(DependencyCycle) as refused:
        graph.connect("d", "a")
    assert refused.value.cycle == ["d", "a", "b", "d"]
    assert (graph.check(), graph.get_order()) == ([], ["a", "b", "c", "d"])
    assert "d" not in graph.get_parents("a")


def test_an_edge_against_the_order_reorders_only_what_is_between_its_ends():
    graph = DependencyGraph[str]()
    graph.add("abcdef")
    graph.connect("e", "b", ORDER)
    assert graph.get_order() == ["a", "e", "c", "d", "b", "f"]
    assert (graph.get_depth("b"), graph.get_parents("b"), graph.check()) == (1, {"e": ORDER}, [])


def test_a_task_may_not_depend_on_itself():
    with pytest.raises(SelfDependency):
        graph_of("ab", "aa")


def test_an_edge_is_given_once():
    graph = graph_of("ab", "ab")
    with pytest.raises(DuplicateEdge) as refused:
        graph.connect("a", "b", ORDER)
    assert (refused.value.step, refused.value.parent) == ("b", "a")


@pytest.mark.parametrize("pair", ["ax", "xa"])
def test_an_edge_joins_known_tasks_only(pair):
    with pytest.raises(DependencyUnknown) as refused:
        graph_of("ab", pair)
    assert refused.value.task == "x"


@pytest.mark.parametrize("ask", ["get_depth", "get_ancestors", "get_children", "get_parents"])
def test_a_question_about_an_unknown_task_is_refused(ask):
    with pytest.raises(DependencyUnknown):
        getattr(graph_of("a"), ask)("x")
    with pytest.raises(DependencyUnknown):
        graph_of("a").get_order("ax")


def test_a_task_is_added_once():
    with pytest.raises(TaskRepeated):
        graph_of("aba")


def test_a_set_of_edges_is_connected_whole_or_not_at_all():
    graph = graph_of("abcd", "ab")
    with pytest.raises(DependencyCycle):
        graph.connect_all([("b", "c", DATA), ("c", "d", DATA), ("d", "a", DATA)])
    assert (graph.get_descendants("a"), graph.check()) == ({"b"}, [])
    graph.connect_all([("d", "a", DATA), ("b", "c", ORDER)])
    assert graph.get_depths() == {"d": 0, "a": 1, "b": 2, "c": 3}


def test_a_pruned_subtree_leaves_no_trace():
    graph = graph_of("abcde", *DIAMOND, "be")
    assert graph.prune(["b"]) == {"b", "d", "e"}
    assert (sorted(graph.get_order()), graph.get_children("c"), graph.check()) == (["a", "c"], set(), [])


def test_the_check_names_what_is_wrong():
    graph = graph_of("abc", "ab", "bc", confirmed="b")
    assert {(fault.invariant, fault.where) for fault in graph.check()} == {(6, "a → b")}
    deep = graph_of("abc", "ab", "bc")
    assert [fault.where for fault in deep.check(max_depth=1)] == ["c"]
    deep._parents["c"]["x"] = DATA
    deep._depths["b"] = 7
    reasons = {fault.reason for fault in deep.check()}
    assert reasons == {"an orphan: its parent is not there", "its depth is not its path's"}
    deep = graph_of("ab", "ab")
    deep._order = {"a": 1, "b": 0}
    del deep._parents["b"]["a"]
    assert {fault.reason for fault in deep.check()} >= {"a child that does not know it"}


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["connect", "connect", "connect", "disconnect", "confirm"]),
        st.integers(0, 9),
        st.integers(0, 9),
    ),
    max_size=50,
)


def depth_by_paths(oracle, confirmed, node):
    """The definition, literally: the fullest path to the node, counting only unconfirmed ancestors."""
    above = [depth_by_paths(oracle, confirmed, p) + (p not in confirmed) for p in oracle.predecessors(node)]
    return max(above, default=0)


@given(EDITS)
def test_every_edit_gives_what_networkx_says(edits):
    graph, oracle, confirmed = DependencyGraph[int](), nx.DiGraph(), set()
    graph.add(range(10))
    oracle.add_nodes_from(range(10))
    for what, one, other in edits:
        if what == "confirm":
            graph.confirm([one])
            confirmed.add(one)
        elif what == "disconnect":
            graph.disconnect(one, other)
            if oracle.has_edge(one, other):
                oracle.remove_edge(one, other)
        elif one != other and not oracle.has_edge(one, other):
            if nx.has_path(oracle, other, one):
                with pytest.raises(DependencyCycle) as refused:
                    graph.connect(one, other)
                cycle = [int(node) for node in refused.value.cycle]
                assert cycle[:2] == [one, other]
                assert cycle[-1] == one
                assert all(oracle.has_edge(*pair) for pair in pairwise(cycle[1:]))
                assert len(cycle) == nx.shortest_path_length(oracle, other, one) + 2
            else:
                graph.connect(one, other)
                oracle.add_edge(one, other)
    assert [fault for fault in graph.check() if fault.invariant == 9] == []
    for node in range(10):
        assert graph.get_ancestors(node) == nx.ancestors(oracle, node)
        assert graph.get_descendants([node]) == nx.descendants(oracle, node)
        assert graph.get_depth(node) == depth_by_paths(oracle, confirmed, node)
    place = {node: n for n, node in enumerate(graph.get_order())}
    assert all(place[parent] < place[child] for parent, child in oracle.edges)


@given(st.integers(0, 2**32), st.integers(1, 60), st.floats(0, 0.4))
def test_a_graph_built_at_once_is_the_graph_built_edge_by_edge(seed, size, density):
    rng = random.Random(seed)
    names = rng.sample(range(1000), size)
    edges = [(names[i], names[j], DATA) for j in range(size) for i in range(j) if rng.random() < density]
    rng.shuffle(edges)
    confirmed = [name for name in names if rng.random() < 0.3]
    shuffled = rng.sample(names, size)
    built = DependencyGraph.build(shuffled, edges, confirmed)
    grown = DependencyGraph[int]()
    grown.add(shuffled)
    for edge in edges:
        grown.connect(*edge)
    grown.confirm(confirmed)
    assert built.get_depths() == grown.get_depths()
    assert {fault.invariant for fault in [*built.check(), *grown.check()]} <= {6}
    layers = list(nx.topological_generations(nx.DiGraph([(p, c) for p, c, _ in edges])))
    level = {node: n for n, nodes in enumerate(layers) for node in nodes}
    assert [level.get(node, 0) for node in built.get_order()] == sorted(level.get(node, 0) for node in names)


@given(st.integers(0, 2**32), st.integers(2, 25))
def test_a_cyclic_set_is_refused_with_a_real_cycle(seed, size):
    rng = random.Random(seed)
    pairs = {(rng.randrange(size), rng.randrange(size)) for _ in range(size * 2)}
    oracle = nx.DiGraph([pair for pair in pairs if pair[0] != pair[1]])
    edges = [(parent, child, DATA) for parent, child in oracle.edges]
    if nx.is_directed_acyclic_graph(oracle):
        assert DependencyGraph.build(range(size), edges).check() == []
        return
    with pytest.raises(DependencyCycle) as refused:
        DependencyGraph.build(range(size), edges)
    cycle = [int(node) for node in refused.value.cycle]
    assert cycle[0] == cycle[-1]
    assert all(oracle.has_edge(*pair) for pair in pairwise(cycle))

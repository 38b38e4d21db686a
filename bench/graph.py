"""The dependency graph against networkx on the same random DAGs, in the same process.

    python -m bench.graph [--nodes 10000]

Prints the time of each operation and how many times faster than networkx it is. Inserting an edge means
refusing cycles: networkx is asked `has_path` before each one, which is what its users do.
"""

import argparse
import gc
import random
import time
from collections.abc import Callable
from typing import Any

import networkx as nx

from apps.jobs.data import EdgeKind
from apps.jobs.errors import DependencyCycle
from apps.speculation.domain.graph import DependencyGraph

#: networkx's share of the insertions; each of them may walk the whole graph
_SAMPLE = 500


def main() -> None:
    """Run the bench and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=10_000)
    options = parser.parse_args()
    for nodes in (options.nodes // 10, options.nodes):
        for shape, edges in shapes(nodes).items():
            print(f"\n{shape}, {nodes} tasks, {len(edges)} edges")
            measure(nodes, edges)


def shapes(nodes: int) -> dict[str, list[tuple[int, int]]]:
    """Random DAGs: edges in random order between tasks whose numbers say nothing about their order."""
    rng = random.Random(nodes)
    names = rng.sample(range(nodes), nodes)
    near = {(max(0, n - rng.randrange(1, 50)), n) for n in range(1, nodes) for _ in range(2)}
    wide = {(rng.randrange(n), n) for n in range(1, nodes) for _ in range(3)}
    found = {"near parents": near, "any parents": wide, "chain": {(n - 1, n) for n in range(1, nodes)}}
    return {
        shape: rng.sample([(names[p], names[c]) for p, c in sorted(pairs)], len(pairs))
        for shape, pairs in found.items()
    }


def measure(nodes: int, edges: list[tuple[int, int]]) -> None:
    """Every operation, ours and networkx's."""
    typed = [(parent, child, EdgeKind.DATA) for parent, child in edges]
    graph, oracle = DependencyGraph[int](), nx.DiGraph()
    graph.add(range(nodes))
    oracle.add_nodes_from(range(nodes))

    before, after = typed[:-_SAMPLE], typed[-_SAMPLE:]
    each, worst = insert(graph, before)
    show("insert an edge, mean", each, None)
    show("insert an edge, p50", worst[0], None)
    show("insert an edge, p99", worst[1], None)
    oracle.add_edges_from(edges[:-_SAMPLE])
    each, _ = insert(graph, after)
    show(
        f"insert an edge (last {_SAMPLE})", each, timed(lambda: insert_in(oracle, edges[-_SAMPLE:])) / _SAMPLE
    )
    show("refuse a cycle", refuse(graph, edges), refuse_in(oracle, edges))

    rng = random.Random(1)
    asked = rng.sample(range(nodes), 20)
    ours = timed(lambda: [graph.get_descendants([node]) for node in asked]) / len(asked)
    show("descendants", ours, timed(lambda: [nx.descendants(oracle, node) for node in asked]) / len(asked))
    ours = timed(lambda: [graph.get_ancestors(node) for node in asked]) / len(asked)
    show("ancestors", ours, timed(lambda: [nx.ancestors(oracle, node) for node in asked]) / len(asked))
    show("topological order", timed(graph.get_order), timed(lambda: list(nx.topological_sort(oracle))))
    built = timed(lambda: DependencyGraph.build(range(nodes), typed))
    show("build at once", built, timed(lambda: build_in(nodes, edges)))
    fresh = DependencyGraph.build(range(nodes), typed)
    show("all depths, first time", timed(fresh.get_depths), timed(lambda: depths_in(oracle)))
    fresh.confirm(fresh.get_order()[: nodes // 100])
    show("all depths after confirming 1 %", timed(fresh.get_depths), timed(lambda: depths_in(oracle)))


def timed(work: Callable[[], Any]) -> float:
    """Seconds of one run, the best of three where it is short."""
    best = float("inf")
    for _ in range(3):
        gc.collect()
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
        if best > 0.5 or work.__name__ != "<lambda>":
            break
    return best


def insert(graph: DependencyGraph[int], edges: list[tuple[int, int, EdgeKind]]) -> tuple[float, list[float]]:
    """Mean seconds per edge, and [p50, p99]."""
    seconds = []
    for edge in edges:
        start = time.perf_counter()
        graph.connect(*edge)
        seconds.append(time.perf_counter() - start)
    ranked = sorted(seconds)
    return sum(seconds) / len(seconds), [ranked[len(ranked) // 2], ranked[len(ranked) * 99 // 100]]


def insert_in(oracle: nx.DiGraph, edges: list[tuple[int, int]]) -> None:
    """The same in networkx."""
    for parent, child in edges:
        if nx.has_path(oracle, child, parent):
            raise AssertionError("the edges are those of a DAG")
        oracle.add_edge(parent, child)


def refuse(graph: DependencyGraph[int], edges: list[tuple[int, int]]) -> float:
    """Seconds per refused edge: each edge turned round closes a cycle of two."""
    start = time.perf_counter()
    for parent, child in edges[:_SAMPLE]:
        try:
            graph.connect(child, parent)
        except DependencyCycle:
            continue
        raise AssertionError("a cycle was let in")
    return (time.perf_counter() - start) / _SAMPLE


def refuse_in(oracle: nx.DiGraph, edges: list[tuple[int, int]]) -> float:
    """The same in networkx, which is asked for a path and then for its nodes."""
    start = time.perf_counter()
    for parent, child in edges[:_SAMPLE]:
        if nx.has_path(oracle, parent, child):
            nx.shortest_path(oracle, parent, child)
    return (time.perf_counter() - start) / _SAMPLE


def build_in(nodes: int, edges: list[tuple[int, int]]) -> None:
    """A DAG of networkx, checked."""
    oracle = nx.DiGraph()
    oracle.add_nodes_from(range(nodes))
    oracle.add_edges_from(edges)
    if not nx.is_directed_acyclic_graph(oracle):
        raise AssertionError("the edges are those of a DAG")


def depths_in(oracle: nx.DiGraph) -> dict[int, int]:
    """Longest paths over networkx's own order."""
    depths: dict[int, int] = {}
    for node in nx.topological_sort(oracle):
        depths[node] = max((depths[parent] + 1 for parent in oracle.predecessors(node)), default=0)
    return depths


def show(name: str, ours: float, theirs: float | None) -> None:
    """One line."""
    ratio = "" if theirs is None else f"   networkx {theirs * 1e6:12.1f} µs   {theirs / ours:9.1f} ×"
    print(f"  {name:<34} {ours * 1e6:12.1f} µs{ratio}")


if __name__ == "__main__":
    main()

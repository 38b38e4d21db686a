"""The dependency graph of one run, kept in order while it grows.

Nodes may have many parents; an edge that would close a cycle is refused and the cycle is named (the
dynamic topological order of Pearce and Kelly, "A Dynamic Topological Sort Algorithm for Directed
Acyclic Graphs", 2006: only what lies between the edge's two ends is looked at). A node's depth is the
largest number of nodes not yet confirmed on a path to it. Depths are brought up to date when they are
read, in one pass over what changed.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from types import MappingProxyType
from typing import Generic, Self, TypeVar

from apps.jobs.data import EdgeKind
from apps.jobs.errors import DependencyCycle, DuplicateEdge, SelfDependency
from apps.speculation.domain.layers import layer
from apps.speculation.errors import DependencyUnknown, TaskRepeated

K = TypeVar("K")


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphFault:
    """A broken invariant: its number, what is wrong, and where."""

    invariant: int
    reason: str
    where: str


class DependencyGraph(Generic[K]):
    """Tasks and the edges between them; acyclic at every moment."""

    __slots__ = ("_children", "_confirmed", "_depths", "_next", "_order", "_parents", "_stale")

    def __init__(self) -> None:
        self._parents: dict[K, dict[K, EdgeKind]] = {}
        self._children: dict[K, dict[K, None]] = {}
        self._confirmed: set[K] = set()
        #: every edge leads from a lower to a higher number
        self._order: dict[K, int] = {}
        self._next = 0
        self._depths: dict[K, int] = {}
        #: nodes whose depth may have changed since depths were last read
        self._stale: set[K] = set()

    @classmethod
    def build(
        cls, nodes: Iterable[K], edges: Iterable[tuple[K, K, EdgeKind]], confirmed: Iterable[K] = ()
    ) -> Self:
        """The graph of these nodes and (parent, child, kind) edges, in time linear in both.

        Where edges leave it open, the order is the order of `nodes`. Raises TaskRepeated, DependencyUnknown,
        SelfDependency, DuplicateEdge, DependencyCycle(cycle).
        """
        graph = cls()
        graph.add(nodes)
        for parent, child, kind in edges:
            graph._require_edge(parent, child)
            graph._link(parent, child, kind)
        graph._order = {node: n for n, node in enumerate(layer(graph._parents, graph._children))}
        graph.confirm(confirmed)
        graph._stale = set(graph._parents)
        return graph

    def __contains__(self, node: object) -> bool:
        return node in self._parents

    def __len__(self) -> int:
        return len(self._parents)

    def get_parents(self, node: K) -> Mapping[K, EdgeKind]:
        """The node's parents and why it depends on each. Raises DependencyUnknown."""
        self._require(node)
        return MappingProxyType(self._parents[node])

    def get_children(self, node: K) -> Collection[K]:
        """What depends on the node directly. Raises DependencyUnknown."""
        self._require(node)
        return self._children[node].keys()

    def is_confirmed(self, node: K) -> bool:
        """Whether the node is final, so that standing on it is no speculation."""
        return node in self._confirmed

    def add(self, nodes: Iterable[K]) -> None:
        """Add nodes without edges, last in the order. Raises TaskRepeated."""
        for node in nodes:
            if node in self._parents:
                raise TaskRepeated(task=str(node))
            self._parents[node], self._children[node] = {}, {}
            self._order[node], self._depths[node] = self._next, 0
            self._next += 1

    def connect(self, parent: K, child: K, kind: EdgeKind = EdgeKind.DATA) -> None:
        """Let `child` depend on `parent`.

        Raises DependencyUnknown, SelfDependency, DuplicateEdge, DependencyCycle(cycle); the graph is then as
        it was. `cycle` is the shortest one, as a chain parent → child with its first node repeated.
        """
        self._require_edge(parent, child)
        if self._order[parent] > self._order[child]:
            self._reorder(parent, child)
        self._link(parent, child, kind)

    def connect_all(self, edges: Iterable[tuple[K, K, EdgeKind]]) -> None:
        """Connect all of these or, where one is refused, none of them."""
        connected: list[tuple[K, K]] = []
        try:
            for parent, child, kind in edges:
                self.connect(parent, child, kind)
                connected.append((parent, child))
        except (DependencyUnknown, SelfDependency, DuplicateEdge, DependencyCycle):
            for parent, child in connected:
                self.disconnect(parent, child)
            raise

    def disconnect(self, parent: K, child: K) -> None:
        """Take an edge out; one that is not there is none of the graph's business."""
        if self._parents.get(child, {}).pop(parent, None) is not None:
            del self._children[parent][child]
            self._stale.add(child)

    def prune(self, nodes: Iterable[K]) -> set[K]:
        """Take nodes out with everything that depends on them; return what was taken."""
        roots = set(nodes)
        taken = self.get_descendants(roots) | roots
        for node in taken:
            for parent in self._parents.pop(node):
                self._children[parent].pop(node, None)
        for node in taken:
            del self._children[node], self._order[node], self._depths[node]
        self._confirmed -= taken
        self._stale -= taken
        return taken

    def confirm(self, nodes: Iterable[K]) -> None:
        """Mark nodes as final. Raises DependencyUnknown."""
        for node in nodes:
            self._require(node)
            if node not in self._confirmed:
                self._confirmed.add(node)
                self._stale.update(self._children[node])

    def get_depth(self, node: K) -> int:
        """The largest number of nodes not confirmed on a path to this one, itself not counted."""
        self._require(node)
        self._settle_depths()
        return self._depths[node]

    def get_depths(self) -> Mapping[K, int]:
        """Every node's depth."""
        self._settle_depths()
        return MappingProxyType(self._depths)

    def get_ancestors(self, node: K) -> set[K]:
        """Everything the node depends on, directly or not."""
        return self._reach({node}, self._parents)

    def get_unconfirmed_ancestors(self, node: K) -> set[K]:
        """The ancestors that are not final; nothing is looked for above a final one (invariant 6)."""
        self._require(node)
        found: set[K] = set()
        queue = [node]
        for below in queue:
            for parent in self._parents[below]:
                if parent not in found and parent not in self._confirmed:
                    found.add(parent)
                    queue.append(parent)
        return found

    def get_descendants(self, nodes: Iterable[K]) -> set[K]:
        """Everything that depends on one of these, directly or not; they themselves are left out."""
        roots = set(nodes)
        return self._reach(roots, self._children) - roots

    def get_order(self, nodes: Iterable[K] | None = None) -> list[K]:
        """These nodes (all, without any) with every parent before its children."""
        chosen = self._parents if nodes is None else nodes
        try:
            return sorted(chosen, key=self._order.__getitem__)
        except KeyError as exc:
            raise DependencyUnknown(task=str(exc.args[0])) from None

    def get_leaves_first(self, nodes: Iterable[K] | None = None) -> list[K]:
        """The same with every child before its parents: how a cascade is undone."""
        return self.get_order(nodes)[::-1]

    def check(self, *, max_depth: int | None = None) -> list[GraphFault]:
        """Invariants 6 and 9 asked of the whole graph; `max_depth` where every node has been admitted."""
        self._settle_depths()
        faults: list[GraphFault] = []
        for node, parents in self._parents.items():
            for parent in parents:
                faults.extend(self._check_edge(parent, node))
            weights = (self._depths.get(above, 0) + (above not in self._confirmed) for above in parents)
            if self._depths[node] != max(weights, default=0):
                faults.append(GraphFault(invariant=9, reason="its depth is not its path's", where=str(node)))
            if max_depth is not None and node not in self._confirmed and self._depths[node] > max_depth:
                faults.append(GraphFault(invariant=9, reason="deeper than the limit", where=str(node)))
        for node, children in self._children.items():
            for child in children:
                if node not in self._parents.get(child, {}):
                    faults.append(
                        GraphFault(invariant=9, reason="a child that does not know it", where=str(node))
                    )
        return faults

    def _check_edge(self, parent: K, child: K) -> Iterable[GraphFault]:
        where = f"{parent} → {child}"
        if parent not in self._parents or child not in self._children[parent]:
            yield GraphFault(invariant=9, reason="an orphan: its parent is not there", where=where)
            return
        if self._order[parent] >= self._order[child]:
            yield GraphFault(invariant=9, reason="against the order", where=where)
        if child in self._confirmed and parent not in self._confirmed:
            yield GraphFault(invariant=6, reason="confirmed before an ancestor", where=where)

    def _require(self, node: K) -> None:
        if node not in self._parents:
            raise DependencyUnknown(task=str(node))

    def _require_edge(self, parent: K, child: K) -> None:
        self._require(parent)
        self._require(child)
        if parent == child:
            raise SelfDependency(step=str(child))
        if parent in self._parents[child]:
            raise DuplicateEdge(step=str(child), parent=str(parent))

    def _link(self, parent: K, child: K, kind: EdgeKind) -> None:
        self._parents[child][parent] = kind
        self._children[parent][child] = None
        self._stale.add(child)

    def _reorder(self, parent: K, child: K) -> None:
        """Move what is between the ends of a new edge so that the parent's side comes first."""
        after = self._find_after(parent, child)
        before = self._find_before(parent, child)
        moved = sorted(before, key=self._order.__getitem__) + sorted(after, key=self._order.__getitem__)
        for node, number in zip(moved, sorted(self._order[node] for node in moved), strict=True):
            self._order[node] = number

    def _find_after(self, parent: K, child: K) -> list[K]:
        """The child and its descendants that are ordered before the parent; raise on reaching it."""
        bound = self._order[parent]
        came_from: dict[K, K | None] = {child: None}
        queue = [child]
        for node in queue:
            for below in self._children[node]:
                if below == parent:
                    raise DependencyCycle(cycle=_name_cycle(parent, node, came_from))
                if below not in came_from and self._order[below] < bound:
                    came_from[below] = node
                    queue.append(below)
        return queue

    def _find_before(self, parent: K, child: K) -> list[K]:
        """The parent and its ancestors that are ordered after the child."""
        bound = self._order[child]
        found = {parent}
        queue = [parent]
        for node in queue:
            for above in self._parents[node]:
                if above not in found and self._order[above] > bound:
                    found.add(above)
                    queue.append(above)
        return queue

    def _reach(self, roots: Collection[K], links: Mapping[K, Mapping[K, object]]) -> set[K]:
        for root in roots:
            self._require(root)
        found: set[K] = set()
        queue = list(roots)
        for node in queue:
            for other in links[node]:
                if other not in found:
                    found.add(other)
                    queue.append(other)
        return found

    def _settle_depths(self) -> None:
        """Compute the depths of stale nodes and of what they change, parents before children."""
        self._settle_some(len(self._parents) // 8)
        if not self._stale:
            return
        for node in self.get_order():
            if node in self._stale and self._settle_depth(node):
                self._stale.update(self._children[node])
        self._stale.clear()

    def _settle_some(self, most: int) -> None:
        """The same through a heap, as long as no more than so many nodes are touched."""
        if len(self._stale) > most:
            return
        numbers = {self._order[node]: node for node in self._stale}
        heap = list(numbers)
        heapify(heap)
        while heap and most:
            most -= 1
            node = numbers.pop(heappop(heap))
            if not self._settle_depth(node):
                continue
            for child in self._children[node]:
                number = self._order[child]
                if number not in numbers:
                    numbers[number] = child
                    heappush(heap, number)
        self._stale = set(numbers.values())

    def _settle_depth(self, node: K) -> bool:
        """Compute one depth from the parents'; whether it changed."""
        depth = 0
        for parent in self._parents[node]:
            above = self._depths[parent] + (parent not in self._confirmed)
            depth = max(depth, above)
        is_changed = depth != self._depths[node]
        self._depths[node] = depth
        return is_changed


def _name_cycle(parent: K, last: K, came_from: Mapping[K, K | None]) -> list[str]:
    chain = [str(parent)]
    node: K | None = last
    while node is not None:
        chain.append(str(node))
        node = came_from[node]
    return [str(parent), *reversed(chain)]

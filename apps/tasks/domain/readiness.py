"""May a task start: here, when every parent is confirmed.

`frontier` and `get_descendants` are the two questions asked of a run's graph; edges come as
(parent, child) pairs.
"""

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

from apps.tasks.data import TaskStatus

K = TypeVar("K")


def is_ready(parents: Collection[TaskStatus]) -> bool:
    """Whether all parents are confirmed; a task without parents is."""
    return all(status is TaskStatus.CONFIRMED for status in parents)


def get_descendants(edges: Iterable[tuple[K, K]], roots: Collection[K]) -> set[K]:
    """Everything that depends on a root, directly or not; the roots themselves are left out."""
    children: defaultdict[K, list[K]] = defaultdict(list)
    for parent, child in edges:
        children[parent].append(child)
    found: set[K] = set()
    queue = deque(roots)
    while queue:
        for child in children[queue.popleft()]:
            if child not in found:
                found.add(child)
                queue.append(child)
    return found - set(roots)


def compute_depths(parents: Mapping[K, Collection[K]]) -> dict[K, int]:
    """The longest path to each node, roots at 0; the graph is acyclic and closed.

    Kahn's algorithm; a node whose parents are not all in the mapping raises KeyError.
    """
    depths: dict[K, int] = {}
    waiting = {node: len(set(above)) for node, above in parents.items()}
    children: defaultdict[K, list[K]] = defaultdict(list)
    for node, above in parents.items():
        for parent in set(above):
            children[parent].append(node)
    queue = deque(node for node, count in waiting.items() if count == 0)
    for node in queue:
        depths[node] = 0
    while queue:
        node = queue.popleft()
        for child in children[node]:
            depths[child] = max(depths.get(child, 0), depths[node] + 1)
            waiting[child] -= 1
            if waiting[child] == 0:
                queue.append(child)
    return depths

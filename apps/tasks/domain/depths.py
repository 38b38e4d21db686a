"""How deep each step of a run lies."""

from collections import defaultdict, deque
from collections.abc import Collection, Mapping
from typing import TypeVar

K = TypeVar("K")


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

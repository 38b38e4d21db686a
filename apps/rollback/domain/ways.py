"""Which way a failure took from its root to what it took along."""

from collections.abc import Iterable, Sequence
from uuid import UUID


def find_ways(order: Sequence[UUID], edges: Iterable[tuple[UUID, UUID]]) -> dict[UUID, tuple[UUID, ...]]:
    """Task → the longest way from the root to it, both included; what the root does not reach is not there.

    `order` begins with the root and has parents before their children; `edges` are (parent, child), and
    those of other tasks are passed over.
    """
    parents: dict[UUID, list[UUID]] = {}
    for parent, child in edges:
        parents.setdefault(child, []).append(parent)
    ways: dict[UUID, tuple[UUID, ...]] = {task: (task,) for task in order[:1]}
    for task in order[1:]:
        above = [ways[parent] for parent in parents.get(task, ()) if parent in ways]
        if above:
            ways[task] = (*max(above, key=len), task)
    return ways

"""A closed set of nodes in an order that depends on nothing but its edges and the order it came in."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from apps.jobs.errors import DependencyCycle

K = TypeVar("K")


def layer(parents: Mapping[K, Iterable[K]], children: Mapping[K, Iterable[K]]) -> list[K]:
    """The nodes by layer (the longest path from a root), in the mapping's order within each.

    Every parent comes before its children. Raises DependencyCycle(cycle).
    """
    missing = {node: sum(1 for _ in above) for node, above in parents.items()}
    position = {node: n for n, node in enumerate(parents)}
    current = [node for node, count in missing.items() if count == 0]
    ordered: list[K] = []
    while current:
        ordered.extend(current)
        following: list[K] = []
        for node in current:
            for child in children[node]:
                missing[child] -= 1
                if missing[child] == 0:
                    following.append(child)
        current = sorted(following, key=position.__getitem__)

    if len(ordered) < len(missing):
        raise DependencyCycle(cycle=_find_cycle(parents, missing))
    return ordered


def _find_cycle(parents: Mapping[K, Iterable[K]], missing: Mapping[K, int]) -> list[str]:
    """One cycle among the nodes left over, as a chain parent → child with its first node repeated.

    Each of them has a parent that is left over too, so walking up must come back.
    """
    node = next(node for node, count in missing.items() if count)
    walk: dict[K, None] = {}
    while node not in walk:
        walk[node] = None
        node = next(parent for parent in parents[node] if missing[parent])
    chain = list(walk)
    cycle = [node, *reversed(chain[chain.index(node) :])]
    return [str(each) for each in cycle]

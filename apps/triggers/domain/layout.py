"""Many conditions' trees as flat levels, so that all of them are reduced at once.

Truth is 0 (not met), 1 (unknown), 2 (met): `all` is the minimum and `any` the maximum. An `any` is computed
as the minimum of its parts turned over (2 - t), which leaves one reduction for a level. Slots of a level are
in the order of the rows, and the children of its groups are the next level, in the same order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy

from apps.triggers.domain.arrays import ranges
from apps.triggers.domain.conditions import Group, Join, Leaf

TRUE: Final = 2
UNKNOWN: Final = 1
FALSE: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """One condition's levels, root first. A slot is its leaf (or -1), how many children it has, and 2 where
    it is turned over on its way up.
    """

    leaves: tuple[tuple[int, ...], ...]
    children: tuple[tuple[int, ...], ...]
    turns: tuple[tuple[int, ...], ...]


def tree_of(root: Leaf | Group, leaf_ids: Sequence[int]) -> Tree:
    """The levels of a condition whose leaves, in the order of the definition, have these ids."""
    ids = iter(leaf_ids)
    levels: list[tuple[list[int], list[int], list[int]]] = []

    def place(node: Leaf | Group, depth: int, parent_is_any: bool) -> None:
        if depth == len(levels):
            levels.append(([], [], []))
        leaves, children, turns = levels[depth]
        if isinstance(node, Leaf):
            leaves.append(next(ids))
            children.append(0)
            turns.append(2 * parent_is_any)
            return
        is_any = node.join is Join.ANY
        leaves.append(-1)
        children.append(len(node.parts))
        turns.append(2 * (is_any is not parent_is_any))
        for part in node.parts:
            place(part, depth + 1, is_any)

    place(root, 0, False)
    return Tree(
        leaves=tuple(tuple(level[0]) for level in levels),
        children=tuple(tuple(level[1]) for level in levels),
        turns=tuple(tuple(level[2]) for level in levels),
    )


class _Level:
    """Some slots of one depth, in order."""

    def __init__(self, xp: Any, leaves: Any, children: Any, turns: Any) -> None:
        self.leaves = leaves
        self.children = children
        self.turns = turns
        self.leaf_slots = xp.flatnonzero(leaves >= 0)
        self.leaf_ids = leaves[self.leaf_slots]
        self.group_slots = xp.flatnonzero(leaves < 0)
        counts = children[self.group_slots]
        self.starts = xp.cumsum(counts) - counts


class Layout:
    """The trees of all rows, level by level."""

    def __init__(self, xp: Any, trees: Sequence[Tree]) -> None:
        self._xp = xp
        self.rows = len(trees)
        self._levels: list[_Level] = []
        self._offsets: list[Any] = []
        for depth in range(max((len(tree.leaves) for tree in trees), default=0)):
            deep = [tree for tree in trees if depth < len(tree.leaves)]
            self._levels.append(
                _Level(
                    xp,
                    _flat(xp, (tree.leaves[depth] for tree in deep), numpy.int32),
                    _flat(xp, (tree.children[depth] for tree in deep), numpy.int32),
                    _flat(xp, (tree.turns[depth] for tree in deep), numpy.int8),
                )
            )
            sizes = [len(tree.leaves[depth]) if depth < len(tree.leaves) else 0 for tree in trees]
            self._offsets.append(xp.cumsum(xp.asarray([0, *sizes], dtype=numpy.int64)))

    def row_of_leaf(self, count: int) -> Any:
        """The row of each of `count` leaf ids, -1 for one that no row has."""
        found = self._xp.full(count, -1, dtype=numpy.int32)
        for level, offsets in zip(self._levels, self._offsets, strict=True):
            rows = self._xp.repeat(self._xp.arange(self.rows, dtype=numpy.int32), self._xp.diff(offsets))
            found[level.leaf_ids] = rows[level.leaf_slots]
        return found

    def reduce(self, truth: Any, rows: Any = None) -> Any:
        """The truth of all rows, or of some (sorted, distinct), from the truth of leaves by id."""
        levels = (
            self._levels if rows is None else [self._part(depth, rows) for depth in range(len(self._levels))]
        )
        below: Any = None
        for level in reversed(levels):
            here = self._xp.empty(len(level.leaves), dtype=numpy.int8)
            here[level.leaf_slots] = truth[level.leaf_ids]
            if len(level.group_slots):
                here[level.group_slots] = self._xp.minimum.reduceat(below, level.starts)
            below = self._xp.abs(here - level.turns)
        return self._xp.empty(0, dtype=numpy.int8) if below is None else below

    def _part(self, depth: int, rows: Any) -> _Level:
        offsets, level = self._offsets[depth], self._levels[depth]
        starts = offsets[rows]
        slots = ranges(self._xp, starts, offsets[rows + 1] - starts)
        return _Level(self._xp, level.leaves[slots], level.children[slots], level.turns[slots])


def _flat(xp: Any, parts: Any, kind: Any) -> Any:
    return xp.asarray(numpy.fromiter(chain.from_iterable(parts), dtype=kind))

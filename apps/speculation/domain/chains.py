"""How admitted tasks travel: chains where one task follows another, groups where several do, joins by SQL.

The admitted sub-DAG is cut into canvases. A canvas starts with a task that can run now, or with one
that the database starts when its last parent is recorded (a join, or a task under an attempt already on
its way), and holds what follows it without meeting another branch. Inside a canvas a task has one
pending parent, so its parent's receipt is all it waits for. Every admitted task is in exactly one
chain, after all its parents in the same canvas.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from apps.speculation.errors import DependencyUnknown


class Start(StrEnum):
    """What sets a canvas off."""

    #: everything its first task stands on is there
    NOW = "now"
    #: the stage that records the last parent of its first task
    LAST_PARENT = "last_parent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Tasks that follow each other. `following` are the chains its last task fans out to, by index: none, or
    two and more, which are one group."""

    tasks: tuple[UUID, ...]
    following: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """A tree of chains, flat: `chains[0]` is the first, and every other one follows exactly one before it.

    `waits_for` are the pending parents of the first task, where it does not start now.
    """

    start: Start
    chains: tuple[Chain, ...]
    waits_for: tuple[UUID, ...] = ()

    @property
    def first(self) -> UUID:
        """The task it starts with."""
        return self.chains[0].tasks[0]


def plan_canvases(
    admitted: Sequence[UUID], parents: Mapping[UUID, Collection[UUID]], pending: Collection[UUID] = ()
) -> list[Canvas]:
    """Cut the admitted tasks, given parents before children, into canvases.

    `parents` are their direct parents; a parent that is neither admitted here nor `pending` (admitted
    before and without an output yet) has its output, so nothing waits for it. Raises DependencyUnknown
    for a task without an entry in `parents`.
    """
    chosen = set(admitted)
    awaited = chosen.union(pending)
    waits: dict[UUID, list[UUID]] = {}
    following: dict[UUID, list[UUID]] = {task: [] for task in admitted}
    for task in admitted:
        if task not in parents:
            raise DependencyUnknown(task=str(task))
        waits[task] = [parent for parent in parents[task] if parent in awaited]
        if len(waits[task]) == 1 and waits[task][0] in chosen:
            following[waits[task][0]].append(task)
    travelling = {task for followers in following.values() for task in followers}
    return [
        Canvas(
            start=Start.LAST_PARENT if waits[task] else Start.NOW,
            chains=_cut(task, following),
            waits_for=tuple(sorted(waits[task])),
        )
        for task in admitted
        if task not in travelling
    ]


def _cut(first: UUID, following: Mapping[UUID, Sequence[UUID]]) -> tuple[Chain, ...]:
    """The tree that hangs below a task as chains, breadth first."""
    heads = [first]
    chains: list[Chain] = []
    for head in heads:
        tasks = [head]
        while len(following[tasks[-1]]) == 1:
            tasks.append(following[tasks[-1]][0])
        branches = following[tasks[-1]]
        start = len(heads)
        heads.extend(branches)
        chains.append(Chain(tasks=tuple(tasks), following=tuple(range(start, start + len(branches)))))
    return tuple(chains)

"""The dependency graph of a job's steps: no cycle, every parent known.

It may be as deep as it has steps: depth limits only how far a task runs ahead of what is not confirmed, and
a task beyond that limit waits.
"""

from collections.abc import Mapping, Sequence

from apps.jobs.domain.values import StepDefinition
from apps.jobs.errors import DependencyCycle, ParentUnknown, SelfDependency, StepDuplicate


def check_graph(steps: Sequence[StepDefinition], *, pointer: str = "/steps") -> None:
    """Raise StepDuplicate, SelfDependency, ParentUnknown or DependencyCycle(cycle)."""
    index: dict[str, int] = {}
    for i, step in enumerate(steps):
        if step.key in index:
            raise StepDuplicate(pointer=f"{pointer}/{i}/key", step=step.key)
        index[step.key] = i

    for i, step in enumerate(steps):
        for j, parent in enumerate(step.parents):
            if parent.step == step.key:
                raise SelfDependency(pointer=f"{pointer}/{i}/parents/{j}", step=step.key)
            if parent.step not in index:
                raise ParentUnknown(
                    pointer=f"{pointer}/{i}/parents/{j}", step=step.key, parent=parent.step[:80]
                )

    compute_depths(steps, pointer=pointer)


def topological_order(steps: Sequence[StepDefinition], *, pointer: str = "/steps") -> tuple[str, ...]:
    """Keys with every parent before its children, in definition order where free; raise DependencyCycle."""
    return tuple(compute_depths(steps, pointer=pointer))


def compute_depths(steps: Sequence[StepDefinition], *, pointer: str = "/steps") -> dict[str, int]:
    """The longest path to each step from a root (0), in topological order; raise DependencyCycle(cycle)."""
    parents = {step.key: tuple(parent.step for parent in step.parents) for step in steps}
    children: dict[str, list[str]] = {key: [] for key in parents}
    for key, above in parents.items():
        for parent in above:
            children[parent].append(key)

    waiting = {key: len(above) for key, above in parents.items()}
    frontier = [key for key, count in waiting.items() if count == 0]
    depths: dict[str, int] = {}
    while frontier:
        following: list[str] = []
        for key in frontier:
            depths[key] = max((depths[parent] + 1 for parent in parents[key]), default=0)
            for child in children[key]:
                waiting[child] -= 1
                if waiting[child] == 0:
                    following.append(child)
        frontier = following

    if len(depths) < len(parents):
        raise DependencyCycle(pointer=pointer, cycle=_find_cycle(parents, depths))
    return depths


def _find_cycle(parents: Mapping[str, tuple[str, ...]], ordered: Mapping[str, int]) -> list[str]:
    """One cycle among the steps that could not be ordered, as a chain parent → child, first repeated.

    Every such step has a parent that could not be ordered either, so walking up must repeat.
    """
    walk: list[str] = []
    key = next(key for key in parents if key not in ordered)
    while key not in walk:
        walk.append(key)
        key = next(parent for parent in parents[key] if parent not in ordered)
    cycle = [key, *reversed(walk[walk.index(key) :])]
    return cycle

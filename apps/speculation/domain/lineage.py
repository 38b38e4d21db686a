"""What an attempt stands on: stamped on its messages, checked before its word counts, final in the end.

A lineage names attempts, not tasks: when an ancestor is tried again, what stood on its earlier attempt
stands on nothing, and a revocation of the earlier one never meets the later.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from apps.kernel.ids import to_wire
from apps.speculation.data import Standing
from apps.speculation.errors import LineageBroken

#: the header every message of a lineage is stamped with
STAMP: Final = "stands_on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a parent offers to stand on: its attempt, and the hash of its output once it has one."""

    epoch: int
    output_hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """One attempt and the unconfirmed attempts it stands on, nearest last."""

    task: UUID
    epoch: int
    ancestors: tuple[tuple[UUID, int], ...]

    def to_stamps(self) -> dict[str, list[str]]:
        """The stamped headers of its message: itself and everything it stands on."""
        return {STAMP: [stamp_of(*attempt) for attempt in (*self.ancestors, (self.task, self.epoch))]}


def stamp_of(task: UUID, epoch: int) -> str:
    """An attempt's name in stamps. With the epoch in it, a revocation never meets a later attempt."""
    return f"{task.hex}:{epoch}"


def compute_revocation(attempts: Iterable[tuple[UUID, int]]) -> dict[str, list[str]]:
    """The stamped headers by which everything that stands on these attempts is revoked, in one call."""
    return {STAMP: sorted(stamp_of(*attempt) for attempt in attempts)}


def compute_lineages(
    order: Sequence[UUID],
    parents: Mapping[UUID, Collection[UUID]],
    epochs: Mapping[UUID, int],
    confirmed: Collection[UUID],
) -> dict[UUID, Lineage]:
    """The lineage of every unconfirmed task of `order` (parents before children)."""
    position = {task: n for n, task in enumerate(order)}
    above: dict[UUID, set[UUID]] = {}
    for task in order:
        open_parents = [parent for parent in parents[task] if parent not in confirmed]
        above[task] = set(open_parents).union(*(above[parent] for parent in open_parents))
    return {
        task: Lineage(
            task=task,
            epoch=epochs[task],
            ancestors=tuple(
                (ancestor, epochs[ancestor]) for ancestor in sorted(above[task], key=position.__getitem__)
            ),
        )
        for task in order
        if task not in confirmed
    }


def require_lineage(claimed: Mapping[UUID, Ground], current: Mapping[UUID, Ground]) -> None:
    """Raise LineageBroken(parent, claimed, current) unless every parent's current output is the one used.

    `claimed` is what a receipt says it was made from, `current` what is recorded of the task's parents;
    a parent left out, one too many, another attempt or another output all break it, and so does a
    parent without an output.
    """
    for parent in sorted({*claimed, *current}):
        used, known = claimed.get(parent), current.get(parent)
        if used is None or used != known or not known.output_hash:
            raise LineageBroken(
                parent=to_wire("task", parent),
                claimed=None if used is None else used.epoch,
                current=None if known is None else known.epoch,
            )


def is_ground_final(ancestors: Iterable[Standing]) -> bool:
    """Whether everything an attempt stands on is confirmed, so that it may be submitted (invariant 15)."""
    return all(standing is Standing.CONFIRMED for standing in ancestors)

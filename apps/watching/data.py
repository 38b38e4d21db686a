"""The public values of watching."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from apps.triggers.data import EventTrigger
from apps.watching.domain.states import SightingStatus

__all__ = ["CatchUp", "SightingStatus", "Watched"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """An active job that waits for logs, and since when they count."""

    job_id: UUID
    armed_at: datetime
    trigger: EventTrigger

    @property
    def since(self) -> int:
        """The first block timestamp that counts: whole seconds, rounded down."""
        return int(self.armed_at.timestamp())


@dataclass(frozen=True, slots=True, kw_only=True)
class CatchUp:
    """What one pass over a chain did. `is_at_head` is false where it stopped at its bound of work.

    `job_ids` are the jobs that have something to open.
    """

    seen: int = 0
    fired: int = 0
    dropped: int = 0
    reorged: int = 0
    job_ids: tuple[UUID, ...] = ()
    is_at_head: bool = True
    head_number: int | None = None

    def plus(self, other: "CatchUp") -> "CatchUp":
        """Both together; where the chain stands is the other's."""
        return CatchUp(
            seen=self.seen + other.seen,
            fired=self.fired + other.fired,
            dropped=self.dropped + other.dropped,
            reorged=self.reorged + other.reorged,
            job_ids=tuple(dict.fromkeys((*self.job_ids, *other.job_ids))),
            is_at_head=other.is_at_head,
            head_number=self.head_number if other.head_number is None else other.head_number,
        )

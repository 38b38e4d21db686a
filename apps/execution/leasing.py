"""Giving leases: the keepers of one pass with the room they have left, and the lease's row and value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings

from apps.execution.data import Assignment, AssignmentStatus
from apps.execution.domain.scoring import Choice, choose_keeper, compute_demand, compute_room, is_eligible
from apps.execution.models import Assignment as AssignmentRow
from apps.execution.selectors import count_open_leases, get_backlogged_keepers
from apps.keepers.data import KeeperValue
from apps.keepers.selectors import get_assignable_keepers
from apps.kernel.ids import from_wire, new_id
from apps.tasks.models import Task

#: a parked lease is looked at this often, should its start have been missed
_PARKED_SECONDS: Final = 1


@dataclass(slots=True, kw_only=True)
class KeeperPool:
    """The keepers work may be given to now; every choice takes some of their room."""

    keepers: Sequence[KeeperValue]
    ready: Sequence[KeeperValue]
    open_leases: dict[str, int]
    assigned_at: dict[str, datetime]
    min_stake_units: int
    chosen: set[str] = field(default_factory=set)

    @property
    def room(self) -> int:
        """How many more leases fit."""
        return sum(compute_room(keeper, self.open_leases.get(keeper.address, 0)) for keeper in self.ready)

    def choose(
        self,
        spec: Mapping[str, Any],
        *,
        failed: frozenset[str],
        now: datetime,
        poor: frozenset[str] = frozenset(),
    ) -> Choice | None:
        """The best keeper with room, one that has not failed on the task if there is any, and take its room.

        One that is not too `poor` for the bond is preferred too. None where those that could are full, and
        where nobody could.
        """
        demand = compute_demand(spec, min_stake_units=self.min_stake_units, excluded=failed)
        choice = None
        if poor:
            rich = replace(demand, excluded=failed | poor)
            choice = choose_keeper(self.ready, rich, self.open_leases, self.assigned_at)
        choice = choice or choose_keeper(self.ready, demand, self.open_leases, self.assigned_at)
        if choice is None and failed and not any(is_eligible(keeper, demand) for keeper in self.keepers):
            demand = compute_demand(spec, min_stake_units=self.min_stake_units, excluded=frozenset())
            choice = choose_keeper(self.ready, demand, self.open_leases, self.assigned_at)
        if choice is not None:
            self.open_leases[choice.address] = self.open_leases.get(choice.address, 0) + 1
            self.assigned_at[choice.address] = now
        return choice

    def give_back(self, address: str) -> None:
        """Free the room of a choice that was not used."""
        self.open_leases[address] -= 1

    def is_full_for(self, spec: Mapping[str, Any]) -> bool:
        """Whether somebody could do this and has no room: it is worth asking again soon."""
        demand = compute_demand(spec, min_stake_units=self.min_stake_units, excluded=frozenset())
        return any(is_eligible(keeper, demand) for keeper in self.keepers)


def open_pool(now: datetime) -> KeeperPool:
    """The keepers that are online, those of them that are not behind, and their open leases."""
    keepers = get_assignable_keepers()
    backlogged = get_backlogged_keepers(now)
    return KeeperPool(
        keepers=keepers,
        ready=[keeper for keeper in keepers if keeper.address not in backlogged],
        open_leases=dict(count_open_leases()),
        assigned_at={k.address: k.last_assigned_at for k in keepers if k.last_assigned_at},
        min_stake_units=settings.FOREKEEP.keepers.min_stake_units,
    )


def lease_new(
    task: Task,
    choice: Choice,
    *,
    now: datetime,
    lease_id: UUID | None = None,
    waits_seconds: float = 0.0,
    is_ahead: bool = False,
    lineage: Sequence[str] = (),
    is_parked: bool = False,
) -> AssignmentRow:
    """A lease on the next attempt's epoch. `waits_seconds` is how long what it awaits may still take."""
    execution = settings.FOREKEEP.execution
    begins_at = now + timedelta(seconds=waits_seconds)
    seconds = compute_lease_seconds(task.spec, waits_seconds=waits_seconds, is_ahead=is_ahead)
    return AssignmentRow(
        id=lease_id or new_id(),
        task=task,
        epoch=task.epoch + 1,
        keeper_id=choice.address,
        status=AssignmentStatus.OFFERED,
        offered_at=now,
        acknowledge_by=begins_at + timedelta(seconds=execution.acknowledge_seconds),
        expires_at=now + timedelta(seconds=seconds),
        resend_at=now + timedelta(seconds=_PARKED_SECONDS if is_parked else execution.resend_seconds),
        is_parked=is_parked,
        lineage=list(lineage),
        score_card=choice.card,
    )


def compute_lease_seconds(spec: Mapping[str, Any], *, waits_seconds: float, is_ahead: bool) -> float:
    """A lease's length: what it waits for, its deadline, a margin, and the buffer where it runs ahead."""
    buffer = settings.FOREKEEP.speculation.lease_buffer_seconds + 1 if is_ahead else 0
    margin = settings.FOREKEEP.execution.lease_margin_seconds
    return float(waits_seconds + spec["limits"]["deadline_seconds"] + margin + buffer)


def assignment_of(lease: AssignmentRow, task: Task) -> Assignment:
    """The value that is signed."""
    return Assignment(
        task_id=task.id,
        run_id=task.run_id,
        epoch=lease.epoch,
        lease=lease.id,
        keeper=lease.keeper_id,
        expires_at=int(lease.expires_at.timestamp()),
        spec=task.spec,
    )


def get_awaited_leases(task: Task) -> dict[UUID, UUID]:
    """Parent task → its lease, of every attempt that the task's specification awaits."""
    awaits = (task.spec.get("awaits") or {}).values()
    return {from_wire("task", each["task"]): UUID(hex=each["lease"]) for each in awaits}

"""From a signed message to the locked rows it speaks of, or to the reason why it speaks of none."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from uuid import UUID

from apps.eventlog.locking import lock_rows
from apps.eventlog.writing import rows_update
from apps.execution.data import ASSIGNMENT_TABLE, AssignmentStatus
from apps.execution.dispatcher import get_domain
from apps.execution.domain.receipt import LeaseValue, require_lease
from apps.execution.errors import LeaseClosed
from apps.execution.models import Assignment
from apps.kernel.eip712 import TypedDomain, require_signer
from apps.kernel.errors import DomainError
from apps.tasks.data import TaskStatus
from apps.tasks.models import Task


class Claim(Protocol):
    """What every message about a lease says."""

    @property
    def task_id(self) -> UUID: ...
    @property
    def epoch(self) -> int: ...
    @property
    def lease(self) -> UUID: ...
    @property
    def keeper(self) -> str: ...
    def digest(self, domain: TypedDomain) -> bytes:
        """The 32 bytes its keeper signed."""


C = TypeVar("C", bound=Claim)
Leases = Mapping[tuple[UUID, int], Assignment]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A message that changed nothing, by its index in the set, and why."""

    index: int
    error: DomainError


def parse_signed(
    items: Sequence[Mapping[str, Any]], parse: Callable[[Mapping[str, Any]], tuple[C, bytes]]
) -> tuple[list[tuple[int, C]], list[Refusal]]:
    """The messages that are well formed and signed by the keeper they name, with their indexes."""
    domain = get_domain()
    claims: list[tuple[int, C]] = []
    refusals: list[Refusal] = []
    for index, item in enumerate(items):
        try:
            claim, signature = parse(item)
            require_signer(claim.digest(domain), signature, claim.keeper)
        except DomainError as exc:
            refusals.append(Refusal(index=index, error=exc))
        else:
            claims.append((index, claim))
    return claims, refusals


def lock_claims(claims: Sequence[Claim]) -> tuple[dict[UUID, Task], Leases]:
    """Lock the tasks the claims name and, after them, the leases of the epochs they name."""
    ids = {claim.task_id for claim in claims}
    tasks = {task.id: task for task in lock_rows(Task.objects.filter(pk__in=ids), skip_locked=False)}
    leases = lock_rows(
        Assignment.objects.filter(task__in=tasks, epoch__in={claim.epoch for claim in claims}),
        skip_locked=False,
    )
    return tasks, {(lease.task_id, lease.epoch): lease for lease in leases}


def require_claim(
    claim: Claim,
    tasks: Mapping[UUID, Task],
    leases: Leases,
    *,
    repeated: Mapping[str, Any] | None = None,
) -> tuple[Task, Assignment | None]:
    """The task and live lease of a claim; no lease where `repeated` is what it was answered with before.

    Raises AssignmentUnknown, EpochStale, LeaseForeign, LeaseClosed.
    """
    task, lease = tasks.get(claim.task_id), leases.get((claim.task_id, claim.epoch))
    if task is not None and lease is not None and repeated is not None and lease.receipt == repeated:
        return task, None
    held = None
    if task is not None and lease is not None:
        held = LeaseValue(
            lease=lease.id,
            epoch=lease.epoch,
            task_epoch=task.epoch,
            task_status=TaskStatus(task.status),
            keeper=lease.keeper_id,
            status=AssignmentStatus(lease.status),
        )
    require_lease(claim.lease, claim.epoch, claim.keeper, held)
    assert task is not None
    if task.is_failing:
        raise LeaseClosed(status="task_failing")
    return task, lease


def lease_move(lease: Assignment, target: AssignmentStatus) -> None:
    """Move a locked lease. Raises IllegalTransition."""
    current = AssignmentStatus(lease.status)
    lease.status = ASSIGNMENT_TABLE.move(id=str(lease), current=current, target=target)


def leases_write(leases: Sequence[Assignment]) -> None:
    """Write the changeable columns of locked leases."""
    fields = (
        "status",
        "receipt",
        "acknowledged_at",
        "acknowledge_by",
        "resend_at",
        "is_parked",
        "ended_at",
        "end_reason",
    )
    rows_update(Assignment, leases, fields, [lease.epoch for lease in leases], guard_column="epoch")

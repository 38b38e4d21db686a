"""Reading proofs: what is due, what may be submitted, what others are shown."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import models
from django.db.models import F, Q

from apps.kernel.ids import to_wire
from apps.proofs.data import TaskWitness
from apps.proofs.domain.deferral import ProofStatus
from apps.proofs.domain.task_witness import build_witness
from apps.proofs.errors import WitnessInvalid
from apps.proofs.models import UNFINISHED, Proof
from apps.proofs.rows import COSTS, get_deadline
from apps.tasks.data import REOPENABLE, TaskStatus
from apps.tasks.data import UNFINISHED as UNFINISHED_TASKS
from apps.tasks.models import Task

_S = ProofStatus
#: where a task is while it has a proof that may still be made, wait or be submitted
LIVE: Final = (TaskStatus.PROVING, TaskStatus.PROVED, TaskStatus.WAITING_ANCESTORS)
#: tasks whose specification asks for a proof
ASKED: Final = Q(spec__proof__circuit__isnull=False)
_TIMES: Final = ("queued_at", "generation_started_at", "generated_at", "submission_started_at", "ended_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofWork:
    """What the prover is to be asked: all of it belongs to one attempt; `deadline` is the proof's."""

    witness: TaskWitness
    deadline: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofFault:
    """A broken invariant: its number, what is wrong, and where."""

    invariant: int
    reason: str
    where: str


def get_due_tasks(now: datetime, limit: int) -> list[UUID]:
    """Tasks the stage `prove` would look at now, in id order."""
    own = Task.objects.filter(is_failing=False, wake_at__lte=now)
    attested = own.filter(ASKED, status=TaskStatus.ATTESTED)
    woken = own.filter(status__in=LIVE, proofs__epoch=F("epoch"))
    found: set[UUID] = set()
    for tasks in (attested, woken):
        found.update(tasks.order_by("pk").values_list("pk", flat=True)[:limit])
    due = Proof.objects.filter(wake_at__lte=now).exclude(task__stage_errors__gt=0, task__wake_at__gt=now)
    found.update(due.order_by("task_id").values_list("task_id", flat=True)[:limit])
    return sorted(found)[:limit]


def get_tasks_to_submit(
    limit: int, ids: Sequence[UUID] | None = None, *, now: datetime | None = None
) -> list[UUID]:
    """Tasks whose proof has a place in a submission that is not signed yet, in id order.

    With `now`, without those that a stage broke on and that are put off until later.
    """
    rows = _submitting()
    if ids is not None:
        rows = rows.filter(task__in=ids)
    if now is not None:
        rows = rows.exclude(task__stage_errors__gt=0, task__wake_at__gt=now)
    return list(rows.order_by("task_id").values_list("task_id", flat=True)[:limit])


def proofs_to_submit(task_ids: Collection[UUID]) -> dict[UUID, Proof]:
    """Task → its proof, of those that may be sent to the chain now; read with the tasks locked.

    All their ancestors are confirmed. `proof` is the hex of `data.Proof.to_bytes()`, `circuit` says which
    verifier takes it.
    """
    return {row.task_id: row for row in _submitting().filter(task__in=task_ids)}


def get_proof_work(proof_id: UUID, attempt: int) -> ProofWork | None:
    """What to prove, or None where this attempt is over.

    Raises WitnessInvalid, TraceTooLong for a task whose result makes no witness.
    """
    rows = Proof.objects.select_related("task").defer("proof")
    row = rows.filter(pk=proof_id, status=_S.GENERATING, generation_attempts=attempt).first()
    deadline = get_deadline(row) if row is not None else None
    if row is None or deadline is None or not is_live(row, row.task):
        return None
    task = row.task
    try:
        witness = build_witness(task_id=task.id.int, spec=task.spec, result=task.result or {})
    except (KeyError, TypeError, ValueError) as exc:
        raise WitnessInvalid(
            reason=f"the result makes no witness: {type(exc).__name__} {exc}"[:200]
        ) from None
    return ProofWork(witness=witness, deadline=deadline)


def is_live(row: Proof, task: Task) -> bool:
    """Whether the proof is of the task's present attempt and that attempt goes on."""
    return row.epoch == task.epoch and task.status in LIVE and not task.is_failing


def count_unfinished() -> int:
    """How many proofs are to be made, wait, or are on their way to the chain."""
    return Proof.objects.filter(status__in=UNFINISHED).count()


def proofs_of(task_ids: Collection[UUID]) -> dict[UUID, dict[str, Any]]:
    """Task → the proof of its latest attempt that had one, as `proof_json`; one query."""
    rows = Proof.objects.filter(task__in=task_ids).defer("proof").order_by("epoch")
    return {row.task_id: proof_json(row) for row in rows}


def proof_json(row: Proof) -> dict[str, Any]:
    """What is shown of a proof; `cost` is null until it is made, and where another one's was taken over."""
    cost = {name: getattr(row, name) for name in COSTS}
    return {
        "id": to_wire("prf", row.id),
        "epoch": row.epoch,
        "status": str(row.status),
        "circuit": row.circuit,
        "public_input": row.public_input,
        "depth": row.depth,
        "waits_for": [f"task_{above}" for above in row.ancestors],
        "attempts": row.generation_attempts,
        "reason": row.reason or None,
        **{name: getattr(row, name) for name in _TIMES},
        "cost": None if row.wall_seconds is None else cost,
    }


def check() -> list[ProofFault]:
    """What no constraint can hold, asked of live data: 15 (submitted after all ancestors), 13 (no proof
    outlives its attempt)."""
    named = dict(Proof.objects.filter(status=_S.SUBMITTING).values_list("task_id", "ancestors"))
    confirmed, _ = get_standing(above for ancestors in named.values() for above in ancestors)
    early = [task_id for task_id, ancestors in named.items() if not confirmed.issuperset(ancestors)]
    over = ~Q(task__epoch=F("epoch")) | ~Q(task__status__in=sorted(UNFINISHED_TASKS))
    outlived = Proof.objects.filter(over, status__in=UNFINISHED).values_list("task_id", flat=True)
    return [
        *(_fault(15, "its proof was submitted before an ancestor was confirmed", key) for key in early),
        *(_fault(13, "its proof outlived the attempt", key) for key in outlived),
    ]


def get_standing(ancestors: Iterable[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Of these tasks (hex), the confirmed ones and those that are dead; one query."""
    ids = [UUID(hex=above) for above in set(ancestors)]
    if not ids:
        return frozenset(), frozenset()
    found = Task.objects.filter(pk__in=ids, status__in=(TaskStatus.CONFIRMED, *sorted(REOPENABLE)))
    statuses = {key.hex: status for key, status in found.values_list("pk", "status")}
    confirmed = frozenset(key for key, status in statuses.items() if status == TaskStatus.CONFIRMED)
    return confirmed, frozenset(statuses) - confirmed


def _submitting() -> "models.QuerySet[Proof, Proof]":
    """Proofs in a submission that nobody has signed, of attempts that go on."""
    return Proof.objects.filter(
        status=_S.SUBMITTING,
        is_signed=False,
        epoch=F("task__epoch"),
        task__status__in=LIVE,
        task__is_failing=False,
    )


def _fault(invariant: int, reason: str, task_id: UUID) -> ProofFault:
    return ProofFault(invariant=invariant, reason=reason, where=to_wire("task", task_id))

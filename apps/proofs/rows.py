"""Between rows and the values the rules take, and when a row is looked at again."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings

from apps.eventlog.writing import rows_update
from apps.jobs.data import EdgeKind
from apps.kernel.eip712 import word
from apps.kernel.hashing import keccak, to_hex
from apps.kernel.ids import new_id
from apps.proofs.domain.deferral import (
    DeferralLimits,
    DeferredProof,
    ProofStatus,
    compute_deadline,
    compute_wake_at,
)
from apps.proofs.domain.field import is_element
from apps.proofs.models import Proof
from apps.speculation.domain.graph import DependencyGraph
from apps.tasks.data import TaskStatus
from apps.tasks.models import Edge, Task

_S = ProofStatus
#: a confirmation wakes whoever waits for it; one that happened while nobody looked is found this much later
_ANCESTORS_SECONDS: Final = 10
#: a signed submission is ended by whoever reads the chain; it is only looked at to have a wake-up
_SIGNED_SECONDS: Final = 300
#: columns a rule may change, under the same name in both
_SHARED: Final = (
    "status",
    "retry_at",
    "generation_started_at",
    "generated_at",
    "submission_started_at",
    "generation_attempts",
    "submission_attempts",
    "submission",
    "is_signed",
    "reason",
)
COSTS: Final = ("waited_seconds", "wall_seconds", "cpu_seconds", "peak_memory_bytes", "delay_seconds")
_WRITTEN: Final = (*_SHARED, "resend_at", "wake_at", "ended_at", "proof", *COSTS)


def get_limits() -> DeferralLimits:
    """The deployment's limits."""
    proofs = settings.FOREKEEP.proofs
    return DeferralLimits(
        generations=proofs.generations,
        submissions=proofs.submissions,
        submission_size=settings.FOREKEEP.settlement.batch_max,
        generation_seconds=proofs.generation_seconds,
        submission_seconds=proofs.submission_seconds,
        ancestors_seconds=proofs.ancestors_seconds,
        retries=proofs.retries,
        retry_base_seconds=proofs.retry_base_seconds,
        retry_max_seconds=proofs.retry_max_seconds,
        duplicate_seconds=proofs.duplicate_seconds,
        result_kept_seconds=proofs.result_kept_seconds,
    )


def compute_input_hash(circuit: int, public_input: int) -> str:
    """What two proofs of the same thing have in common: keccak(circuit ‖ public input) as words."""
    return to_hex(keccak(word(circuit) + word(public_input)))


def compute_handle(row: Proof, attempt: int | None = None) -> str:
    """What the prover knows an attempt by, the present one unless another is named."""
    return f"{row.id.hex}/{row.generation_attempts if attempt is None else attempt}"


def to_value(row: Proof) -> DeferredProof:
    """The row as the rules see it."""
    return DeferredProof(
        id=row.id.hex,
        task=row.task_id.hex,
        input_hash=row.input_hash,
        depth=row.depth,
        ancestors=frozenset(row.ancestors),
        queued_at=row.queued_at,
        status=ProofStatus(row.status),
        retry_at=row.retry_at,
        generation_started_at=row.generation_started_at,
        generated_at=row.generated_at,
        submission_started_at=row.submission_started_at,
        generation_attempts=row.generation_attempts,
        submission_attempts=row.submission_attempts,
        submission=row.submission,
        is_signed=row.is_signed,
        reason=row.reason,
    )


def take_value(row: Proof, value: DeferredProof, *, limits: DeferralLimits, now: datetime) -> None:
    """Make the row what a rule decided; an attempt that begins is asked for again after a while."""
    if value.status is not _S.GENERATING:
        row.resend_at = None
    elif row.resend_at is None or value.generation_attempts != row.generation_attempts:
        row.resend_at = compute_resend_at(now)
    if value.is_ended and row.ended_at is None:
        row.ended_at = now
    for name in _SHARED:
        setattr(row, name, getattr(value, name))
    row.reason = row.reason[:64]
    row.wake_at = find_wake_at(row, value, limits, now)


def compute_resend_at(now: datetime) -> datetime:
    """When the prover is asked again; whoever is at it already does nothing then."""
    return now + timedelta(seconds=settings.FOREKEEP.execution.resend_seconds)


def find_wake_at(row: Proof, value: DeferredProof, limits: DeferralLimits, now: datetime) -> datetime | None:
    """When a pass must look at the row again at the latest."""
    wake_at = compute_wake_at(value, limits)
    if wake_at is None:
        return None
    if value.is_signed:
        return now + timedelta(seconds=_SIGNED_SECONDS)
    match value.status:
        case _S.GENERATING if row.resend_at is not None:
            return min(wake_at, row.resend_at)
        case _S.AWAITING_ANCESTORS:
            return min(wake_at, now + timedelta(seconds=_ANCESTORS_SECONDS))
    return wake_at


def get_deadline(row: Proof) -> datetime | None:
    """When the patience of its present wait is over."""
    return compute_deadline(to_value(row), get_limits())


def rows_take(changes: Iterable[tuple[Proof, DeferredProof]], *, now: datetime) -> None:
    """Make rows what rules decided and write them in one statement."""
    rows: list[Proof] = []
    limits = get_limits()
    for row, value in changes:
        take_value(row, value, limits=limits, now=now)
        rows.append(row)
    rows_save(rows)


def rows_save(rows: Sequence[Proof]) -> None:
    """Write rows whose tasks are locked, in one statement."""
    rows_update(Proof, rows, _WRITTEN, [row.epoch for row in rows], guard_column="epoch")


def rows_new(tasks: Sequence[Task], *, now: datetime) -> list[Proof]:
    """A proof to be made for the present attempt of each task, not saved yet; one query."""
    if not tasks:
        return []
    edges = [
        (parent, child, EdgeKind(kind))
        for parent, child, kind in Edge.objects.filter(run__in={task.run_id for task in tasks})
        .exclude(parent__status=TaskStatus.CONFIRMED)
        .values_list("parent_id", "child_id", "kind")
    ]
    nodes = dict.fromkeys([*(end for edge in edges for end in edge[:2]), *(task.id for task in tasks)])
    graph: DependencyGraph[UUID] = DependencyGraph.build(nodes, edges)
    return [_row_new(task, graph, now) for task in tasks]


def statement_of(result: Mapping[str, Any] | None) -> int:
    """The public input a result says is to be proved of it; 0, which is nobody's, where it says none."""
    text = (result or {}).get("statement")
    try:
        public_input = int(text, 16) if isinstance(text, str) else 0
    except ValueError:
        return 0
    return public_input if is_element(public_input) else 0


def _row_new(task: Task, graph: "DependencyGraph[UUID]", now: datetime) -> Proof:
    circuit, public_input = int(task.spec["proof"]["circuit"]), statement_of(task.result)
    return Proof(
        id=new_id(),
        task=task,
        epoch=task.epoch,
        circuit=circuit,
        public_input=f"0x{public_input:064x}",
        input_hash=compute_input_hash(circuit, public_input),
        depth=graph.get_depth(task.id),
        ancestors=sorted(above.hex for above in graph.get_unconfirmed_ancestors(task.id)),
        queued_at=now,
        wake_at=now,
    )

"""The tasks of some runs, as rows and as the values that cascades are planned over.

A cascade is planned over whole runs: which of their tasks stand on a failure, and what may come back, is
only known with all of them at hand and, for writing, locked.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.db.models.fields.json import KT

from apps.eventlog.locking import lock_columns
from apps.jobs.data import EdgeKind
from apps.rollback.data import TaskState
from apps.rollback.domain.recovery import RecoveryTerms
from apps.speculation.domain.graph import DependencyGraph
from apps.speculation.models import OPEN_COMMITMENTS, Commitment
from apps.speculation.services import commitments_lock_open_of
from apps.tasks.data import TaskStatus
from apps.tasks.models import Edge, Task

_COMPUTE: Final = "recorded_compute_units"
#: no keeper works on a task for longer (1,000,000 ms of a core), whatever it says it measured
_COMPUTE_MAX_UNITS: Final = 1_000_000
#: the columns a cascade reads; what it writes besides it sets, and what is large is left where it is
_COLUMNS: Final = (
    "id",
    "run_id",
    "project_id",
    "step_key",
    "status",
    "epoch",
    "failures",
    "is_failing",
    "performer",
    "error_code",
    "timeline",
    "event_sequence",
    "event_head",
    _COMPUTE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedRuns:
    """Whole runs: their rows by id, in id order, their graph, and each task as a cascade sees it."""

    tasks: dict[UUID, Task]
    graph: DependencyGraph[UUID]
    states: dict[UUID, TaskState]
    commitments: dict[UUID, Commitment]


def runs_lock(run_ids: Collection[UUID]) -> LoadedRuns:
    """Lock every task of the runs, in id order, then their open commitments."""
    tasks = lock_columns(_tasks_of(run_ids), _COLUMNS)
    return _load(run_ids, tasks, commitments_lock_open_of(run_ids))


def runs_read(run_ids: Collection[UUID]) -> LoadedRuns:
    """The same without a lock, for what is only looked at."""
    tasks = list(_tasks_of(run_ids).order_by("pk").defer("spec", "result"))
    rows = Commitment.objects.filter(run__in=run_ids, status__in=OPEN_COMMITMENTS).defer("ancestors")
    return _load(run_ids, tasks, {row.task_id: row for row in rows})


def get_recovery_terms() -> RecoveryTerms:
    """The deployment's terms of retries."""
    terms = settings.FOREKEEP.rollback
    return RecoveryTerms(
        max_attempts=settings.FOREKEEP.execution.max_attempts,
        timeout_factor_percent=terms.timeout_factor_percent,
        max_timeout_seconds=terms.max_timeout_seconds,
        delay_seconds=terms.retry_delay_seconds,
        max_delay_seconds=terms.retry_max_delay_seconds,
    )


def _tasks_of(run_ids: Collection[UUID]) -> "QuerySet[Task, Task]":
    """With what each recorded result cost; nothing is known of work that has not returned."""
    return Task.objects.filter(run__in=run_ids).annotate(**{_COMPUTE: KT("result__compute_units")})


def _load(
    run_ids: Collection[UUID], rows: Sequence[Task], open_rows: Mapping[UUID, Commitment]
) -> LoadedRuns:
    # One object per id from here on: what is the same object need not be compared.
    own = {row.id: row.id for row in rows}
    edges = Edge.objects.filter(run__in=run_ids).values_list("parent_id", "child_id", "kind").order_by()
    confirmed = [row.id for row in rows if row.status == TaskStatus.CONFIRMED]
    kinds = {str(kind): kind for kind in EdgeKind}
    graph = DependencyGraph.build(
        own, ((own[parent], own[child], kinds[kind]) for parent, child, kind in edges), confirmed
    )
    commitments = {own[task]: row for task, row in open_rows.items()}
    return LoadedRuns(
        tasks={row.id: row for row in rows},
        graph=graph,
        states={row.id: _state_of(row, commitments.get(row.id)) for row in rows},
        commitments=commitments,
    )


def _state_of(task: Task, commitment: Commitment | None) -> TaskState:
    return TaskState(
        task=task.id,
        status=task.status,
        keeper=commitment.producer_id if commitment else task.performer,
        epoch=task.epoch,
        bond_units=commitment.bond_units if commitment else 0,
        compute_units=min(int(getattr(task, _COMPUTE) or 0), _COMPUTE_MAX_UNITS),
    )

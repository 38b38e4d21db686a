"""Everything that belongs to some tasks, read in a fixed number of queries, by task.

What is large and shown nowhere (specifications, receipts, proofs' bytes) is not read.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from django.db.models import QuerySet

from apps.attestation.models import RoundItem, Vote
from apps.execution.models import Assignment
from apps.proofs.selectors import proofs_of
from apps.rollback.models import RollbackItem
from apps.settlement.data import SettlementStatus
from apps.settlement.models import Settlement
from apps.speculation.models import Commitment
from apps.tasks.models import Edge, Failure, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentRow:
    """A step that another one depends on, and why."""

    id: UUID
    step: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """Rows by task, each in the order in which it came to be; what a task has none of is not there."""

    parents: Mapping[UUID, list[ParentRow]]
    assignments: Mapping[UUID, list[Assignment]]
    items: Mapping[UUID, RoundItem]
    votes: Mapping[UUID, list[Vote]]
    settlements: Mapping[UUID, Settlement]
    commitments: Mapping[UUID, list[Commitment]]
    failures: Mapping[UUID, list[Failure]]
    undone: Mapping[UUID, list[RollbackItem]]
    proofs: Mapping[UUID, dict[str, Any]]


def load_related(chosen: "QuerySet[Task, Task]") -> Related:
    """What belongs to the tasks that `chosen` selects. Nine queries, however many tasks."""
    within = chosen.order_by().values("pk")
    return Related(
        parents=_parents(within),
        assignments=_by_task(Assignment.objects.filter(task__in=within).order_by("epoch").defer("receipt")),
        items=_latest_items(within),
        votes=_by_task(Vote.objects.filter(task__in=within).order_by("pk")),
        settlements=_effective_settlements(within),
        commitments=_by_task(Commitment.objects.filter(task__in=within).order_by("epoch")),
        failures=_by_task(Failure.objects.filter(task__in=within).order_by("epoch")),
        undone=_undone(within),
        # a subquery serves as a collection of ids
        proofs=proofs_of(cast(Collection[UUID], within)),
    )


def _by_task(rows: "QuerySet[Any, Any]") -> dict[UUID, list[Any]]:
    found: defaultdict[UUID, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.task_id].append(row)
    return dict(found)


def _parents(within: "QuerySet[Task, Any]") -> dict[UUID, list[ParentRow]]:
    found: defaultdict[UUID, list[ParentRow]] = defaultdict(list)
    edges = Edge.objects.filter(child__in=within).order_by("parent__position")
    for child, parent, step, kind in edges.values_list("child_id", "parent_id", "parent__step_key", "kind"):
        found[child].append(ParentRow(id=parent, step=step, kind=kind))
    return dict(found)


def _undone(within: "QuerySet[Task, Any]") -> dict[UUID, list[RollbackItem]]:
    """Each task's parts in rollbacks, with the rollbacks and their roots."""
    rows = RollbackItem.objects.filter(task__in=within).select_related("rollback__root").order_by("pk")
    return _by_task(rows.defer("rollback__root__spec", "rollback__root__result"))


def _latest_items(within: "QuerySet[Task, Any]") -> dict[UUID, RoundItem]:
    """Task → its item in the latest round it is in."""
    rows = RoundItem.objects.filter(task__in=within).select_related("round").order_by("number")
    return {item.task_id: item for item in rows}


def _effective_settlements(within: "QuerySet[Task, Any]") -> dict[UUID, Settlement]:
    """Task → the settlement that counts: the one that is not void, else the last one tried."""
    rows = Settlement.objects.filter(task__in=within).select_related("batch").order_by("pk")
    found: dict[UUID, Settlement] = {}
    for settlement in rows:
        held = found.get(settlement.task_id)
        if held is None or held.status == SettlementStatus.VOID:
            found[settlement.task_id] = settlement
    return found

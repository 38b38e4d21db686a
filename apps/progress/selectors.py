"""Reading runs and tasks with all that belongs to them, in a fixed number of queries.

`project_ids` are the projects the caller may see; None means all. What belongs to another project is
not found.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from django.db.models import Count, QuerySet

from apps.attestation.models import RoundItem, Vote
from apps.eventlog.selectors import get_horizon
from apps.execution.models import Assignment
from apps.kernel.ids import to_wire
from apps.progress.documents import Document, run_summary, task_document
from apps.settlement.data import SettlementStatus
from apps.settlement.models import Settlement
from apps.tasks.data import RunStatus, TaskStatus
from apps.tasks.errors import RunNotFound, TaskNotFound
from apps.tasks.models import Edge, Run, Task

Projects = Collection[UUID] | None


def get_runs(
    project_ids: Projects, *, job_id: UUID | None = None, status: RunStatus | None = None
) -> "QuerySet[Run, Run]":
    """Runs with their jobs, newest first."""
    runs = Run.objects.select_related("job").order_by("-id")
    if project_ids is not None:
        runs = runs.filter(project_id__in=project_ids)
    if job_id is not None:
        runs = runs.filter(job_id=job_id)
    if status is not None:
        runs = runs.filter(status=status)
    return runs


def get_run(run_id: UUID, project_ids: Projects) -> Run:
    """One run with its job; raise RunNotFound."""
    run = get_runs(project_ids).filter(pk=run_id).first()
    if run is None:
        raise RunNotFound(run=to_wire("run", run_id))
    return run


def get_run_summaries(runs: Sequence[Run]) -> list[Document]:
    """The wire forms of runs, with how many of their tasks are in which status. One query."""
    counts: defaultdict[UUID, Counter[str]] = defaultdict(Counter)
    rows = Task.objects.filter(run__in=runs).values_list("run_id", "status").annotate(n=Count("pk"))
    for run_id, status, count in rows.order_by():
        counts[run_id][status] = count
    return [run_summary(run, counts[run.id]) for run in runs]


def get_run_document(run_id: UUID, project_ids: Projects) -> Document:
    """A run and all its tasks, in a fixed number of queries; raise RunNotFound.

    `last_event` is read first: the document has everything up to that event, perhaps more, so a stream
    from there on misses nothing that it lacks.
    """
    last_event = get_horizon()
    run = get_run(run_id, project_ids)
    tasks = list(Task.objects.filter(run_id=run_id).order_by("position").defer("spec"))
    return {
        **run_summary(run, Counter(task.status for task in tasks)),
        "last_event": last_event,
        "tasks": _documents_of(tasks, Task.objects.filter(run_id=run_id)),
    }


def get_tasks(
    project_ids: Projects,
    *,
    run_id: UUID | None = None,
    status: TaskStatus | None = None,
    performer: str | None = None,
) -> "QuerySet[Task, Task]":
    """Tasks without their specifications, newest first."""
    tasks = Task.objects.defer("spec").order_by("-id")
    if project_ids is not None:
        tasks = tasks.filter(project_id__in=project_ids)
    if run_id is not None:
        tasks = tasks.filter(run_id=run_id)
    if status is not None:
        tasks = tasks.filter(status=status)
    if performer is not None:
        tasks = tasks.filter(performer=performer.lower())
    return tasks


def get_task(task_id: UUID, project_ids: Projects) -> Task:
    """One task; raise TaskNotFound."""
    task = get_tasks(project_ids).filter(pk=task_id).first()
    if task is None:
        raise TaskNotFound(task=to_wire("task", task_id))
    return task


def get_task_document(task_id: UUID, project_ids: Projects) -> Document:
    """One task and all that belongs to it, in a fixed number of queries; raise TaskNotFound."""
    return _documents_of([get_task(task_id, project_ids)], Task.objects.filter(pk=task_id))[0]


def _documents_of(tasks: Sequence[Task], chosen: "QuerySet[Task, Task]") -> list[Document]:
    """The full wire forms of `tasks`, which `chosen` selects. Five queries, however many tasks."""
    within = chosen.order_by().values("pk")
    parents: defaultdict[UUID, list[tuple[str, str]]] = defaultdict(list)
    edges = Edge.objects.filter(child__in=within).order_by("parent__position")
    for child_id, step, kind in edges.values_list("child_id", "parent__step_key", "kind"):
        parents[child_id].append((step, kind))

    assignments: defaultdict[UUID, list[Assignment]] = defaultdict(list)
    for assignment in Assignment.objects.filter(task__in=within).order_by("epoch").defer("receipt"):
        assignments[assignment.task_id].append(assignment)

    items = _latest_items(within)
    votes: defaultdict[tuple[UUID, int], list[Vote]] = defaultdict(list)
    for vote in Vote.objects.filter(task__in=within).order_by("pk"):
        votes[vote.task_id, vote.number].append(vote)

    settlements = _effective_settlements(within)
    documents = []
    for task in tasks:
        item = items.get(task.id)
        documents.append(
            task_document(
                task,
                parents=parents[task.id],
                assignments=assignments[task.id],
                item=item,
                votes=votes[task.id, item.number] if item else (),
                settlement=settlements.get(task.id),
            )
        )
    return documents


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

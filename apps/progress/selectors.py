"""Reading runs and tasks with all that belongs to them, in a fixed number of queries.

`project_ids` are the projects the caller may see; None means all. What belongs to another project is
not found.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from uuid import UUID

from django.db.models import Count, QuerySet

from apps.eventlog.selectors import get_horizon
from apps.kernel.ids import to_wire
from apps.progress.attempts import decision_document, get_decision
from apps.progress.documents import Document, run_summary, task_document
from apps.progress.errors import DecisionNotFound
from apps.progress.figures import compute_figures
from apps.progress.related import load_related
from apps.progress.undone import rollbacks_of
from apps.tasks.data import RunStatus, TaskStatus
from apps.tasks.errors import RunNotFound, TaskNotFound
from apps.tasks.models import Run, Task

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
    tasks = list(_with_decisions(Task.objects.filter(run_id=run_id)).order_by("position"))
    related = load_related(Task.objects.filter(run_id=run_id))
    return {
        **run_summary(run, Counter(task.status for task in tasks)),
        "last_event": last_event,
        "speculation": compute_figures(run, tasks, related),
        "rollbacks": rollbacks_of(related),
        "tasks": [task_document(task, related) for task in tasks],
    }


def get_tasks(
    project_ids: Projects,
    *,
    run_id: UUID | None = None,
    status: TaskStatus | None = None,
    performer: str | None = None,
) -> "QuerySet[Task, Task]":
    """Tasks with what their decisions said and without their specifications, newest first."""
    tasks = _with_decisions(Task.objects.all()).order_by("-id")
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
    task = get_task(task_id, project_ids)
    return task_document(task, load_related(Task.objects.filter(pk=task_id)))


def get_decision_document(task_id: UUID, project_ids: Projects) -> Document:
    """The latest decision about a task with its ten checks; raise TaskNotFound, DecisionNotFound."""
    task = get_task(task_id, project_ids)
    decision = get_decision(task)
    if decision is None:
        raise DecisionNotFound(task=to_wire("task", task_id))
    return decision_document(task, decision)


def _with_decisions(tasks: "QuerySet[Task, Task]") -> "QuerySet[Task, Task]":
    """With their latest decisions but for the checks, which are read where they are asked for."""
    return tasks.select_related("decision").defer("spec", "decision__content")

"""Reading rollbacks and dead letters, what a stop would do, the figures, and the numbered invariants.

`project_ids` are the projects the caller may see; None means all. What belongs to another project is not
found.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Avg, Count, Exists, F, Max, OuterRef, Q, QuerySet, Sum

from apps.kernel.ids import to_wire
from apps.rollback.data import LetterFilter, RollbackFault, RollbackFigures, RollbackPhase
from apps.rollback.domain.figures import compute_percentile
from apps.rollback.domain.preview import BlastRadius, preview_cancel
from apps.rollback.errors import DeadLetterNotFound, RollbackNotFound
from apps.rollback.loading import runs_read
from apps.rollback.models import DeadLetter, Rollback, RollbackItem
from apps.speculation.terms import get_bond_terms
from apps.tasks.data import UNFINISHED, FailureReason, TaskStatus
from apps.tasks.errors import RunNotFound, TaskNotFound
from apps.tasks.models import Edge, Failure, Run, Task

Projects = Collection[UUID] | None

_DEAD = (TaskStatus.FAILED, TaskStatus.ROLLED_BACK, TaskStatus.ABORTED, TaskStatus.CANCELLED)
_ALL = LetterFilter()
_APPLIED = (RollbackPhase.CLEANING, RollbackPhase.LOGGING, RollbackPhase.COMPLETE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenRuns:
    """Runs with failures that are due, and whether there are more."""

    run_ids: tuple[UUID, ...]
    is_more: bool


def choose_failing_runs(*, now: datetime, limit: int, ids: Sequence[int | None] | None = None) -> ChosenRuns:
    """Runs whose failures are due, the longest waiting first, with `limit` tasks or as many as one has."""
    failures = Failure.objects.filter(wake_at__lte=now)
    if ids is not None:
        failures = failures.filter(pk__in=[pk for pk in ids if pk is not None])
    rows = failures.order_by("wake_at", "pk").values_list("run_id", "run__tasks_total")[: limit + 1]
    sizes = dict(rows)
    chosen: list[UUID] = []
    for run_id, size in sizes.items():
        if chosen and size > limit:
            break
        chosen.append(run_id)
        limit -= size
    return ChosenRuns(run_ids=tuple(chosen), is_more=len(chosen) < len(sizes))


def get_due_failures(now: datetime, limit: int) -> list[int | None]:
    """Failures the stage would take; with `limit` 1, also whether something is left to do after rollbacks."""
    due = Failure.objects.filter(wake_at__lte=now).order_by("pk").values_list("pk", flat=True)
    found: list[int | None] = list(due[:limit])
    if found or limit != 1:
        return found
    return [None] if Rollback.objects.filter(wake_at__lte=now).exists() else []


def get_rollbacks(
    project_ids: Projects,
    *,
    run_id: UUID | None = None,
    task_id: UUID | None = None,
    reason: FailureReason | None = None,
) -> "QuerySet[Rollback, Rollback]":
    """Rollbacks with their roots, newest first; of a task: those it was part of."""
    rows = Rollback.objects.select_related("root").order_by("-id")
    rows = rows.defer("root__spec", "root__result")
    if project_ids is not None:
        rows = rows.filter(project_id__in=project_ids)
    if run_id is not None:
        rows = rows.filter(run_id=run_id)
    if task_id is not None:
        parts = RollbackItem.objects.filter(rollback=OuterRef("pk"), task_id=task_id)
        rows = rows.filter(Q(root_id=task_id) | Exists(parts))
    if reason is not None:
        rows = rows.filter(reason=reason)
    return rows


def get_rollback(rollback_id: UUID, project_ids: Projects) -> Rollback:
    """One rollback with its root; raise RollbackNotFound."""
    row = get_rollbacks(project_ids).filter(pk=rollback_id).first()
    if row is None:
        raise RollbackNotFound(rollback=to_wire("rbk", rollback_id))
    return row


def get_rollback_items(row: Rollback) -> tuple[list[RollbackItem], list[tuple[UUID, UUID]]]:
    """What a rollback did to each task, leaves first, with the tasks; and the edges among these."""
    items = list(row.items.select_related("task").defer("task__spec", "task__result").order_by("position"))
    within = row.items.order_by().values("task_id")
    edges = Edge.objects.filter(run_id=row.run_id, child__in=within, parent__in=within)
    return items, list(edges.order_by("pk").values_list("parent_id", "child_id"))


def get_dead_letters(
    project_ids: Projects, chosen: LetterFilter = _ALL
) -> "QuerySet[DeadLetter, DeadLetter]":
    """Dead letters with their tasks, newest first."""
    rows = DeadLetter.objects.select_related("task").defer("task__spec", "task__result").order_by("-id")
    if project_ids is not None:
        rows = rows.filter(project_id__in=project_ids)
    if chosen.is_waiting is not None:
        waiting = Q(is_final=True, replayed_at__isnull=True)
        rows = rows.filter(waiting if chosen.is_waiting else ~waiting)
    wanted = {
        "run_id": chosen.run_id,
        "task_id": chosen.task_id,
        "reason": chosen.reason,
        "stage": chosen.stage,
        "error_code": chosen.error_code,
    }
    return rows.filter(**{name: value for name, value in wanted.items() if value})


def get_dead_letter(letter_id: UUID, project_ids: Projects) -> DeadLetter:
    """One dead letter with its task; raise DeadLetterNotFound."""
    row = get_dead_letters(project_ids).filter(pk=letter_id).first()
    if row is None:
        raise DeadLetterNotFound(letter=to_wire("dl", letter_id))
    return row


def run_cancel_preview(*, run_id: UUID, project_ids: Projects) -> BlastRadius:
    """What stopping a run would do now; raise RunNotFound."""
    runs = Run.objects.filter(pk=run_id)
    if not (runs if project_ids is None else runs.filter(project_id__in=project_ids)).exists():
        raise RunNotFound(run=to_wire("run", run_id))
    loaded = runs_read([run_id])
    return preview_cancel(
        list(loaded.tasks), graph=loaded.graph, states=loaded.states, terms=get_bond_terms()
    )


def task_cancel_preview(*, task_id: UUID, project_ids: Projects) -> BlastRadius:
    """What stopping a task, and all that stands on it, would do now; raise TaskNotFound."""
    tasks = Task.objects.filter(pk=task_id)
    if project_ids is not None:
        tasks = tasks.filter(project_id__in=project_ids)
    run_id = tasks.values_list("run_id", flat=True).first()
    if run_id is None:
        raise TaskNotFound(task=to_wire("task", task_id))
    loaded = runs_read([run_id])
    below = loaded.graph.get_descendants([task_id])
    states = {task: loaded.states[task] for task in (task_id, *below)}
    return preview_cancel([task_id], graph=loaded.graph, states=states, terms=get_bond_terms())


def get_rollback_figures(
    project_ids: Projects = None, *, since: datetime | None = None, until: datetime | None = None
) -> RollbackFigures:
    """The figures of rollbacks detected in this time; dismissed ones are not among them."""
    rows = Rollback.objects.filter(phase__in=_APPLIED)
    if project_ids is not None:
        rows = rows.filter(project_id__in=project_ids)
    if since is not None:
        rows = rows.filter(detected_at__gte=since)
    if until is not None:
        rows = rows.filter(detected_at__lt=until)
    total = rows.order_by().aggregate(
        count=Count("pk"),
        depth=Max("depth"),
        size=Avg("size"),
        slashed=Sum("slashed_units"),
        wasted=Sum("wasted_units"),
        letters=Count("dead_letter"),
    )
    counted = rows.values_list("reason").annotate(n=Count("pk")).order_by("reason")
    told = rows.exclude(abort_latencies_ms=[]).values_list("abort_latencies_ms", flat=True)
    roots = Task.objects.filter(pk__in=rows.filter(is_retried=True).order_by().values("root_id"))
    ended = roots.exclude(status__in=UNFINISHED).count()
    recovered = roots.filter(status=TaskStatus.CONFIRMED).count()
    return RollbackFigures(
        count=total["count"],
        by_reason=dict(counted),
        cascade_depth_max=total["depth"] or 0,
        cascade_size_mean=round(float(total["size"] or 0), 3),
        abort_latency_p99_ms=compute_percentile([ms for took in told for ms in took], 99),
        retried=ended,
        recovered=recovered,
        recovery_rate=round(recovered / ended, 4) if ended else None,
        slashed_units=total["slashed"] or 0,
        wasted_units=total["wasted"] or 0,
        dead_letters=total["letters"],
    )


def check() -> list[RollbackFault]:
    """Invariants 3 to 5, 7 and 8 asked of what is stored."""
    faults: list[RollbackFault] = []
    orphans = Edge.objects.filter(parent__status__in=_DEAD, child__status__in=UNFINISHED)
    for child in orphans.values_list("child_id", flat=True):
        faults.append(_fault(7, "alive under an ancestor that has ended", to_wire("task", child)))
    parts = Rollback.objects.filter(phase__in=_APPLIED).annotate(
        parts=Count("items"),
        released=Sum("items__released_units", default=0),
        slashed=Sum("items__slashed_units", default=0),
    )
    for row in parts.exclude(parts=F("size"), released=F("released_units"), slashed=F("slashed_units")):
        faults.append(_fault(8, "its parts are not the whole", str(row)))
    for slash in Rollback.objects.filter(slashed_units__gt=0):
        shared = slash.treasury_units + sum(slash.victims.values())
        least = slash.slashed_units // 2 if slash.victims else slash.slashed_units
        if (slash.treasury_units, shared) != (least, slash.slashed_units):
            faults.append(_fault(4, "the shares are not those of the slash", str(slash)))
    fined = RollbackItem.objects.filter(slashed_units__gt=0).exclude(task_id=F("rollback__root_id"))
    for item in fined:
        faults.append(_fault(5, "slashed without being the root", str(item)))
    twice = (
        RollbackItem.objects.filter(Q(released_units__gt=0) | Q(slashed_units__gt=0))
        .values_list("task_id", "epoch")
        .annotate(n=Count("pk"))
        .filter(n__gt=1)
        .order_by()
    )
    for task_id, epoch, _ in twice:
        faults.append(_fault(3, f"the bond of attempt {epoch} ended twice", to_wire("task", task_id)))
    return faults


def _fault(invariant: int, reason: str, where: str) -> RollbackFault:
    return RollbackFault(invariant=invariant, reason=reason, where=where)

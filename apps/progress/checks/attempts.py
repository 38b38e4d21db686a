"""Invariants 11, 12, 13, 18 and 25: attempts are fenced, moves are listed, everything unfinished wakes.

Moves are read from the events, in one pass over them.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from django.db.models import Exists, F, Max, Model, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from apps.eventlog.models import Event
from apps.eventlog.selectors import chain_verify
from apps.execution.data import AssignmentStatus
from apps.execution.models import OPEN_STATUSES, Assignment
from apps.kernel.transitions import TransitionTable
from apps.progress.checks.violation import Violation, of_run, of_task
from apps.settlement.data import SettlementStatus
from apps.settlement.models import Settlement
from apps.speculation.data import STANDINGS, Standing
from apps.tasks.data import (
    REOPENABLE,
    RUN_REOPENABLE,
    RUN_TABLE,
    TASK_TABLE,
    UNFINISHED,
    RunStatus,
    TaskStatus,
)
from apps.tasks.models import Failure, Run, Task

_UNFINISHED: Final = tuple(UNFINISHED)
_WITH_RESULT: Final = tuple(
    status for status, one in STANDINGS.items() if one in (Standing.PRODUCED, Standing.CONFIRMED)
)
#: aggregate → its rows, its table, the event that opens an ended one again, and from where to where it may
_MACHINES: Final[dict[str, tuple[Any, TransitionTable[Any], str, frozenset[Any], str]]] = {
    "task": (Task, TASK_TABLE, "task.reopened", REOPENABLE, TaskStatus.WAITING),
    "run": (Run, RUN_TABLE, "run.reopened", RUN_REOPENABLE, RunStatus.OPEN),
}
_ROWS_AT_ONCE: Final = 1_000


def check_epochs() -> Iterable[Violation]:
    """11 and 12: no lease beyond its task's epoch, and no result or settlement of an epoch that is over."""
    latest = Assignment.objects.filter(task=OuterRef("pk")).order_by().values("task")
    leased = Coalesce(Subquery(latest.annotate(top=Max("epoch")).values("top")), 0)
    behind = Task.objects.annotate(leased=leased).filter(epoch__lt=F("leased"))
    for task in behind.values_list("pk", flat=True):
        yield of_task(11, "its epoch is below its last lease's", task)
    over = Assignment.objects.filter(status__in=OPEN_STATUSES).exclude(epoch=F("task__epoch"))
    for task in over.values_list("task_id", flat=True):
        yield of_task(11, "a live lease of an epoch that is over", task)
    returned = Assignment.objects.filter(
        task=OuterRef("pk"), epoch=OuterRef("epoch"), status=AssignmentStatus.RETURNED
    )
    stale = Task.objects.filter(~Exists(returned), status__in=_WITH_RESULT)
    for task in stale.values_list("pk", flat=True):
        yield of_task(12, "its result is not of its present attempt", task)
    settled = Settlement.objects.exclude(status=SettlementStatus.VOID).exclude(epoch=F("task__epoch"))
    for task in settled.values_list("task_id", flat=True):
        yield of_task(12, "its settlement is not of its present attempt", task)


def check_wake_ups() -> Iterable[Violation]:
    """18: unfinished tasks wake, runs end with their tasks, a failing task has a failure that wakes."""
    for task in Task.objects.filter(status__in=_UNFINISHED, wake_at=None).values_list("pk", flat=True):
        yield of_task(18, "unfinished without a wake-up", task)
    pending = Failure.objects.filter(task=OuterRef("pk"), epoch=OuterRef("epoch"), wake_at__isnull=False)
    stuck = Task.objects.filter(~Exists(pending), is_failing=True, status__in=_UNFINISHED)
    for task in stuck.values_list("pk", flat=True):
        yield of_task(18, "failing, and no failure of its attempt is to be dealt with", task)
    lost = Failure.objects.filter(
        Q(task__is_failing=False),
        epoch=F("task__epoch"),
        wake_at__isnull=False,
        task__status__in=_UNFINISHED,
    )
    for task in lost.values_list("task_id", flat=True):
        yield of_task(18, "its attempt's failure is signalled, and it goes on", task)
    over = Run.objects.exclude(status=RunStatus.OPEN).filter(tasks__status__in=_UNFINISHED).distinct()
    for run in over.values_list("pk", flat=True):
        yield of_run(18, "ended with an unfinished task", run)
    idle = Run.objects.filter(status=RunStatus.OPEN).exclude(tasks__status__in=_UNFINISHED)
    for run in idle.values_list("pk", flat=True):
        yield of_run(18, "open with nothing unfinished", run)


def check_moves() -> Iterable[Violation]:
    """13: every move that events tell is listed. 25: the last of them is where the row stands."""
    for kind, (model, table, reopening, reopenable, opened) in _MACHINES.items():
        stands: dict[UUID, str] = {}
        for key, moves in _moves_of(kind):
            before = ""
            for event, status in moves:
                is_reopened = event == reopening and before in reopenable and status == opened
                if before and not is_reopened and not table.is_legal(before, status):
                    where = f"{kind}_{key.hex}"
                    yield Violation(invariant=13, reason=f"moved from {before} to {status}", where=where)
                before = status
            stands[key] = before
            if len(stands) == _ROWS_AT_ONCE:
                yield from _compare_rows(kind, model, stands)
                stands = {}
        yield from _compare_rows(kind, model, stands)


def check_events() -> Iterable[Violation]:
    """25: the hash chains."""
    for fault in chain_verify():
        where = f"{fault.aggregate_type} {fault.aggregate_id} #{fault.aggregate_sequence}"
        yield Violation(invariant=25, reason=fault.reason, where=where)


def _moves_of(kind: str) -> Iterator[tuple[UUID, Iterator[tuple[str, str]]]]:
    """Each aggregate of a kind with the statuses its events set, as (event, status) in order."""
    told = Event.objects.filter(aggregate_type=kind, payload__set__has_key="status")
    rows = told.order_by("aggregate_id", "aggregate_sequence").values_list(
        "aggregate_id", "event_type", "payload__set__status"
    )
    for key, moves in groupby(rows.iterator(chunk_size=_ROWS_AT_ONCE), key=lambda row: row[0]):
        yield UUID(hex=key), ((event, status) for _, event, status in moves)


def _compare_rows(kind: str, model: type[Model], stands: dict[UUID, str]) -> Iterable[Violation]:
    rows = model._default_manager.filter(pk__in=stands).values_list("pk", "status")
    for key, status in rows:
        if status != stands[key]:
            reason = f"its events end at {stands[key]}, its row is {status}"
            yield Violation(invariant=25, reason=reason, where=f"{kind}_{key.hex}")

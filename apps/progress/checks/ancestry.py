"""Invariants 6, 7, 9, 10 and 15: what a task stands on, while it runs ahead and when it is final."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q

from apps.kernel.speculation import DEPTH_MAX
from apps.progress.checks.violation import Violation, of_attempt, of_task
from apps.speculation.data import STANDINGS, UNDER_WAY
from apps.speculation.models import OPEN_COMMITMENTS, Commitment
from apps.tasks.data import UNFINISHED, TaskStatus
from apps.tasks.models import Edge, Failure, Task

_UNDER_WAY: Final = tuple(status for status, standing in STANDINGS.items() if standing in UNDER_WAY)
_NOT_STARTED: Final = (TaskStatus.DISCOVERED, TaskStatus.WAITING)


def check_final() -> Iterable[Violation]:
    """6 and 15: what is confirmed, or on its way to the chain, has nothing unconfirmed above it."""
    for status, number, reason in (
        (TaskStatus.CONFIRMED, 6, "confirmed before an ancestor"),
        (TaskStatus.SUBMITTED, 15, "submitted before an ancestor was confirmed"),
    ):
        early = Edge.objects.filter(child__status=status).exclude(parent__status=TaskStatus.CONFIRMED)
        for child in early.values_list("child_id", flat=True):
            yield of_task(number, reason, child)


def check_ground() -> Iterable[Violation]:
    """7 and 10: nothing lives on an attempt that is over, or on a step that has not started.

    That nothing lives under a dead parent is the rollback app's own check.
    """
    handled = Failure.objects.filter(
        task=OuterRef("parent"), epoch=OuterRef("parent__epoch"), wake_at__isnull=True
    )
    undead = Edge.objects.filter(Exists(handled), parent__is_failing=True, child__status__in=[*UNFINISHED])
    for child in undead.values_list("child_id", flat=True):
        yield of_task(7, "alive under an ancestor whose failure was dealt with", child)
    yield from _check_attempts()
    early = Edge.objects.filter(child__status__in=_UNDER_WAY, parent__status__in=_NOT_STARTED)
    for child in early.values_list("child_id", flat=True):
        yield of_task(10, "entered before an ancestor has started", child)


def check_depths() -> Iterable[Violation]:
    """9: edges within one run, downwards; a commitment's depth is its longest recorded unconfirmed path."""
    torn = Edge.objects.filter(
        ~Q(parent__run_id=F("child__run_id")) | Q(child__depth__lte=F("parent__depth"))
    )
    for child in torn.values_list("child_id", flat=True):
        yield of_task(9, "an edge across runs, or a depth not below its parent's", child)
    rows = Commitment.objects.filter(status__in=OPEN_COMMITMENTS)
    parents: dict[UUID, list[UUID]] = {}
    edges = Edge.objects.filter(run__in=rows.values("run_id"))
    for child, parent in edges.values_list("child_id", "parent_id"):
        parents.setdefault(child, []).append(parent)
    for task, epoch, depth, ancestors in rows.values_list("task_id", "epoch", "depth", "ancestors"):
        path = _measure([*(UUID(hex=above) for above, _ in ancestors), task], parents)
        if depth > DEPTH_MAX:
            yield of_attempt(9, f"admitted at depth {depth}", task, epoch)
        if depth != path:
            yield of_attempt(9, f"its depth is {depth}, its longest recorded path {path}", task, epoch)


def _check_attempts() -> Iterable[Violation]:
    """Live commitments that name an ancestor's attempt which is not its present one any more."""
    rows = Commitment.objects.filter(status__in=OPEN_COMMITMENTS).exclude(ancestors=[])
    runs = rows.values("run_id")
    epochs = dict(Task.objects.filter(run__in=runs).order_by().values_list("pk", "epoch"))
    for task, epoch, ancestors in rows.values_list("task_id", "epoch", "ancestors"):
        over = [above for above, attempt in ancestors if epochs.get(UUID(hex=above)) != attempt]
        if over:
            yield of_attempt(7, f"stands on an attempt of task_{over[0]} that is over", task, epoch)


def _measure(order: Sequence[UUID], parents: Mapping[UUID, Sequence[UUID]]) -> int:
    """The longest path that ends at the last of `order`, within it; parents come before children."""
    depths: dict[UUID, int] = {}
    for task in order:
        depths[task] = max(
            (depths[above] + 1 for above in parents.get(task, ()) if above in depths), default=0
        )
    return depths[order[-1]]

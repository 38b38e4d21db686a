"""What running ahead was worth to one run: hits, time saved, compute wasted, stake at risk, bonds slashed.

Counted from rows that stay (leases, timelines, rollbacks), so that a run says the same as long as it is kept.
"""

from collections.abc import Sequence
from typing import Any

from apps.progress.attempts import get_decision
from apps.progress.domain.schedule import Passage, compare, read_passage
from apps.progress.related import Related
from apps.speculation.models import OPEN_COMMITMENTS
from apps.tasks.data import TASK_TABLE, TaskStatus
from apps.tasks.models import Run, Task

_NOT_STARTED = (TaskStatus.DISCOVERED, TaskStatus.WAITING)


def compute_figures(run: Run, tasks: Sequence[Task], related: Related) -> dict[str, Any]:
    """The figures of a run with all its tasks; rates and times are null where there is nothing to count.

    `saved_seconds` compares the confirmed part with the schedule it would have had without running ahead
    (`domain/schedule.py`); negative where running ahead cost time.
    """
    ahead, ended, confirmed = _count_attempts(tasks, related)
    parts = [item for items in related.undone.values() for item in items]
    open_bonds = [
        row.bond_units
        for rows in related.commitments.values()
        for row in rows
        if row.status in OPEN_COMMITMENTS
    ]
    return {
        "ran_ahead": ahead,
        "ran_ahead_ended": ended,
        "ran_ahead_confirmed": confirmed,
        "hit_rate": round(confirmed / ended, 4) if ended else None,
        "deepest_depth": _find_deepest(tasks, related),
        "at_risk_units": str(sum(open_bonds)),
        "slashed_units": str(sum(item.slashed_units for item in parts)),
        "wasted_units": str(sum(item.wasted_units for item in parts)),
        **_compare(run, tasks, related),
    }


def _count_attempts(tasks: Sequence[Task], related: Related) -> tuple[int, int, int]:
    """Attempts that ran ahead: all, those that have ended, those that were confirmed."""
    ahead = ended = confirmed = 0
    for task in tasks:
        status = TaskStatus(task.status)
        for lease in related.assignments.get(task.id, ()):
            if len(lease.lineage) < 2:
                continue
            ahead += 1
            is_latest = lease.epoch == task.epoch and status not in _NOT_STARTED
            ended += not is_latest or TASK_TABLE.is_ending(status)
            confirmed += is_latest and status is TaskStatus.CONFIRMED
    return ahead, ended, confirmed


def _find_deepest(tasks: Sequence[Task], related: Related) -> int:
    decided = [decision for task in tasks if (decision := get_decision(task)) is not None]
    depths = [decision.depth for decision in decided if decision.verdict == "ahead"]
    depths += [row.depth for rows in related.commitments.values() for row in rows]
    return max(depths, default=0)


def _compare(run: Run, tasks: Sequence[Task], related: Related) -> dict[str, float | None]:
    passages: dict[Any, Passage] = {}
    for task in tasks:
        passage = read_passage(task.timeline, is_ahead=task.is_ahead)
        if passage is not None and task.status == TaskStatus.CONFIRMED:
            passages[task.id] = passage
    parents = {task.id: tuple(above.id for above in related.parents.get(task.id, ())) for task in tasks}
    found = compare(passages, parents, opened_at=run.opened_at)
    if found is None:
        return {"took_seconds": None, "without_seconds": None, "saved_seconds": None}
    return {
        "took_seconds": round(found.took.total_seconds(), 3),
        "without_seconds": round(found.without.total_seconds(), 3),
        "saved_seconds": round(found.saved.total_seconds(), 3),
    }

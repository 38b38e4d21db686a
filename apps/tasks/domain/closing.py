"""When a run is over, and how."""

from collections.abc import Collection

from apps.tasks.data import UNFINISHED, RunStatus, TaskStatus


def decide_run(statuses: Collection[TaskStatus], *, is_cancel_requested: bool) -> RunStatus:
    """Open while a task is unfinished; confirmed when all are; else cancelled or failed."""
    if any(status in UNFINISHED for status in statuses):
        return RunStatus.OPEN
    if all(status is TaskStatus.CONFIRMED for status in statuses):
        return RunStatus.CONFIRMED
    return RunStatus.CANCELLED if is_cancel_requested else RunStatus.FAILED

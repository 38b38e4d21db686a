"""The one place that changes the status of a task or a run, and says so in an event."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from apps.eventlog.data import EventDraft
from apps.kernel.ids import to_wire
from apps.tasks.data import RUN_TABLE, TASK_TABLE, RunStatus, TaskStatus
from apps.tasks.models import Run, Task

#: the columns a move may change; what `rows_write` is given
TASK_MOVE_FIELDS = ("status", "timeline", "wake_at", "stage_errors")
RUN_MOVE_FIELDS = ("status", "finished_at")


def task_move(
    task: Task,
    target: TaskStatus,
    *,
    now: datetime,
    trace_id: str,
    wake_at: datetime | None,
    changed: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
    event: str | None = None,
) -> EventDraft:
    """Move a locked task and return the event that says so.

    `changed` are further columns to set, in their JSON form; `facts` are only told. An ending needs
    no `wake_at`. Raises IllegalTransition.
    """
    status = TASK_TABLE.move(id=str(task), current=TaskStatus(task.status), target=target)
    task.status = status
    task.timeline = {**task.timeline, str(status): time_text(now)}
    task.wake_at, task.stage_errors = wake_at, 0
    for name, value in (changed or {}).items():
        setattr(task, name, value)
    return EventDraft(
        row=task,
        type=event or f"task.{status}",
        payload={
            "set": {"status": str(status), "timeline": task.timeline, **(changed or {})},
            "step": task.step_key,
            **(facts or {}),
        },
        run_id=task.run_id,
        project_id=task.project_id,
        trace_id=trace_id,
    )


def run_move(
    run: Run, target: RunStatus, *, now: datetime, changed: Mapping[str, Any] | None = None
) -> EventDraft:
    """Move a locked run to one of its endings and return the event that says so."""
    run.status = RUN_TABLE.move(id=str(run), current=RunStatus(run.status), target=target)
    run.finished_at = now
    for name, value in (changed or {}).items():
        setattr(run, name, value)
    changes = {"status": str(run.status), "finished_at": now, **(changed or {})}
    return run_draft(run, f"run.{run.status}", changes, {"job": to_wire("job", run.job_id)})


def run_draft(
    run: Run, event: str, changed: Mapping[str, Any], facts: Mapping[str, Any] | None = None
) -> EventDraft:
    """An event about a locked run, in its own trace: the columns that changed, and what else to tell."""
    return EventDraft(
        row=run,
        type=event,
        payload={"set": dict(changed), **(facts or {})},
        run_id=run.id,
        project_id=run.project_id,
        trace_id=run.trace_id,
    )


def time_text(moment: datetime) -> str:
    """RFC 3339 UTC with milliseconds and Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

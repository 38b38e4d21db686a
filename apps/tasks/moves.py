"""The one place that changes the status of a task or a run, and says so in an event."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from apps.eventlog.data import EventDraft
from apps.kernel.ids import to_wire
from apps.kernel.transitions import IllegalTransition
from apps.tasks.data import REOPENABLE, RUN_REOPENABLE, RUN_TABLE, TASK_TABLE, RunStatus, TaskStatus
from apps.tasks.models import Run, Task

#: the columns a move may change; what `rows_write` is given
TASK_MOVE_FIELDS = ("status", "timeline", "wake_at", "stage_errors")
RUN_MOVE_FIELDS = ("status", "finished_at", "followed_at", "reopenings")
#: what a new attempt begins with
_FRESH: Final[Mapping[str, Any]] = {
    "performer": "",
    "result": None,
    "output_cid": "",
    "package_cid": "",
    "error_code": "",
    "error_detail": "",
    "is_ahead": False,
    "is_failing": False,
    "is_solo": False,
    "resubmissions": 0,
    "redraws": 0,
}


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


def task_reopen(
    task: Task,
    *,
    now: datetime,
    trace_id: str,
    wake_at: datetime,
    changed: Mapping[str, Any] | None = None,
) -> tuple[EventDraft, set[str]]:
    """Open another attempt of a locked task whose attempt has ended; its event, and the columns that changed.

    What the old attempt left in the row is cleared; its leases, rounds, proofs and events stay. Raises
    IllegalTransition.
    """
    if task.status not in REOPENABLE:
        raise IllegalTransition(
            machine=TASK_TABLE.name, id=str(task), current=task.status, target=str(TaskStatus.WAITING)
        )
    columns = {**_FRESH, "epoch": task.epoch + 1, **(changed or {})}
    task.status = TaskStatus.WAITING
    task.timeline = {**task.timeline, str(TaskStatus.WAITING): time_text(now)}
    task.wake_at, task.stage_errors = wake_at, 0
    for name, value in columns.items():
        setattr(task, name, value)
    draft = EventDraft(
        row=task,
        type="task.reopened",
        payload={
            "set": {"status": str(task.status), "timeline": task.timeline, **columns},
            "step": task.step_key,
        },
        run_id=task.run_id,
        project_id=task.project_id,
        trace_id=trace_id,
    )
    return draft, {*TASK_MOVE_FIELDS, *columns}


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


def run_reopen(run: Run) -> EventDraft:
    """Open a locked run that has failed again; the event that says so. Raises IllegalTransition."""
    if run.status not in RUN_REOPENABLE:
        raise IllegalTransition(
            machine=RUN_TABLE.name, id=str(run), current=run.status, target=str(RunStatus.OPEN)
        )
    run.status, run.finished_at, run.followed_at = RunStatus.OPEN, None, None
    run.reopenings += 1
    changes = {"status": str(run.status), "finished_at": None, "reopenings": run.reopenings}
    return run_draft(run, "run.reopened", changes, {"job": to_wire("job", run.job_id)})


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


@lru_cache(maxsize=64)
def time_text(moment: datetime) -> str:
    """RFC 3339 UTC with milliseconds and Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

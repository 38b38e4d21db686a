"""What becomes of a task whose attempt did not stand: another attempt, or the root of a failure."""

from django.conf import settings

from apps.tasks.changes import TaskChanges
from apps.tasks.data import TaskStatus
from apps.tasks.models import Task


def attempt_failed(changes: TaskChanges, task: Task, code: str, detail: str = "") -> None:
    """Count a failed attempt of a locked task, on its performer's record too; while attempts are left it
    is scheduled again.
    """
    failures = task.failures + 1
    changes.blame(task.performer)
    if failures >= settings.FOREKEEP.execution.max_attempts:
        changes.fail(task, code, detail, failures=failures)
        return
    task_reschedule(changes, task, code, detail, failures=failures)


def task_reschedule(changes: TaskChanges, task: Task, code: str, detail: str = "", *, failures: int) -> None:
    """Put a locked task back to be assigned, without a performer and without a result."""
    cleared = {"performer": "", "result": None, "output_cid": "", "package_cid": "", "failures": failures}
    facts = {"reason": code, "detail": detail[:500], "epoch": task.epoch, "keeper": task.performer}
    changes.pokes.add("assign")
    if task.status == TaskStatus.SCHEDULED:
        changes.touch(task, wake_at=changes.now, **cleared)
        changes.tell(task, "task.attempt_failed", {**facts, "set": cleared})
        return
    changes.move(
        task,
        TaskStatus.SCHEDULED,
        wake_at=changes.now,
        changed=cleared,
        facts=facts,
        event="task.attempt_failed",
    )

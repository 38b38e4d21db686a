"""What a rollback refuses."""

from apps.kernel.errors import Conflict, NotFound


class RollbackOfConfirmed(Conflict):
    """A confirmed task is final. Fields: task."""

    code = "rollback_of_confirmed"
    title = "A confirmed task cannot be rolled back"


class RollbackTooLate(Conflict):
    """A submitted task can fail, but nobody can stop it any more. Fields: task."""

    code = "rollback_too_late"
    title = "The task is already being settled"


class RollbackRootUnknown(NotFound):
    """The task that failed is not part of the graph. Fields: task."""

    code = "rollback_root_unknown"
    title = "No such task to roll back"


class RetryNotAllowed(Conflict):
    """A task that has not ended, or stands on one that has. Fields: task, reason."""

    code = "retry_not_allowed"
    title = "The task cannot be tried again"


class TaskAlreadyEnded(Conflict):
    """There is nothing left of the task to stop. Fields: task, status."""

    code = "task_ended"
    title = "The task has ended"


class RollbackNotFound(NotFound):
    """No such rollback in the caller's projects. Fields: rollback."""

    code = "rollback_not_found"
    title = "No such rollback"


class DeadLetterNotFound(NotFound):
    """No such dead letter in the caller's projects. Fields: letter."""

    code = "dead_letter_not_found"
    title = "No such dead letter"

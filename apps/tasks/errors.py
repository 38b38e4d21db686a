"""What can be wrong with a run or a task."""

from apps.kernel.errors import Conflict, NotFound


class RunNotFound(NotFound):
    """No such run in the caller's projects."""

    code = "run_not_found"
    title = "No such run"


class TaskNotFound(NotFound):
    """No such task in the caller's projects."""

    code = "task_not_found"
    title = "No such task"


class RunAlreadyEnded(Conflict):
    """The run has ended; nothing is left to cancel."""

    code = "run_ended"
    title = "The run has ended"


class RunSettling(Conflict):
    """A task of the run is already on its way to the chain and can no longer be stopped."""

    code = "run_settling"
    title = "A task is already being settled"

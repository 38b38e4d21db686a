"""What the progress doors refuse."""

from apps.gateway.errors import TooManyRequests
from apps.kernel.errors import Conflict, Invalid, NotFound


class StreamPositionInvalid(Invalid):
    """A `Last-Event-ID` or `after` that is no event's sequence number. Fields: value."""

    code = "stream_position_invalid"
    title = "The position in the stream is not valid"


class TooManyStreams(TooManyRequests):
    """The caller has as many streams open as it may. Fields: limit, retry_after_seconds."""

    code = "too_many_streams"
    title = "Too many open streams"


class OutputNotReady(Conflict):
    """The task has no output yet. Fields: task, status."""

    code = "output_not_ready"
    title = "The task has no output yet"


class PackageNotReady(Conflict):
    """The task has no package yet. Fields: task, status."""

    code = "package_not_ready"
    title = "The task has no package yet"


class DecisionNotFound(NotFound):
    """Nobody has asked yet whether the task may run ahead, or its run has one step. Fields: task."""

    code = "decision_not_found"
    title = "No decision was asked for this task"

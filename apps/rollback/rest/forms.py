"""The shapes of rollbacks and dead letters in the OpenAPI document, and the one body that is read.

The values themselves come from `documents.py`.
"""

from typing import Any
from uuid import UUID

from rest_framework import serializers

from apps.kernel.errors import Invalid
from apps.kernel.ids import from_wire
from apps.rollback.data import LetterFilter, RecoveryAction, RollbackPhase, Scope, Target
from apps.tasks.data import FailureReason, TaskStatus

_UNITS = "units, as text"


def _choice(words: Any, **options: Any) -> serializers.ChoiceField:
    return serializers.ChoiceField(choices=[str(word) for word in words], **options)


class CauseOut(serializers.Serializer[Any]):
    """What the task that failed ended with."""

    code = serializers.CharField()
    detail = serializers.CharField(allow_blank=True)


class RollbackItemOut(serializers.Serializer[Any]):
    """What a rollback did to one task."""

    task = serializers.CharField(help_text="`task_…`")
    step = serializers.CharField()
    epoch = serializers.IntegerField(help_text="the attempt that ended")
    path = serializers.ListField(
        child=serializers.CharField(), help_text="the longest way from the root to this task, both included"
    )
    previous = _choice(TaskStatus, help_text="the status it was in")
    target = _choice(Target, help_text="the status it was given")
    keeper = serializers.CharField(allow_null=True, help_text="who had the attempt; null where nobody")
    released_units = serializers.CharField(help_text="what went back of its bond, in units, as text")
    slashed_units = serializers.CharField(help_text="what was taken from its bond, in units, as text")
    wasted_units = serializers.CharField(help_text="compute units that were for nothing, as text")


class RollbackOut(serializers.Serializer[Any]):
    """A failure, or a stop by hand, and what it undid."""

    id = serializers.CharField(help_text="`rbk_…`")
    root = serializers.CharField(  # type: ignore[assignment]
        help_text="`task_…`: the task that failed or was stopped"
    )
    run = serializers.CharField(help_text="`run_…`")
    project = serializers.CharField(help_text="`proj_…`")
    epoch = serializers.IntegerField(help_text="the root's attempt that ended")
    reason = _choice(FailureReason)
    error = CauseOut()
    phase = _choice(RollbackPhase)
    scope = _choice(Scope, help_text="whether it reached what stands on the root")
    size = serializers.IntegerField(help_text="tasks it changed, the root among them")
    depth = serializers.IntegerField(help_text="changed tasks on the longest path below the root")
    slashed_units = serializers.CharField(help_text=_UNITS)
    slashed_keeper = serializers.CharField(allow_null=True)
    treasury_units = serializers.CharField(help_text="the treasury's share of the slash, in units, as text")
    victims = serializers.DictField(
        child=serializers.CharField(), help_text="keeper → its share of the slash, in units, as text"
    )
    released_units = serializers.CharField(help_text=_UNITS)
    wasted_units = serializers.CharField(help_text="compute units that were for nothing, as text")
    recovery = _choice(RecoveryAction, allow_blank=True, help_text="what follows; empty where dismissed")
    is_retried = serializers.BooleanField(help_text="whether another attempt of the root was opened with it")
    detected_at = serializers.DateTimeField()
    applied_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(allow_null=True)
    abort_latencies_ms = serializers.ListField(
        child=serializers.FloatField(), help_text="how long each running keeper took to stop"
    )
    trace_id = serializers.CharField()
    items = RollbackItemOut(
        many=True, required=False, help_text="the root first; in lists only where a `run` is named"
    )


class RollbackDetailOut(RollbackOut):
    """A rollback with what it did to every task."""

    items = RollbackItemOut(many=True, help_text="the root first, then outwards")


class RollbackFiguresOut(serializers.Serializer[Any]):
    """Figures over rollbacks; dismissed ones are not among them."""

    count = serializers.IntegerField()
    by_reason = serializers.DictField(child=serializers.IntegerField(), help_text="reason → rollbacks")
    cascade_depth_max = serializers.IntegerField()
    cascade_size_mean = serializers.FloatField(help_text="tasks changed by one rollback")
    abort_latency_p99_ms = serializers.FloatField(
        allow_null=True, help_text="99 of 100 aborts were done within it; null where nothing was running"
    )
    retried = serializers.IntegerField(help_text="tasks that were tried again by themselves and have ended")
    recovered = serializers.IntegerField(help_text="those of them that are confirmed")
    recovery_rate = serializers.FloatField(allow_null=True, help_text="0 to 1; null where none was retried")
    slashed_units = serializers.CharField(help_text=_UNITS)
    wasted_units = serializers.CharField(help_text="compute units that were for nothing, as text")
    dead_letters = serializers.IntegerField(help_text="failures that were recorded")


class DeadLetterOut(serializers.Serializer[Any]):
    """What a person needs to know of a failed attempt."""

    id = serializers.CharField(help_text="`dl_…`")
    rollback = serializers.CharField(help_text="`rbk_…`: what it took along")
    task = serializers.CharField(help_text="`task_…`")
    step = serializers.CharField()
    status = _choice(TaskStatus, help_text="the task's status now")
    run = serializers.CharField(help_text="`run_…`")
    project = serializers.CharField(help_text="`proj_…`")
    epoch = serializers.IntegerField(help_text="the attempt that failed")
    stage = _choice(TaskStatus, help_text="the status in which it failed")
    reason = _choice(FailureReason)
    error = CauseOut()
    attempts = serializers.IntegerField(help_text="failed attempts until then, this one among them")
    dependents = serializers.IntegerField(help_text="tasks that stand on it")
    wasted_units = serializers.CharField(help_text="compute units that were for nothing, as text")
    is_final = serializers.BooleanField(help_text="nothing brings the task back by itself")
    is_waiting = serializers.BooleanField(help_text="it is final, and the task was not tried again since")
    failed_at = serializers.DateTimeField()
    replayed_at = serializers.DateTimeField(allow_null=True)


class ReplayRefusalOut(serializers.Serializer[Any]):
    """A dead letter that was not replayed, and why."""

    id = serializers.CharField(help_text="`dl_…`")
    code = serializers.CharField(help_text="as a problem's: `retry_not_allowed`, `insufficient_funds`")
    title = serializers.CharField()
    facts = serializers.DictField(child=serializers.CharField())


class ReplayedOut(serializers.Serializer[Any]):
    """What became of a replay of many."""

    count = serializers.IntegerField(help_text="dead letters that were replayed")
    refusals = ReplayRefusalOut(many=True)


class CancelPreviewOut(serializers.Serializer[Any]):
    """What stopping by hand would do now. Nobody is slashed for it."""

    targets = serializers.DictField(
        child=serializers.IntegerField(), help_text="status → tasks that would be given it"
    )
    tasks = serializers.ListField(child=serializers.CharField(), help_text="the tasks that would end")
    depth = serializers.IntegerField(help_text="tasks on the longest path that would end")
    released_units = serializers.CharField(help_text="bonds that would go back, in units, as text")
    slashed_units = serializers.CharField(help_text=_UNITS)
    wasted_units = serializers.CharField(help_text="compute units that would be for nothing, as text")
    running = serializers.IntegerField(help_text="tasks that keepers would have to stop")
    proofs = serializers.IntegerField(help_text="proofs that would be cancelled")
    confirmed = serializers.IntegerField(help_text="tasks that stay, because they are confirmed")


class WireId(serializers.CharField):
    """An id in a body, read as the UUID it stands for."""

    def __init__(self, kind: str, **options: Any) -> None:
        super().__init__(**options)
        self.kind = kind

    def to_internal_value(self, data: Any) -> Any:
        """The UUID; a ValidationError with code `id_malformed`."""
        try:
            return from_wire(self.kind, super().to_internal_value(data))
        except Invalid as exc:
            raise serializers.ValidationError(f"{self.kind}_… expected", code=exc.code) from None


class LettersIn(serializers.Serializer[Any]):
    """Which waiting dead letters are meant; without a member, all of the caller's."""

    run = WireId("run", required=False, help_text="`run_…`")
    task = WireId("task", required=False, help_text="`task_…`")
    reason = _choice(FailureReason, required=False)
    stage = _choice(TaskStatus, required=False, help_text="the status in which they failed")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A misspelt filter must not widen what is replayed: only known members are taken."""
        unknown = sorted(self.initial_data.keys() - self.fields.keys())
        if unknown:
            raise serializers.ValidationError(
                {name: serializers.ErrorDetail("not one of the filters", code="unknown") for name in unknown}
            )
        return attrs

    def get_filter(self) -> LetterFilter:
        """The filter of a valid body."""
        given: dict[str, Any] = self.validated_data
        run_id: UUID | None = given.get("run")
        reason = given.get("reason")
        return LetterFilter(
            run_id=run_id,
            task_id=given.get("task"),
            reason=FailureReason(reason) if reason else None,
            stage=given.get("stage", ""),
        )

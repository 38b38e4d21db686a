"""The shapes of running ahead in the OpenAPI document: decisions, commitments, attempts, proofs, figures."""

from typing import Any

from rest_framework import serializers

from apps.execution.data import AssignmentStatus
from apps.progress.domain.ahead_words import PHASE_WORDS, PROOF_WORDS, RECOVERY_WORDS, VERDICT_WORDS
from apps.speculation.data import CommitmentStatus
from apps.tasks.data import FailureReason, TaskStatus


def _choice(words: Any, **options: Any) -> serializers.ChoiceField:
    return serializers.ChoiceField(choices=[str(word) for word in words], **options)


class CheckOut(serializers.Serializer[Any]):
    """One of the ten questions of a decision."""

    check = serializers.CharField()
    met = serializers.BooleanField()
    question = serializers.CharField()
    seen = serializers.CharField(help_text="what was observed, in words")
    allowed = serializers.CharField(help_text="the limit, in words")
    flips = serializers.CharField(help_text="what would turn the check round")
    observed = serializers.DictField(help_text="the observed values")
    limit = serializers.DictField(help_text="the values they are measured against")


class DecisionOut(serializers.Serializer[Any]):
    """The latest answer to whether a task may run ahead."""

    task = serializers.CharField()
    decided_at = serializers.DateTimeField()
    verdict = _choice(VERDICT_WORDS)
    meaning = serializers.CharField()
    refusal = serializers.CharField(allow_null=True, help_text="the first check that is not met")
    depth = serializers.IntegerField()
    bond_units = serializers.CharField()
    ancestors = serializers.ListField(child=serializers.CharField(), help_text="not confirmed then")
    checks = CheckOut(many=True)


class AttemptRef(serializers.Serializer[Any]):
    """One attempt of a task."""

    task = serializers.CharField()
    epoch = serializers.IntegerField()


class CommitmentOut(serializers.Serializer[Any]):
    """A keeper's word, under bond, for one attempt."""

    epoch = serializers.IntegerField()
    keeper = serializers.CharField()
    status = _choice(CommitmentStatus)
    depth = serializers.IntegerField()
    bond_units = serializers.CharField()
    ancestors = AttemptRef(many=True)
    reason = serializers.CharField(allow_null=True)
    opened_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)


class SpeculationOut(serializers.Serializer[Any]):
    """What the latest decision said; its checks are at `/tasks/{id}/decision`."""

    verdict = _choice(VERDICT_WORDS)
    refusal = serializers.CharField(allow_null=True)
    depth = serializers.IntegerField()
    bond_units = serializers.CharField()
    decided_at = serializers.DateTimeField()
    commitment = CommitmentOut(allow_null=True, help_text="the latest one; forgotten a while after its end")


class FailureOut(serializers.Serializer[Any]):
    """Why an attempt failed, as the stage that saw it told it."""

    reason = _choice(FailureReason)
    code = serializers.CharField()
    detail = serializers.CharField(allow_blank=True)
    detected_at = serializers.DateTimeField()


class RollbackPartOut(serializers.Serializer[Any]):
    """What one rollback did to an attempt."""

    id = serializers.CharField()
    root = serializers.CharField(help_text="the step that failed")  # type: ignore[assignment]
    is_root = serializers.BooleanField()
    reason = _choice(FailureReason)
    at = serializers.DateTimeField()
    previous = _choice(TaskStatus)
    target = serializers.CharField()
    released_units = serializers.CharField()
    slashed_units = serializers.CharField()
    wasted_units = serializers.CharField()


class AttemptOut(serializers.Serializer[Any]):
    """One attempt: its lease, its bond, why it failed, what undid it."""

    epoch = serializers.IntegerField()
    keeper = serializers.CharField(allow_null=True)
    is_ahead = serializers.BooleanField()
    began_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    lease = _choice(AssignmentStatus, allow_null=True)
    end_reason = serializers.CharField(allow_null=True)
    commitment = CommitmentOut(allow_null=True)
    failure = FailureOut(allow_null=True)
    rollbacks = RollbackPartOut(many=True)


class ProofOut(serializers.Serializer[Any]):
    """The proof of the latest attempt that had one."""

    id = serializers.CharField()
    epoch = serializers.IntegerField()
    status = _choice(PROOF_WORDS)
    circuit = serializers.IntegerField()
    public_input = serializers.CharField()
    depth = serializers.IntegerField()
    waits_for = serializers.ListField(
        child=serializers.CharField(), help_text="tasks that were not confirmed when it was asked for"
    )
    attempts = serializers.IntegerField()
    reason = serializers.CharField(allow_null=True)
    queued_at = serializers.DateTimeField()
    generation_started_at = serializers.DateTimeField(allow_null=True)
    generated_at = serializers.DateTimeField(allow_null=True)
    submission_started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    cost = serializers.DictField(allow_null=True, help_text="null until made, and where another's was shared")


class RootOut(AttemptRef):
    """The attempt that failed."""

    step = serializers.CharField()


class RollbackErrorOut(serializers.Serializer[Any]):
    """What the root ended with."""

    code = serializers.CharField()
    detail = serializers.CharField(allow_blank=True)


class RollbackRef(serializers.Serializer[Any]):
    """One rollback of a run; what it did to each task is at `/rollbacks/{id}`."""

    id = serializers.CharField()
    run = serializers.CharField()
    root = RootOut()
    reason = _choice(FailureReason)
    error = RollbackErrorOut()
    phase = _choice(PHASE_WORDS)
    scope = serializers.CharField()
    size = serializers.IntegerField(help_text="tasks it changed")
    depth = serializers.IntegerField()
    slashed_keeper = serializers.CharField(allow_null=True)
    slashed_units = serializers.CharField()
    treasury_units = serializers.CharField()
    released_units = serializers.CharField()
    wasted_units = serializers.CharField(help_text="compute units")
    recovery = _choice(RECOVERY_WORDS, allow_blank=True)
    is_retried = serializers.BooleanField()
    detected_at = serializers.DateTimeField()
    applied_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(allow_null=True)
    trace_id = serializers.CharField()


class RunFiguresOut(serializers.Serializer[Any]):
    """What running ahead was worth to a run."""

    ran_ahead = serializers.IntegerField(help_text="attempts admitted ahead of their parents")
    ran_ahead_ended = serializers.IntegerField()
    ran_ahead_confirmed = serializers.IntegerField()
    hit_rate = serializers.FloatField(allow_null=True, help_text="confirmed of those that ended")
    took_seconds = serializers.FloatField(allow_null=True, help_text="to the last confirmation so far")
    without_seconds = serializers.FloatField(
        allow_null=True, help_text="the same steps as measured, each after its parents' confirmation"
    )
    saved_seconds = serializers.FloatField(allow_null=True, help_text="negative where it cost time")
    deepest_depth = serializers.IntegerField()
    at_risk_units = serializers.CharField(help_text="bonds that are locked now")
    slashed_units = serializers.CharField()
    wasted_units = serializers.CharField(help_text="compute units that were for nothing")

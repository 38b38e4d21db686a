"""The shapes of dry runs and of why a job did not fire, in the OpenAPI document."""

from typing import Any

from rest_framework import serializers

from apps.jobs.data import FiringKind, FiringStatus, JobStatus


class WhyCode(serializers.Serializer[Any]):
    """A stable code, and what it means."""

    code = serializers.CharField()
    explanation = serializers.CharField()


class FiringOut(serializers.Serializer[Any]):
    """One firing of a job's trigger."""

    id = serializers.CharField()
    key = serializers.CharField()
    kind = serializers.ChoiceField([str(kind) for kind in FiringKind])
    status = serializers.ChoiceField([str(status) for status in FiringStatus])
    reason = serializers.CharField(help_text="the code of what refused it, or empty")
    due_at = serializers.DateTimeField()
    fired_at = serializers.DateTimeField(allow_null=True)
    lateness_ms = serializers.IntegerField(allow_null=True)
    run = serializers.CharField(allow_null=True)


class FiringCheckOut(serializers.Serializer[Any]):
    """One thing a firing needs; `ok` is null where it is not known."""

    check = serializers.CharField()
    ok = serializers.BooleanField(allow_null=True)
    observed = serializers.CharField()
    limit = serializers.CharField()
    explanation = serializers.CharField()


class SightingOut(serializers.Serializer[Any]):
    """A log the job waits for, as it was seen."""

    key = serializers.CharField()
    status = serializers.CharField()
    reason = serializers.CharField()
    block_number = serializers.IntegerField()
    due_block = serializers.IntegerField(help_text="the head at which it is confirmed")
    seen_at = serializers.DateTimeField()


class WhyOut(serializers.Serializer[Any]):
    """Why a job did not fire; `answer` is the first check that fails."""

    job = serializers.CharField()
    at = serializers.DateTimeField()
    status = serializers.ChoiceField([str(status) for status in JobStatus])
    status_since = serializers.DateTimeField(allow_null=True)
    status_reason = serializers.CharField()
    next_fire_at = serializers.DateTimeField(allow_null=True)
    last_refusal = serializers.DictField(allow_null=True)
    balance_units = serializers.CharField()
    estimated_cost_units = serializers.CharField(allow_null=True)
    answer = WhyCode()
    checks = FiringCheckOut(many=True)
    firings = FiringOut(many=True)
    sightings = SightingOut(many=True)
    evaluations = serializers.ListField(child=serializers.DictField())


class DryRunOut(serializers.Serializer[Any]):
    """What a job would do if it fired now."""

    job = serializers.CharField(allow_null=True, help_text="null for a body that is not stored")
    at = serializers.DateTimeField()
    would_fire = serializers.BooleanField(allow_null=True)
    why = WhyCode()
    next_fires = serializers.ListField(child=serializers.DateTimeField())
    trigger = serializers.DictField(allow_null=True, help_text="of event and condition jobs")
    calls = serializers.ListField(child=serializers.DictField())
    cost = serializers.DictField()
    bond = serializers.ListField(child=serializers.DictField())
    blast_radius = serializers.DictField()

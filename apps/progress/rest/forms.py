"""The shapes of runs and tasks in the OpenAPI document. The values themselves come from `documents.py`."""

from typing import Any

from rest_framework import serializers

from apps.attestation.data import ItemVerdict
from apps.execution.data import AssignmentStatus
from apps.jobs.data import EdgeKind
from apps.progress.rest.ahead_forms import AttemptOut, ProofOut, RollbackRef, RunFiguresOut, SpeculationOut
from apps.settlement.data import SettlementStatus
from apps.tasks.data import RunStatus, TaskStatus


def _choice(statuses: Any, **options: Any) -> serializers.ChoiceField:
    return serializers.ChoiceField(choices=[str(status) for status in statuses], **options)


class JobRef(serializers.Serializer[Any]):
    """The job a run is of."""

    id = serializers.CharField()
    name = serializers.CharField()


class RunOut(serializers.Serializer[Any]):
    """A run without its tasks."""

    id = serializers.CharField()
    job = JobRef()
    project = serializers.CharField()
    status = _choice(RunStatus)
    tick_key = serializers.CharField(help_text="`time:<instant>` or `manual:<id>`; once per job")
    due_at = serializers.DateTimeField()
    opened_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    cancel_requested_at = serializers.DateTimeField(allow_null=True)
    trace_id = serializers.CharField()
    tasks_total = serializers.IntegerField()
    task_counts = serializers.DictField(child=serializers.IntegerField(), help_text="status → tasks in it")
    escrow_units = serializers.CharField(help_text="held for the run")
    spent_units = serializers.CharField(help_text="charged so far")


class TaskError(serializers.Serializer[Any]):
    """Why a task failed."""

    code = serializers.CharField()
    detail = serializers.CharField(allow_blank=True)


class TaskOut(serializers.Serializer[Any]):
    """A task's own facts."""

    id = serializers.CharField()
    run = serializers.CharField()
    step_key = serializers.CharField()
    position = serializers.IntegerField()
    status = _choice(TaskStatus)
    depth = serializers.IntegerField(
        help_text="unconfirmed ancestors on the longest path when it was decided on; before, the longest path"
    )
    is_ahead = serializers.BooleanField(help_text="admitted before what it stands on was confirmed")
    is_failing = serializers.BooleanField(help_text="a failure is signalled and not dealt with yet")
    epoch = serializers.IntegerField(help_text="leases given and attempts opened so far")
    failures = serializers.IntegerField(help_text="attempts that ended without an accepted result")
    timeline = serializers.DictField(child=serializers.DateTimeField(), help_text="status → when entered")
    performer = serializers.CharField(allow_null=True)
    error = TaskError(allow_null=True)
    output_cid = serializers.CharField(allow_null=True)
    package_cid = serializers.CharField(allow_null=True)


class ParentOut(serializers.Serializer[Any]):
    """What a task depends on."""

    step = serializers.CharField()
    kind = _choice(EdgeKind)


class MeasuresOut(serializers.Serializer[Any]):
    """What the performer measured, as it signed it."""

    cpu_ms = serializers.IntegerField(allow_null=True)
    wall_ms = serializers.IntegerField(allow_null=True)
    peak_memory_bytes = serializers.IntegerField(allow_null=True)
    compute_units = serializers.IntegerField(allow_null=True)
    gas_used = serializers.IntegerField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


class AssignmentOut(serializers.Serializer[Any]):
    """One lease a keeper had on the task."""

    keeper = serializers.CharField()
    epoch = serializers.IntegerField()
    status = _choice(AssignmentStatus)
    offered_at = serializers.DateTimeField()
    acknowledged_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    end_reason = serializers.CharField(allow_null=True)
    score_card = serializers.JSONField(help_text="score and its parts in millionths, and the runner-up")


class VoteOut(serializers.Serializer[Any]):
    """One attester's verdict."""

    attester = serializers.CharField()
    positive = serializers.BooleanField()
    reason = serializers.CharField(allow_null=True)


class AttestationOut(serializers.Serializer[Any]):
    """The latest round that checks the task."""

    round = serializers.CharField()
    number = serializers.IntegerField()
    committee = serializers.ListField(child=serializers.CharField())
    votes = VoteOut(many=True)
    positive = serializers.IntegerField()
    negative = serializers.IntegerField()
    required = serializers.IntegerField()  # type: ignore[assignment]
    verdict = _choice(ItemVerdict)


class SettlementOut(serializers.Serializer[Any]):
    """Where the task is on the chain."""

    batch = serializers.CharField()
    status = _choice(SettlementStatus)
    tx_hash = serializers.CharField(allow_null=True)
    block_number = serializers.IntegerField(allow_null=True)
    block_hash = serializers.CharField(allow_null=True)
    proof_of_task = serializers.CharField()
    confirmed_at = serializers.DateTimeField(allow_null=True)
    gas_units = serializers.CharField()
    fee_units = serializers.CharField()


class TaskDetailOut(TaskOut):
    """A task with everything known about it."""

    parents = ParentOut(many=True)
    measures = MeasuresOut(allow_null=True)
    assignments = AssignmentOut(many=True)
    attestation = AttestationOut(allow_null=True)
    settlement = SettlementOut(allow_null=True)
    speculation = SpeculationOut(allow_null=True)
    proof = ProofOut(allow_null=True)
    attempts = AttemptOut(many=True)


class RunDetailOut(RunOut):
    """A run with all its tasks."""

    last_event = serializers.IntegerField(help_text="the document has every event up to this one")
    speculation = RunFiguresOut()
    rollbacks = RollbackRef(many=True)
    tasks = TaskDetailOut(many=True)


class FrameOut(serializers.Serializer[Any]):
    """The `data` of one `frame` message of a stream."""

    sequence = serializers.IntegerField()
    type = serializers.CharField(help_text="the event, in the past tense")
    entity = serializers.CharField()
    id = serializers.CharField()
    run = serializers.CharField(allow_null=True)
    at = serializers.DateTimeField()
    trace_id = serializers.CharField()
    patch = serializers.DictField(help_text="new values of the entity's fields; `timeline` is merged")

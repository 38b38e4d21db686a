"""How jobs look on the wire.

What comes in is described here for the API page and read by `definition_from_json`, which alone
decides; what goes out is written by these.
"""

from typing import Any, Final

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field
from rest_framework import serializers

from apps.gateway.rest.speculation import SpeculationField
from apps.jobs.domain.actions import TARGETS_MAX
from apps.jobs.domain.states import JobStatus
from apps.jobs.domain.validation import DEADLINE_MAX_SECONDS, DRILLED_MAX, MEMORY_MAX_MB, MEMORY_MIN_MB
from apps.jobs.domain.values import ArgumentsKind, EdgeKind, Language, MissedPolicy, TriggerKind
from apps.jobs.models import Job
from apps.jobs.rest.trigger_serializers import ConditionField, EventField
from apps.kernel.ids import to_wire

_ADDRESS: Final = r"^0x[0-9a-fA-F]{40}$"


class IntervalScheduleBody(serializers.Serializer[Any]):
    """Every so many seconds, from a start."""

    kind = serializers.ChoiceField(["interval"])
    seconds = serializers.IntegerField(min_value=1)
    start_at = serializers.DateTimeField(
        required=False, help_text="the first fire; one interval from now if absent"
    )


class CronScheduleBody(serializers.Serializer[Any]):
    """Five fields or `@daily` and the like, in local time."""

    kind = serializers.ChoiceField(["cron"])
    expression = serializers.CharField(max_length=200)
    zone = serializers.CharField(required=False, help_text="IANA name, UTC if absent")


class SpecificScheduleBody(serializers.Serializer[Any]):
    """Given instants."""

    kind = serializers.ChoiceField(["specific"])
    instants = serializers.ListField(child=serializers.DateTimeField(), min_length=1, max_length=1_000)


_SCHEDULE = PolymorphicProxySerializer(
    component_name="Schedule",
    serializers={
        "interval": IntervalScheduleBody,
        "cron": CronScheduleBody,
        "specific": SpecificScheduleBody,
    },
    resource_type_field_name="kind",
)


@extend_schema_field(_SCHEDULE)
class ScheduleField(serializers.JSONField):
    """One of the three schedules."""


class ParentBody(serializers.Serializer[Any]):
    """An edge to another step."""

    step = serializers.CharField()
    kind = serializers.ChoiceField([str(kind) for kind in EdgeKind], required=False, default="data")


class ScriptBody(serializers.Serializer[Any]):
    """A script in the content store."""

    cid = serializers.CharField()
    language = serializers.ChoiceField([str(language) for language in Language], required=False)


class ArgumentsBody(serializers.Serializer[Any]):
    """Where the action's arguments come from."""

    kind = serializers.ChoiceField([str(kind) for kind in ArgumentsKind])
    values = serializers.ListField(child=serializers.JSONField(), required=False, help_text="static only")


class ActionBody(serializers.Serializer[Any]):
    """The call the settlement hub makes: of `function`, or with `custom` what the script decides."""

    chain_id = serializers.IntegerField(min_value=1)
    target = serializers.RegexField(
        _ADDRESS, required=False, help_text="EIP-55 checksum where the case is mixed"
    )
    function = serializers.CharField(
        required=False, max_length=256, help_text="such as `report(bytes32,uint256)`"
    )
    custom = serializers.BooleanField(
        required=False,
        help_text="the script prints `should_execute`, `target`, `calldata` and `storage_updates` itself",
    )
    targets = serializers.ListField(
        child=serializers.RegexField(_ADDRESS),
        required=False,
        min_length=1,
        max_length=TARGETS_MAX,
        help_text="custom only: the contracts that may be called",
    )
    abi = serializers.DictField(required=False, help_text="the function's ABI entry; derived where absent")
    gas_limit = serializers.IntegerField(required=False)
    value_wei = serializers.CharField(required=False, help_text='"0": settlement forwards no coin')


class LimitsBody(serializers.Serializer[Any]):
    """What one execution may use."""

    deadline_seconds = serializers.IntegerField(required=False, min_value=1, max_value=DEADLINE_MAX_SECONDS)
    memory_mb = serializers.IntegerField(required=False, min_value=MEMORY_MIN_MB, max_value=MEMORY_MAX_MB)
    cpu_seconds = serializers.IntegerField(required=False, min_value=1, help_text="at most the deadline")


class DrillBody(serializers.Serializer[Any]):
    """A failure on purpose, so that a rollback, its slash and its retry can be seen for real.

    It costs money: each rejected proof takes its percent of the bond of the keeper that performed the
    step, and the work that stood on it is lost. Only where the project `allows_drills`, and without effect
    where no proofs are required.
    """

    reject_proof = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=DRILLED_MAX,
        help_text="the proofs of the step's first so many attempts are damaged on their way to the chain, "
        "which rejects them; 0 is no drill",
    )


class StepFields(serializers.Serializer[Any]):
    """What a step, or a job with one step, consists of."""

    script = ScriptBody(required=False, allow_null=True)
    script_source = serializers.CharField(required=False, help_text="the script itself; stored under its CID")
    inputs = serializers.DictField(
        child=serializers.CharField(),
        required=False,
        help_text="file name → CID. While proofs are required, inputs and data parents together are at most "
        "what the largest circuit (`FOREKEEP_PROOFS_SIZES`) binds: 7 for 16 steps, 31 for 64",
    )
    params = serializers.JSONField(required=False, help_text="any JSON of at most 64 KiB")
    arguments = ArgumentsBody(required=False)
    action = ActionBody(required=False, allow_null=True)
    limits = LimitsBody(required=False)
    drill = DrillBody(required=False, allow_null=True)


class StepBody(StepFields):
    """One step of a job."""

    key = serializers.RegexField(r"^[a-z][a-z0-9_-]{0,63}$")
    parents = ParentBody(many=True, required=False)


class JobFields(StepFields):
    """What may be said about a job; the step's fields stand here where it has one step only."""

    schedule = ScheduleField(required=False, allow_null=True, help_text="for a time trigger")
    event = EventField(required=False, allow_null=True, help_text="for an event trigger")
    condition = ConditionField(required=False, allow_null=True, help_text="for a condition trigger")
    link_job = serializers.CharField(
        required=False, allow_null=True, help_text="`job_…` of the project: fires when a run is confirmed"
    )
    pause_after_failures = serializers.IntegerField(
        required=False, min_value=1, max_value=1_000, help_text="so many failed runs in a row pause the job"
    )
    missed_policy = serializers.ChoiceField([str(policy) for policy in MissedPolicy], required=False)
    missed_limit = serializers.IntegerField(
        required=False, min_value=1, max_value=1_000, help_text="for `all`"
    )
    recurring = serializers.BooleanField(required=False)
    max_fires = serializers.IntegerField(required=False, allow_null=True, min_value=1)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)
    speculation = SpeculationField(
        required=False,
        allow_null=True,
        help_text="how far the job's tasks may run ahead; replaced as a whole, null leaves it to the project",
    )
    steps = StepBody(many=True, required=False)


class JobCreateBody(JobFields):
    """A new job."""

    project = serializers.CharField(required=False, help_text="`proj_…`; needed where the caller has several")
    name = serializers.CharField(max_length=200)
    trigger_kind = serializers.ChoiceField([str(kind) for kind in TriggerKind])


class JobChangeBody(JobFields):
    """What changes; a null goes back to the default."""

    name = serializers.CharField(max_length=200, required=False)
    trigger_kind = serializers.ChoiceField([str(kind) for kind in TriggerKind], required=False)


class RefusalOut(serializers.Serializer[Any]):
    """Why the job's last ticks opened no run."""

    reason = serializers.CharField(help_text="`insufficient_funds` or `price_unknown`")
    needed_units = serializers.CharField()
    available_units = serializers.CharField()
    at = serializers.DateTimeField()


@extend_schema_field(RefusalOut(allow_null=True))
class RefusalField(serializers.JSONField):
    """The last refusal as it is stored."""


class JobRow(serializers.ModelSerializer[Job]):
    """A job in a list."""

    id = serializers.CharField(source="wire_id", read_only=True)
    project = serializers.SerializerMethodField()
    status = serializers.ChoiceField([str(status) for status in JobStatus], read_only=True)
    schedule = ScheduleField(allow_null=True)
    event = EventField(allow_null=True)
    condition = ConditionField(allow_null=True)
    link_job = serializers.SerializerMethodField()
    speculation = SpeculationField(read_only=True)
    last_refusal = RefusalField(
        read_only=True, help_text="of ticks the project could not pay; null once the job fires again"
    )
    estimated_cost_units = serializers.SerializerMethodField()

    class Meta:
        model = Job
        fields: tuple[str, ...] = (
            "id",
            "project",
            "name",
            "status",
            "trigger_kind",
            "schedule",
            "event",
            "condition",
            "armed_at",
            "link_job",
            "pause_after_failures",
            "failures_in_row",
            "missed_policy",
            "missed_limit",
            "recurring",
            "max_fires",
            "expires_at",
            "next_fire_at",
            "fire_count",
            "last_fired_at",
            "last_refusal",
            "definition_hash",
            "speculation",
            "version",
            "estimated_cost_units",
            "created_by",
            "trace_id",
            "created_at",
            "updated_at",
        )
        read_only_fields: tuple[str, ...] = fields

    def get_project(self, job: Job) -> str:
        """`proj_…`."""
        return to_wire("proj", job.project_id)

    def get_link_job(self, job: Job) -> str | None:
        """`job_…` of the job that a confirmed run fires."""
        return None if job.link_job_id is None else to_wire("job", job.link_job_id)

    def get_estimated_cost_units(self, job: Job) -> str | None:
        """The fee of one run in units, as text; null where no gas price was at hand."""
        return None if job.estimated_cost_units is None else str(job.estimated_cost_units)


class StoredStep(StepBody):
    """A step as it is stored: everything filled in."""

    script_source = None  # type: ignore[assignment]


class JobOut(JobRow):
    """A job with its steps."""

    steps = serializers.SerializerMethodField()

    class Meta(JobRow.Meta):
        fields = (*JobRow.Meta.fields, "steps")
        read_only_fields = fields

    @extend_schema_field(StoredStep(many=True))
    def get_steps(self, job: Job) -> Any:
        """The steps in their stored form."""
        return job.definition["steps"]


class PreviewBody(serializers.Serializer[Any]):
    """How many fires to show, and in which zone besides UTC."""

    count = serializers.IntegerField(required=False, default=5, min_value=1, max_value=100)
    zone = serializers.CharField(required=False, help_text="IANA name; the schedule's own if absent")


class SchedulePreviewBody(PreviewBody):
    """A schedule no job has yet."""

    schedule = ScheduleField()


class FireOut(serializers.Serializer[Any]):
    """One fire, in both clocks."""

    at = serializers.DateTimeField(help_text="UTC")
    local = serializers.CharField(help_text="with the zone's offset")


class PreviewOut(serializers.Serializer[Any]):
    """The next fires."""

    zone = serializers.CharField()
    fires = FireOut(many=True)


class TaskCostOut(serializers.Serializer[Any]):
    """One task's part of the fee."""

    step = serializers.CharField()
    offchain_units = serializers.CharField()
    execution_gas = serializers.IntegerField()
    settlement_gas = serializers.IntegerField()
    fee_units = serializers.CharField()


class EstimateOut(serializers.Serializer[Any]):
    """What one run costs at most, in units (1 unit is 1 gwei)."""

    total_units = serializers.CharField()
    gas_price_wei = serializers.CharField()
    per_task = TaskCostOut(many=True)

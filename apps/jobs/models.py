"""The one row of a job: what it is, when it fires next, how often it has.

Written only by `services`, always with an event. `version` counts what people change (it is the ETag);
firing moves `next_fire_at` and the counters and leaves it alone.
"""

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from apps.accounts.models import Project
from apps.eventlog.models import EventedModel
from apps.jobs.domain.due import Due, fires_left
from apps.jobs.domain.states import LIVE, FiringStatus, JobStatus
from apps.jobs.domain.timing import schedule_from_json
from apps.jobs.domain.values import FiringKind, MissedPolicy, TriggerKind
from apps.kernel.ids import new_id, to_wire
from apps.kernel.speculation import Choice, choice_from_json

_ENDED = [str(status) for status in JobStatus if status not in LIVE]
_NO_TICKS = Q(schedule__isnull=True, next_fire_at__isnull=True)
_LIVE = [str(status) for status in JobStatus if status in LIVE]


def _choices(kinds: Any) -> list[tuple[str, str]]:
    return [(str(kind), str(kind)) for kind in kinds]


class Job(EventedModel):
    """A trigger, a definition and where both stand."""

    AGGREGATE: ClassVar[str] = "job"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="jobs")
    name = models.CharField(max_length=200)
    status = models.CharField(max_length=16, choices=_choices(JobStatus), default=str(JobStatus.ACTIVE))
    trigger_kind = models.CharField(max_length=16, choices=_choices(TriggerKind))
    #: the stored form of the trigger, in the column of its kind: ticks, a log that is waited for, a condition
    schedule = models.JSONField(null=True, blank=True)
    event = models.JSONField(null=True, blank=True)
    condition = models.JSONField(null=True, blank=True)
    #: since when its trigger counts: created, resumed, or given another trigger
    armed_at = models.DateTimeField()
    missed_policy = models.CharField(
        max_length=8, choices=_choices(MissedPolicy), default=str(MissedPolicy.ONE)
    )
    missed_limit = models.PositiveIntegerField(default=1)
    recurring = models.BooleanField(default=True)
    max_fires = models.PositiveIntegerField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    #: the next tick that is no firing yet; kept while paused, null where none will come
    next_fire_at = models.DateTimeField(null=True, blank=True)
    fire_count = models.PositiveIntegerField(default=0)
    last_fired_at = models.DateTimeField(null=True, blank=True)
    #: the job that fires when a run of this one is confirmed
    link_job = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="linked_from"
    )
    #: so many runs in a row may fail before it is paused, and how many have
    pause_after_failures = models.PositiveIntegerField(default=5)
    failures_in_row = models.PositiveIntegerField(default=0)
    #: `{reason, needed_units, available_units, at}` of firings that could not be paid; null once it fires
    last_refusal = models.JSONField(null=True, blank=True)
    #: `{"format": 1, "steps": […]}` in canonical form
    definition = models.JSONField()
    #: SHA-256 (hex) of its canonical JSON
    definition_hash = models.CharField(max_length=64)
    #: what the job says about running ahead, `Choice.to_json()`; `{}` says nothing. Not part of the hash.
    speculation = models.JSONField(default=dict, blank=True)
    version = models.PositiveIntegerField(default=1)
    #: the fee of one run at the gas price of the last edit; null where no price was at hand
    estimated_cost_units = models.BigIntegerField(null=True, blank=True)
    created_by = models.CharField(max_length=80, default="", blank=True)
    trace_id = models.CharField(max_length=32, default="", blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(condition=Q(status__in=_LIVE + _ENDED), name="job_status_known"),
            models.CheckConstraint(condition=~Q(name=""), name="job_name_not_empty"),
            models.CheckConstraint(
                condition=Q(
                    trigger_kind="time", schedule__isnull=False, event__isnull=True, condition__isnull=True
                )
                | Q(_NO_TICKS, trigger_kind="event", event__isnull=False, condition__isnull=True)
                | Q(_NO_TICKS, trigger_kind="condition", event__isnull=True, condition__isnull=False)
                | Q(_NO_TICKS, trigger_kind="manual", event__isnull=True, condition__isnull=True),
                name="job_trigger_of_its_kind",
            ),
            models.CheckConstraint(
                condition=Q(missed_policy__in=[str(policy) for policy in MissedPolicy]),
                name="job_missed_known",
            ),
            models.CheckConstraint(condition=Q(missed_limit__gte=1), name="job_missed_limit_positive"),
            models.CheckConstraint(
                condition=Q(max_fires__isnull=True) | Q(max_fires__gte=1, recurring=True),
                name="job_max_fires_positive",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=_ENDED) | Q(next_fire_at__isnull=True), name="job_ended_never_fires"
            ),
            models.CheckConstraint(
                condition=Q(next_fire_at__isnull=True)
                | Q(expires_at__isnull=True)
                | Q(next_fire_at__lt=models.F("expires_at")),
                name="job_fires_before_expiry",
            ),
        )
        indexes = (
            models.Index(
                fields=("next_fire_at",),
                condition=Q(status="active", next_fire_at__isnull=False),
                name="job_due",
            ),
            models.Index(
                fields=("expires_at",),
                condition=Q(status__in=_LIVE, expires_at__isnull=False),
                name="job_expiring",
            ),
            models.Index(fields=("project", "-id"), name="job_by_project"),
            models.Index(
                fields=("trigger_kind",),
                condition=Q(status="active", trigger_kind__in=["event", "condition"]),
                name="job_watched",
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def wire_id(self) -> str:
        """`job_…`."""
        return to_wire("job", self.id)

    @property
    def speculation_choice(self) -> Choice:
        """What the job says about running ahead."""
        return choice_from_json(self.speculation)

    def get_drill(self, step_key: str) -> int:
        """How many proofs of a step are to be rejected on purpose: 0 without a drill, for a step that is no
        longer there, and where the project allows drills no more.
        """
        drills = {step["key"]: step.get("drill") for step in self.definition["steps"]}
        drill = drills.get(step_key)
        return int(drill["reject_proof"]) if drill and self.project.allows_drills else 0

    @property
    def due(self) -> Due:
        """What the firing rules read of this row."""
        return Due(
            schedule=None if self.schedule is None else schedule_from_json(self.schedule),
            next_fire_at=self.next_fire_at,
            missed_policy=MissedPolicy(self.missed_policy),
            missed_limit=self.missed_limit,
            fires_left=fires_left(
                recurring=self.recurring, max_fires=self.max_fires, fire_count=self.fire_count
            ),
            expires_at=self.expires_at,
        )


class Firing(models.Model):
    """One firing of a job's trigger: a tick to come, then what opened a run or why none was opened.

    Unique (job, key) makes a firing happen at most once (invariant 16). Whoever opens or refuses one holds
    the lock of its job.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="firings")
    project_id = models.UUIDField()
    #: the run's tick key
    key = models.CharField(max_length=80)
    kind = models.CharField(max_length=16, choices=_choices(FiringKind))
    due_at = models.DateTimeField()
    status = models.CharField(max_length=8, choices=_choices(FiringStatus), default=str(FiringStatus.PENDING))
    #: what was seen: the log, or the values with their time and source
    evidence = models.JSONField(default=dict)
    fired_at = models.DateTimeField(null=True)
    #: the code of what refused it
    reason = models.CharField(max_length=64, default="", blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=("job", "key"), name="firing_once_per_key"),
            models.CheckConstraint(
                condition=Q(status=FiringStatus.PENDING, fired_at__isnull=True)
                | (~Q(status=FiringStatus.PENDING) & Q(fired_at__isnull=False)),
                name="firing_pending_iff_not_fired",
            ),
        )
        indexes = (
            models.Index(fields=("due_at",), condition=Q(status=FiringStatus.PENDING), name="firing_pending"),
            models.Index(fields=("job",), condition=Q(status=FiringStatus.FIRED), name="firing_fired"),
            models.Index(fields=("job", "-id"), name="firing_by_job"),
        )

    def __str__(self) -> str:
        return f"{self.job_id} {self.key}"

"""Runs, their tasks and the edges between them.

Every unfinished task has a `wake_at`: the moment at which some stage looks at it again even if every
message about it was lost (invariant 18). `epoch` only grows, one per lease ever given (invariant 11).
"""

from typing import Any, ClassVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import F, Q

from apps.eventlog.models import EventedModel
from apps.jobs.data import EdgeKind
from apps.jobs.models import Job
from apps.kernel.ids import new_id, to_wire
from apps.tasks.data import UNFINISHED, FailureReason, RunStatus, TaskStatus

#: in one order, so that a migration made twice is the same
_UNFINISHED = sorted(str(status) for status in UNFINISHED)


#: the columns events alone rebuild; the others are a stage's own bookkeeping
RUN_FIELDS = (
    "job_id",
    "project_id",
    "tick_key",
    "due_at",
    "trigger",
    "status",
    "trace_id",
    "opened_at",
    "finished_at",
    "cancel_requested_at",
    "tasks_total",
    "escrow_units",
    "spent_units",
    "reopenings",
)
TASK_FIELDS = (
    "run_id",
    "project_id",
    "step_key",
    "position",
    "depth",
    "status",
    "epoch",
    "failures",
    "is_solo",
    "is_ahead",
    "is_failing",
    "resubmissions",
    "redraws",
    "spec",
    "performer",
    "result",
    "output_cid",
    "package_cid",
    "error_code",
    "error_detail",
    "timeline",
)


def _choices(statuses: Any) -> list[tuple[str, str]]:
    return [(str(status), str(status)) for status in statuses]


class Run(EventedModel):
    """One firing of one job's trigger."""

    AGGREGATE: ClassVar[str] = "run"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="runs")
    project_id = models.UUIDField(db_index=True)
    tick_key = models.CharField(max_length=80)
    due_at = models.DateTimeField()
    #: `{kind, evidence, fired_at}` of the firing; `{}` of runs older than it
    trigger = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    status = models.CharField(max_length=16, choices=_choices(RunStatus), default=RunStatus.OPEN)
    trace_id = models.CharField(max_length=32, db_index=True)
    opened_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    tasks_total = models.PositiveIntegerField()
    escrow_units = models.BigIntegerField(default=0)
    spent_units = models.BigIntegerField(default=0)
    #: when its end was counted for its job; null until then, and again once it is opened again
    followed_at = models.DateTimeField(null=True, blank=True)
    #: how often it was open again after its end; each time its money was held anew
    reopenings = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=("job", "tick_key"), name="run_once_per_tick"),
            models.CheckConstraint(condition=Q(escrow_units__gte=0), name="run_escrow_not_negative"),
            models.CheckConstraint(condition=Q(spent_units__lte=F("escrow_units")), name="run_within_escrow"),
            models.CheckConstraint(
                condition=Q(status=RunStatus.OPEN, finished_at__isnull=True)
                | (~Q(status=RunStatus.OPEN) & Q(finished_at__isnull=False)),
                name="run_ended_iff_finished",
            ),
        )
        indexes = (
            models.Index(fields=("project_id", "-id"), name="run_by_project"),
            models.Index(fields=("status",), condition=Q(status=RunStatus.OPEN), name="run_open"),
            models.Index(
                fields=("id",),
                condition=Q(followed_at__isnull=True) & ~Q(status=RunStatus.OPEN),
                name="run_to_follow",
            ),
        )

    def __str__(self) -> str:
        return to_wire("run", self.id)


class Task(EventedModel):
    """One step of a run, through all its attempts."""

    AGGREGATE: ClassVar[str] = "task"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="tasks")
    project_id = models.UUIDField()
    step_key = models.CharField(max_length=64)
    position = models.PositiveIntegerField()
    depth = models.PositiveIntegerField(default=0)
    status = models.CharField(max_length=20, choices=_choices(TaskStatus), default=TaskStatus.DISCOVERED)
    #: leases given and attempts opened so far; the fence of every write about an attempt
    epoch = models.PositiveBigIntegerField(default=0)
    #: attempts that ended without an accepted result
    failures = models.PositiveIntegerField(default=0)
    #: attestation rounds this task has been in
    rounds = models.PositiveIntegerField(default=0)
    #: whether its next round is its own (a shared round could not be decided as one)
    is_solo = models.BooleanField(default=False)
    #: whether the present attempt was admitted on outputs that were not confirmed
    is_ahead = models.BooleanField(default=False)
    #: whether a failure of the present attempt is signalled: nothing else moves it any more
    is_failing = models.BooleanField(default=False)
    #: submissions whose action reverted on chain
    resubmissions = models.PositiveIntegerField(default=0)
    #: rounds that ended without a quorum
    redraws = models.PositiveIntegerField(default=0)
    #: passes of a stage that broke on this row since it last moved
    stage_errors = models.PositiveIntegerField(default=0)
    wake_at = models.DateTimeField(null=True)
    spec = models.JSONField(encoder=DjangoJSONEncoder)
    performer = models.CharField(max_length=42, blank=True, default="")
    #: the accepted result of the current epoch, as the performer signed it
    result = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    output_cid = models.CharField(max_length=100, blank=True, default="")
    package_cid = models.CharField(max_length=100, blank=True, default="")
    error_code = models.CharField(max_length=64, blank=True, default="")
    error_detail = models.CharField(max_length=500, blank=True, default="")
    #: status → when it was last entered (RFC 3339)
    timeline = models.JSONField(default=dict)

    class Meta:
        ordering = ("run_id", "position")
        constraints = (
            models.UniqueConstraint(fields=("run", "step_key"), name="task_once_per_step"),
            models.CheckConstraint(
                condition=Q(status__in=_UNFINISHED, wake_at__isnull=False) | ~Q(status__in=_UNFINISHED),
                name="task_unfinished_wakes",
            ),
        )
        indexes = (
            models.Index(fields=("status", "wake_at"), condition=Q(status__in=_UNFINISHED), name="task_due"),
        )

    def __str__(self) -> str:
        return to_wire("task", self.id)


class Failure(models.Model):
    """A failure of one attempt, as the stage that saw it told it; the rollback stage takes it from here.

    Of two words about one attempt the first is kept.
    """

    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="signals")
    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="signals")
    epoch = models.PositiveBigIntegerField()
    reason = models.CharField(max_length=32, choices=_choices(FailureReason))
    error_code = models.CharField(max_length=64)
    error_detail = models.CharField(max_length=500, blank=True, default="")
    detected_at = models.DateTimeField()
    #: when the rollback stage looks at it; null once it is dealt with
    wake_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("task", "epoch"), name="failure_once_per_attempt"),)
        indexes = (
            models.Index(fields=("wake_at",), condition=Q(wake_at__isnull=False), name="failure_pending"),
        )

    def __str__(self) -> str:
        return f"{self.task_id} attempt {self.epoch}: {self.reason}"


class Edge(models.Model):
    """`child` depends on `parent`, both of one run."""

    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="edges")
    parent = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="child_edges")
    child = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="parent_edges")
    kind = models.CharField(max_length=16, choices=_choices(EdgeKind), default=EdgeKind.DATA)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("parent", "child"), name="edge_once"),
            models.CheckConstraint(condition=~Q(parent=F("child")), name="edge_not_to_itself"),
        )

    def __str__(self) -> str:
        return f"{self.parent_id} → {self.child_id}"

"""What is kept of failures: each rollback with what it did to every task, and what waits for a person.

A rollback is written in the transaction that undoes what it names. While something is still to be done
after it, `wake_at` says when the stage looks at it again (invariant 18).
"""

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from apps.eventlog.models import EventedModel
from apps.kernel.ids import new_id, to_wire
from apps.rollback.data import RecoveryAction, RollbackPhase, Scope, Target
from apps.tasks.data import FailureReason, TaskStatus
from apps.tasks.models import Run, Task

#: phases in which nothing is left to do
_ENDED = (str(RollbackPhase.COMPLETE), str(RollbackPhase.DISMISSED))

#: the columns events alone rebuild
ROLLBACK_FIELDS = (
    "root_id",
    "run_id",
    "project_id",
    "epoch",
    "reason",
    "error_code",
    "error_detail",
    "phase",
    "scope",
    "size",
    "depth",
    "slashed_keeper",
    "slashed_units",
    "treasury_units",
    "victims",
    "released_units",
    "wasted_units",
    "recovery",
    "is_retried",
    "proofs",
    "abort_latencies_ms",
    "detected_at",
    "applied_at",
    "completed_at",
    "trace_id",
)
LETTER_FIELDS = (
    "rollback_id",
    "task_id",
    "run_id",
    "project_id",
    "epoch",
    "stage",
    "reason",
    "error_code",
    "error_detail",
    "attempts",
    "dependents",
    "wasted_units",
    "is_final",
    "failed_at",
    "replayed_at",
)


def _choices(words: Any) -> list[tuple[str, str]]:
    return [(str(word), str(word)) for word in words]


class Rollback(EventedModel):
    """One failure, or one stop by hand, and what it did; at most one per attempt and scope."""

    AGGREGATE: ClassVar[str] = "rollback"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    root = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="rollbacks")
    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="rollbacks")
    project_id = models.UUIDField()
    epoch = models.PositiveBigIntegerField()
    reason = models.CharField(max_length=32, choices=_choices(FailureReason))
    error_code = models.CharField(max_length=64)
    error_detail = models.CharField(max_length=500, blank=True, default="")
    phase = models.CharField(max_length=16, choices=_choices(RollbackPhase), default=RollbackPhase.DETECTING)
    scope = models.CharField(max_length=16, choices=_choices(Scope), default=Scope.DOWNSTREAM)
    #: tasks it changed, the root among them
    size = models.PositiveIntegerField(default=0)
    #: the largest number of changed tasks on a path below the root
    depth = models.PositiveIntegerField(default=0)
    slashed_keeper = models.CharField(max_length=42, blank=True, default="")
    slashed_units = models.BigIntegerField(default=0)
    treasury_units = models.BigIntegerField(default=0)
    #: keeper → its share of the slash, in units
    victims = models.JSONField(default=dict)
    released_units = models.BigIntegerField(default=0)
    wasted_units = models.BigIntegerField(default=0)
    #: what follows it; empty where it was dismissed
    recovery = models.CharField(max_length=24, choices=_choices(RecoveryAction), blank=True, default="")
    #: whether another attempt of the root was opened with it
    is_retried = models.BooleanField(default=False)
    #: handles of the proofs that were being made
    proofs = models.JSONField(default=list)
    #: how long each keeper took to say that it has stopped
    abort_latencies_ms = models.JSONField(default=list)
    detected_at = models.DateTimeField()
    applied_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)
    wake_at = models.DateTimeField(null=True)
    trace_id = models.CharField(max_length=32)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("root", "epoch", "scope"),
                condition=~Q(phase=RollbackPhase.DISMISSED),
                name="rollback_once_per_attempt",
            ),
            models.CheckConstraint(
                condition=Q(phase__in=_ENDED, wake_at__isnull=True)
                | (~Q(phase__in=_ENDED) & Q(wake_at__isnull=False)),
                name="rollback_unfinished_wakes",
            ),
            models.CheckConstraint(
                condition=Q(treasury_units__gte=0, released_units__gte=0, wasted_units__gte=0)
                & Q(slashed_units__gte=models.F("treasury_units")),
                name="rollback_units_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(slashed_units=0, slashed_keeper="")
                | (Q(slashed_units__gt=0) & ~Q(slashed_keeper="")),
                name="rollback_slash_has_a_keeper",
            ),
        )
        indexes = (
            models.Index(fields=("project_id", "-id"), name="rollback_by_project"),
            models.Index(fields=("wake_at",), condition=Q(wake_at__isnull=False), name="rollback_due"),
            models.Index(fields=("detected_at",), name="rollback_detected"),
        )

    def __str__(self) -> str:
        return to_wire("rbk", self.id)


class RollbackItem(models.Model):
    """One task's part in a rollback. Its bond was `released_units` + `slashed_units`."""

    rollback = models.ForeignKey(Rollback, on_delete=models.PROTECT, related_name="items")
    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="rollback_items")
    #: leaves first, the root last
    position = models.PositiveIntegerField()
    epoch = models.PositiveBigIntegerField()
    keeper = models.CharField(max_length=42, blank=True, default="")
    previous = models.CharField(max_length=20, choices=_choices(TaskStatus))
    target = models.CharField(max_length=16, choices=_choices(Target))
    released_units = models.BigIntegerField(default=0)
    slashed_units = models.BigIntegerField(default=0)
    wasted_units = models.BigIntegerField(default=0)

    class Meta:
        ordering = ("rollback_id", "position")
        constraints = (
            models.UniqueConstraint(fields=("rollback", "position"), name="rollback_item_position"),
            models.CheckConstraint(
                condition=Q(released_units__gte=0, slashed_units__gte=0, wasted_units__gte=0),
                name="rollback_item_units_not_negative",
            ),
        )

    def __str__(self) -> str:
        return f"{self.rollback_id}[{self.position}]"


class DeadLetter(EventedModel):
    """What a person needs to know of a failed attempt; the last one of a task may be replayed, once."""

    AGGREGATE: ClassVar[str] = "dead_letter"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    rollback = models.OneToOneField(Rollback, on_delete=models.PROTECT, related_name="dead_letter")
    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="dead_letters")
    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="dead_letters")
    project_id = models.UUIDField()
    epoch = models.PositiveBigIntegerField()
    #: the status in which it failed
    stage = models.CharField(max_length=20, choices=_choices(TaskStatus))
    reason = models.CharField(max_length=32, choices=_choices(FailureReason))
    error_code = models.CharField(max_length=64)
    error_detail = models.CharField(max_length=500, blank=True, default="")
    attempts = models.PositiveIntegerField()
    dependents = models.PositiveIntegerField()
    wasted_units = models.BigIntegerField()
    #: whether nothing brings the task back by itself
    is_final = models.BooleanField()
    failed_at = models.DateTimeField()
    replayed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=Q(is_final=True) | Q(replayed_at__isnull=True), name="dead_letter_final_if_replayed"
            ),
        )
        indexes = (
            models.Index(fields=("project_id", "-id"), name="dead_letter_by_project"),
            models.Index(
                fields=("task",),
                condition=Q(is_final=True, replayed_at__isnull=True),
                name="dead_letter_waiting",
            ),
        )

    def __str__(self) -> str:
        return to_wire("dl", self.id)

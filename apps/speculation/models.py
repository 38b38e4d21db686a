"""What is kept of speculation: each attempt's commitment, each task's latest decision, the breaker.

A commitment is plain bookkeeping beside the task's own events, which tell its history; an ended one is
deleted after its retention. That a bond ends once is the row's status and the ledger's reference.
"""

from django.db import models
from django.db.models import Q

from apps.keepers.models import Keeper
from apps.speculation.data import CommitmentStatus
from apps.speculation.domain import breaker
from apps.speculation.domain.decision import Verdict
from apps.tasks.models import Run, Task

OPEN_COMMITMENTS = (str(CommitmentStatus.OPEN), str(CommitmentStatus.FULFILLED))


class Commitment(models.Model):
    """A keeper's word, under bond, for one attempt of a task (`data.Commitment`)."""

    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="commitments")
    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="commitments")
    epoch = models.PositiveBigIntegerField()
    producer = models.ForeignKey(Keeper, on_delete=models.PROTECT, related_name="commitments")
    depth = models.PositiveIntegerField()
    bond_units = models.BigIntegerField()
    #: `[[task hex, epoch], …]` in topological order
    ancestors = models.JSONField(default=list)
    status = models.CharField(
        max_length=16,
        choices=[(str(status), str(status)) for status in CommitmentStatus],
        default=CommitmentStatus.OPEN,
    )
    result_hash = models.CharField(max_length=66, blank=True, default="")
    reason = models.CharField(max_length=32, blank=True, default="")
    opened_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("task", "epoch"), name="commitment_once_per_attempt"),
            models.UniqueConstraint(
                fields=("task",), condition=Q(status__in=OPEN_COMMITMENTS), name="commitment_one_open"
            ),
            models.CheckConstraint(condition=Q(bond_units__gte=0), name="commitment_bond_not_negative"),
            models.CheckConstraint(
                condition=Q(status__in=OPEN_COMMITMENTS, ended_at__isnull=True)
                | (~Q(status__in=OPEN_COMMITMENTS) & Q(ended_at__isnull=False)),
                name="commitment_ended_iff_over",
            ),
        )
        indexes = (
            models.Index(
                fields=("run",), condition=Q(status__in=OPEN_COMMITMENTS), name="commitment_open_by_run"
            ),
            models.Index(fields=("ended_at",), name="commitment_ended"),
            models.Index(fields=("opened_at",), name="commitment_opened"),
        )

    def __str__(self) -> str:
        return f"{self.producer_id} for {self.task_id} attempt {self.epoch}"


class Decision(models.Model):
    """The latest answer to whether a task may run ahead, with every check."""

    task = models.OneToOneField(Task, on_delete=models.PROTECT, primary_key=True, related_name="decision")
    decided_at = models.DateTimeField()
    verdict = models.CharField(max_length=8, choices=[(str(one), str(one)) for one in Verdict])
    refusal = models.CharField(max_length=16, blank=True, default="")
    depth = models.PositiveIntegerField()
    bond_units = models.BigIntegerField()
    #: `domain.decision.Decision.to_json()`
    content = models.JSONField()

    class Meta:
        indexes = (models.Index(fields=("refusal",), condition=Q(verdict="wait"), name="decision_waiting"),)

    def __str__(self) -> str:
        return f"{self.task_id}: {self.verdict}"


class Breaker(models.Model):
    """Whether speculation is let through, by how it fared and by how much is under way: one row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    status = models.CharField(
        max_length=16,
        choices=[(str(status), str(status)) for status in breaker.BreakerStatus],
        default=breaker.BreakerStatus.CLOSED,
    )
    since = models.DateTimeField()
    #: too much waits to be attested and proved: nothing more runs ahead until most of it is
    is_backed_up = models.BooleanField(default=False)

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(id=1), name="breaker_one"),)

    def __str__(self) -> str:
        return f"{self.status} since {self.since:%Y-%m-%d %H:%M:%S}"

    @property
    def value(self) -> breaker.Breaker:
        """What the rules read of it."""
        return breaker.Breaker(status=breaker.BreakerStatus(self.status), since=self.since)

"""Rounds of attestation, their items, the ballots cast and the votes counted."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from apps.attestation.data import ItemVerdict, RoundStatus
from apps.eventlog.models import EventedModel
from apps.kernel.ids import new_id, to_wire
from apps.tasks.models import Task

#: the columns events alone rebuild; the others say when a stage looks at the round again
ROUND_FIELDS = (
    "performer",
    "status",
    "root",
    "seed",
    "committee",
    "required",
    "size",
    "opened_at",
    "closed_at",
    "trace_id",
)


class Round(EventedModel):
    """One committee's check of a set of results of one performer."""

    AGGREGATE: ClassVar[str] = "round"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    performer = models.CharField(max_length=42)
    status = models.CharField(
        max_length=16, choices=[(str(s), str(s)) for s in RoundStatus], default=RoundStatus.OPEN
    )
    root = models.CharField(max_length=66)
    seed = models.CharField(max_length=66)
    committee = models.JSONField()
    required = models.PositiveIntegerField()
    size = models.PositiveIntegerField()
    opened_at = models.DateTimeField()
    wake_at = models.DateTimeField()
    resend_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    trace_id = models.CharField(max_length=32)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(required__gt=0, size__gt=0), name="round_not_empty"),
        )
        indexes = (models.Index(fields=("status", "wake_at"), condition=Q(status="open"), name="round_open"),)

    def __str__(self) -> str:
        return to_wire("rnd", self.id)


class RoundItem(models.Model):
    """One task's result within a round, in leaf order."""

    round = models.ForeignKey(Round, on_delete=models.PROTECT, related_name="items")
    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="round_items")
    epoch = models.PositiveBigIntegerField()
    number = models.PositiveIntegerField()
    position = models.PositiveIntegerField()
    proof_of_task = models.CharField(max_length=66)
    verdict = models.CharField(
        max_length=16, choices=[(str(v), str(v)) for v in ItemVerdict], default=ItemVerdict.OPEN
    )

    class Meta:
        ordering = ("round_id", "position")
        constraints = (
            models.UniqueConstraint(fields=("round", "position"), name="round_item_position"),
            models.UniqueConstraint(fields=("task", "number"), name="round_item_once_per_number"),
            models.UniqueConstraint(
                fields=("task",), condition=Q(verdict=ItemVerdict.OPEN), name="round_item_one_open"
            ),
        )

    def __str__(self) -> str:
        return f"{self.round_id}[{self.position}]"


class Ballot(models.Model):
    """What one attester signed in one round."""

    round = models.ForeignKey(Round, on_delete=models.PROTECT, related_name="ballots")
    attester = models.CharField(max_length=42)
    root = models.CharField(max_length=66)
    is_unanimous = models.BooleanField()
    signature = models.TextField()
    received_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("round", "attester"), name="ballot_once"),)

    def __str__(self) -> str:
        return f"{self.attester} in {self.round_id}"


class Vote(models.Model):
    """One attester's verdict on one task in one round (invariant 19)."""

    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="votes")
    attester = models.CharField(max_length=42)
    number = models.PositiveIntegerField()
    is_positive = models.BooleanField()
    reason = models.CharField(max_length=80, blank=True, default="")

    class Meta:
        constraints = (models.UniqueConstraint(fields=("task", "attester", "number"), name="vote_once"),)

    def __str__(self) -> str:
        return f"{self.attester}: {'yes' if self.is_positive else self.reason}"

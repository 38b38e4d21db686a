"""What goes to the chain: batches of attested tasks, and each task's settlement.

A batch is some of the results of one attestation round whose quorum signed its root: those whose ground was
final at that moment. A task has at most one settlement that is not void (invariant 14).
"""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from apps.attestation.models import Round
from apps.chains.models import Outbound
from apps.eventlog.models import EventedModel
from apps.kernel.ids import new_id, to_wire
from apps.settlement.data import BatchStatus, SettlementStatus
from apps.tasks.models import Task

#: the columns events alone rebuild
BATCH_FIELDS = (
    "round_id",
    "root",
    "size",
    "attesters",
    "aggregated_signature",
    "outbound_id",
    "status",
    "submitted_at",
    "confirmed_at",
    "trace_id",
)


class Batch(EventedModel):
    """One transaction to the hub."""

    AGGREGATE: ClassVar[str] = "batch"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    round = models.ForeignKey(Round, on_delete=models.PROTECT, related_name="batches")
    root = models.CharField(max_length=66)
    size = models.PositiveIntegerField()
    attesters = models.JSONField()
    aggregated_signature = models.TextField()
    outbound = models.OneToOneField(Outbound, on_delete=models.PROTECT, related_name="batch")
    status = models.CharField(
        max_length=16, choices=[(str(s), str(s)) for s in BatchStatus], default=BatchStatus.SUBMITTED
    )
    submitted_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True)
    trace_id = models.CharField(max_length=32)

    class Meta:
        verbose_name_plural = "batches"
        indexes = (
            models.Index(
                fields=("submitted_at",), condition=Q(status=BatchStatus.SUBMITTED), name="batch_submitted"
            ),
        )

    def __str__(self) -> str:
        return to_wire("bat", self.id)


class Settlement(models.Model):
    """One task's leaf in one batch, at its position in the round, and what the chain made of it."""

    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, related_name="settlements")
    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="settlements")
    epoch = models.PositiveBigIntegerField()
    position = models.PositiveIntegerField()
    proof_of_task = models.CharField(max_length=66)
    status = models.CharField(
        max_length=16,
        choices=[(str(s), str(s)) for s in SettlementStatus],
        default=SettlementStatus.SUBMITTED,
    )
    tx_hash = models.CharField(max_length=66, blank=True, default="")
    block_number = models.BigIntegerField(null=True)
    block_hash = models.CharField(max_length=66, blank=True, default="")
    gas_units = models.BigIntegerField(default=0)
    fee_units = models.BigIntegerField(default=0)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("batch", "position"), name="settlement_position"),
            models.UniqueConstraint(
                fields=("task",), condition=~Q(status=SettlementStatus.VOID), name="settlement_one_per_task"
            ),
        )

    def __str__(self) -> str:
        return f"{self.task_id} in {self.batch_id}"

"""The leases keepers hold on tasks, one row per lease ever given, with the receipt it ended in."""

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q

from apps.execution.data import AssignmentStatus
from apps.keepers.models import Keeper
from apps.kernel.ids import new_id
from apps.tasks.models import Task

OPEN_STATUSES = (AssignmentStatus.OFFERED, AssignmentStatus.ACKNOWLEDGED)


class Assignment(models.Model):
    """One lease: its id is the lease id, its epoch the task's at that time."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="assignments")
    epoch = models.PositiveBigIntegerField()
    keeper = models.ForeignKey(Keeper, on_delete=models.PROTECT, related_name="assignments")
    status = models.CharField(
        max_length=16,
        choices=[(str(status), str(status)) for status in AssignmentStatus],
        default=AssignmentStatus.OFFERED,
    )
    offered_at = models.DateTimeField()
    #: acknowledged or answered before this, or the task goes to another keeper
    acknowledge_by = models.DateTimeField()
    expires_at = models.DateTimeField()
    #: when the offer is sent again, should it have been lost
    resend_at = models.DateTimeField()
    #: waits in the database until everything it awaits is recorded; else a message for it is under way
    is_parked = models.BooleanField(default=False)
    #: the stamps of the attempts it stands on and its own, last; empty where it stands alone
    lineage = models.JSONField(default=list)
    acknowledged_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    #: the score of the chosen keeper by part, and the runner-up
    score_card = models.JSONField()
    #: the signed receipt, as it came
    receipt = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    end_reason = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("task", "epoch"), name="assignment_once_per_epoch"),
            models.UniqueConstraint(
                fields=("task",), condition=Q(status__in=[*OPEN_STATUSES]), name="assignment_one_live_lease"
            ),
        )
        indexes = (
            models.Index(
                fields=("resend_at",), condition=Q(status__in=[*OPEN_STATUSES]), name="assignment_open_resend"
            ),
            models.Index(fields=("keeper", "status"), name="assignment_by_keeper"),
        )

    def __str__(self) -> str:
        return f"lease {self.id.hex} of {self.task_id}"

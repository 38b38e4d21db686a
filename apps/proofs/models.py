"""The proof of one attempt of a task, from the moment it is wanted to the chain's answer.

A plain row: its history is told by its task's events. Whatever has not ended has a `wake_at`
(invariant 18), whatever was made has its bytes. Rows are written with their task locked.
"""

from django.db import models
from django.db.models import Q

from apps.kernel.ids import new_id, to_wire
from apps.proofs.domain.deferral import PROOF_TABLE, ProofStatus
from apps.tasks.models import Task

_S = ProofStatus
#: in one order, so that a migration made twice is the same
UNFINISHED = sorted(str(status) for status in PROOF_TABLE.moves)
_MADE = sorted(map(str, (_S.GENERATED, _S.AWAITING_ANCESTORS, _S.SUBMITTING, _S.CONFIRMED)))
_ENDED_BADLY = sorted(map(str, (_S.FAILED, _S.TIMED_OUT, _S.CANCELLED)))
_EVER_SIGNED = sorted(map(str, (_S.SUBMITTING, _S.CONFIRMED, _S.FAILED)))


class Proof(models.Model):
    """One proof (`domain.deferral.DeferredProof`), what it proves, and what it cost."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    task = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="proofs")
    epoch = models.PositiveBigIntegerField()
    #: steps of the circuit, and the statement's public input (`0x…`)
    circuit = models.PositiveIntegerField()
    public_input = models.CharField(max_length=66)
    #: proofs with the same one are made once
    input_hash = models.CharField(max_length=66, db_index=True)
    status = models.CharField(
        max_length=20, choices=[(str(status), str(status)) for status in ProofStatus], default=_S.QUEUED
    )
    depth = models.PositiveIntegerField()
    #: the tasks that were not confirmed when it was asked for, as hex
    ancestors = models.JSONField(default=list)
    queued_at = models.DateTimeField()
    generation_started_at = models.DateTimeField(null=True)
    generated_at = models.DateTimeField(null=True)
    submission_started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    generation_attempts = models.PositiveIntegerField(default=0)
    submission_attempts = models.PositiveIntegerField(default=0)
    #: those submitted together have the same name
    submission = models.CharField(max_length=64, blank=True, default="")
    is_signed = models.BooleanField(default=False)
    #: the code of what went wrong last, or of what ended it
    reason = models.CharField(max_length=64, blank=True, default="")
    #: when its next attempt may start
    retry_at = models.DateTimeField(null=True)
    #: when the prover is asked again for an attempt it has not answered
    resend_at = models.DateTimeField(null=True)
    wake_at = models.DateTimeField(null=True)
    #: A ‖ B ‖ C as hex (`data.Proof.to_bytes`); the columns below are empty for one that was shared
    proof = models.TextField(null=True)
    waited_seconds = models.FloatField(null=True)
    wall_seconds = models.FloatField(null=True)
    cpu_seconds = models.FloatField(null=True)
    peak_memory_bytes = models.BigIntegerField(null=True)
    #: waited on purpose after the proof was made (FOREKEEP_PROOFS_DELAY_SECONDS)
    delay_seconds = models.FloatField(null=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=("task", "epoch"), name="proof_once_per_attempt"),
            models.UniqueConstraint(
                fields=("task",), condition=Q(status__in=UNFINISHED), name="proof_one_unfinished"
            ),
            models.CheckConstraint(
                condition=Q(status__in=UNFINISHED, wake_at__isnull=False, ended_at__isnull=True)
                | (~Q(status__in=UNFINISHED) & Q(wake_at__isnull=True, ended_at__isnull=False)),
                name="proof_unfinished_wakes",
            ),
            models.CheckConstraint(
                condition=Q(proof__isnull=False, generated_at__isnull=False)
                | (Q(proof__isnull=True, generated_at__isnull=True) & ~Q(status__in=_MADE)),
                name="proof_made_has_bytes",
            ),
            models.CheckConstraint(
                condition=Q(
                    status=_S.GENERATING,
                    generation_started_at__isnull=False,
                    resend_at__isnull=False,
                    generation_attempts__gte=1,
                )
                | (~Q(status=_S.GENERATING) & Q(resend_at__isnull=True)),
                name="proof_generating_is_asked_for",
            ),
            models.CheckConstraint(
                condition=(Q(status=_S.SUBMITTING, submission_started_at__isnull=False) & ~Q(submission=""))
                | (~Q(status=_S.SUBMITTING) & Q(submission="")),
                name="proof_submitting_is_named",
            ),
            models.CheckConstraint(
                condition=Q(is_signed=False) | Q(status__in=_EVER_SIGNED), name="proof_signed_is_submitted"
            ),
            models.CheckConstraint(
                condition=~Q(status__in=_ENDED_BADLY) | ~Q(reason=""), name="proof_ended_badly_says_why"
            ),
        )
        indexes = (
            models.Index(fields=("wake_at",), condition=Q(wake_at__isnull=False), name="proof_due"),
            models.Index(fields=("status",), condition=Q(status__in=UNFINISHED), name="proof_unfinished"),
        )

    def __str__(self) -> str:
        return to_wire("prf", self.id)

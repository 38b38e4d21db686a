"""What is known of the outside world: how far each chain was read, which logs were seen, who watches.

A cursor moves in the transaction that keeps what was seen up to it. Nothing here is evented but through the
job it belongs to.
"""

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from apps.jobs.models import Job
from apps.watching.domain.states import SightingStatus


class ChainCursor(models.Model):
    """How far a chain's logs were read, and whether its node answers."""

    chain_id = models.PositiveBigIntegerField(primary_key=True)
    #: the last block read; null before the first. `hash` is what it was called then.
    number = models.BigIntegerField(null=True)
    hash = models.CharField(max_length=66, default="", blank=True)
    head_number = models.BigIntegerField(null=True)
    head_seen_at = models.DateTimeField(null=True)
    #: when a pass last came to the head
    processed_at = models.DateTimeField(null=True)
    #: blocks were replaced, and some seen in them are still to be looked for again
    is_doubted = models.BooleanField(default=False)
    #: why passes fail, and since when
    error = models.CharField(max_length=200, default="", blank=True)
    error_since = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"chain {self.chain_id} at {self.number}"


class EventWatch(models.Model):
    """An event job whose logs are read as far as its chain's cursor, since it was armed at this time."""

    job = models.OneToOneField(Job, on_delete=models.CASCADE, primary_key=True, related_name="event_watch")
    chain_id = models.PositiveBigIntegerField()
    armed_at = models.DateTimeField()
    #: the first block that counts
    from_block = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.job_id} from block {self.from_block}"


class Sighting(models.Model):
    """One log that a job waits for, seen in one block; unique, however often it is seen."""

    STATUSES: ClassVar[Any] = [(str(status), str(status)) for status in SightingStatus]

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="sightings")
    #: the firing's key: `event:<block hash>:<log index>`
    key = models.CharField(max_length=80)
    chain_id = models.PositiveBigIntegerField()
    block_number = models.BigIntegerField()
    block_hash = models.CharField(max_length=66)
    block_at = models.DateTimeField()
    log_index = models.PositiveIntegerField()
    #: the firing's evidence
    log = models.JSONField()
    status = models.CharField(max_length=8, choices=STATUSES, default=str(SightingStatus.SEEN))
    #: the head at which it is confirmed
    due_block = models.BigIntegerField()
    reason = models.CharField(max_length=64, default="", blank=True)
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=("job", "key"), name="sighting_once_per_job"),
            models.CheckConstraint(
                condition=Q(status__in=[str(status) for status in SightingStatus]),
                name="sighting_status_known",
            ),
        )
        indexes = (
            models.Index(
                fields=("chain_id", "due_block"), condition=Q(status="seen"), name="sighting_waiting"
            ),
            models.Index(fields=("chain_id", "block_number"), name="sighting_by_block"),
            models.Index(fields=("seen_at",), name="sighting_by_time"),
        )

    def __str__(self) -> str:
        return f"{self.key} is {self.status}"


class WatchLease(models.Model):
    """Who watches something now: one holder until it expires; `epoch` grows with each new holder."""

    name = models.CharField(max_length=64, primary_key=True)
    holder = models.CharField(max_length=128)
    expires_at = models.DateTimeField()
    epoch = models.PositiveBigIntegerField(default=1)

    def __str__(self) -> str:
        return f"{self.name}: {self.holder} until {self.expires_at}"


class SourceState(models.Model):
    """What a source last said: for people who ask why a condition did not fire."""

    #: the source's key: all that makes one request the same as another
    key = models.CharField(max_length=64, primary_key=True)
    kind = models.CharField(max_length=16)
    #: scheme, host and path; a query may hold secrets
    url = models.CharField(max_length=2_100, default="", blank=True)
    observed_at = models.DateTimeField()
    #: the code of what went wrong the last time; empty where nothing did
    fault = models.CharField(max_length=64, default="", blank=True)
    #: the last observations, newest first: `{at, values: {route: text}, faults: {route: code}, fault}`
    recent = models.JSONField(default=list)

    def __str__(self) -> str:
        return self.url or self.kind


class ConditionState(models.Model):
    """What is remembered of a condition between two evaluations. Moved by compare-and-set on `sequence`."""

    job = models.OneToOneField(
        Job, on_delete=models.CASCADE, primary_key=True, related_name="condition_state"
    )
    #: the job's `armed_at` this belongs to; another one begins anew
    armed_at = models.DateTimeField()
    #: how often it has fired; the number of its latest firing
    sequence = models.PositiveBigIntegerField(default=0)
    #: the last known truth, null while nothing was ever known
    is_met = models.BooleanField(null=True)
    #: a bit for each comparison that was met when its value was last known
    latched = models.PositiveBigIntegerField(default=0)
    last_fired_at = models.DateTimeField(null=True)
    changed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.job_id} is {self.is_met}, fired {self.sequence} times"

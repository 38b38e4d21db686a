"""Who is told, what they are told, and whether they were.

Endpoints and targets change only with events. Deliveries and alerts are an outbox: rows without events of
their own, because the event they tell of is in the store; a delivery's tries are its log. While one is still
to be sent, `next_at` says when it is looked at again (invariant 18).
"""

from typing import Any, ClassVar, Final

from django.db import models
from django.db.models import Q

from apps.accounts.models import Project
from apps.eventlog.models import EventedModel
from apps.kernel.ids import new_id, to_wire
from apps.notices.data import OPEN, OPEN_ALERTS, AlertStatus, DeliveryStatus

#: the columns events alone rebuild; a URL may hold a token and stays out of the store
ENDPOINT_FIELDS: Final = (
    "project",
    "description",
    "event_types",
    "is_active",
    "disabled_reason",
    "created_at",
    "deleted_at",
)
TARGET_FIELDS: Final = (
    "project",
    "label",
    "schema",
    "event_types",
    "is_active",
    "created_at",
    "deleted_at",
)
_OPEN: Final = [str(status) for status in OPEN]
_OPEN_ALERTS: Final = [str(status) for status in OPEN_ALERTS]


def _choices(words: Any) -> list[tuple[str, str]]:
    return [(str(word), str(word)) for word in words]


class NoticeCursor(models.Model):
    """How far the event store was read: one row."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    sequence_number = models.BigIntegerField(default=0)

    class Meta:
        constraints = (models.CheckConstraint(condition=Q(id=1), name="notice_cursor_is_one"),)

    def __str__(self) -> str:
        return f"up to event {self.sequence_number}"


class Endpoint(EventedModel):
    """A webhook: a project's, or the operator's own where it has none."""

    AGGREGATE: ClassVar[str] = "webhook"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey(Project, null=True, on_delete=models.PROTECT, related_name="webhooks")
    url = models.CharField(max_length=2_000)
    description = models.CharField(max_length=200, blank=True, default="")
    #: sealed
    secret = models.TextField()
    #: sealed; signed with too until `previous_until`
    previous_secret = models.TextField(blank=True, default="")
    previous_until = models.DateTimeField(null=True)
    #: names and families; empty for all
    event_types = models.JSONField(default=list, blank=True)
    is_active = models.BooleanField(default=True)
    disabled_reason = models.CharField(max_length=64, blank=True, default="")
    #: events numbered above it are told of
    after_number = models.BigIntegerField()
    #: since when every try failed
    failing_since = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=Q(deleted_at__isnull=True) | Q(is_active=False), name="webhook_deleted_is_inactive"
            ),
        )
        indexes = (
            models.Index(fields=("project", "-id"), name="webhook_by_project"),
            models.Index(fields=("project",), condition=Q(is_active=True), name="webhook_active"),
        )

    def __str__(self) -> str:
        return to_wire("whk", self.id)


class Delivery(models.Model):
    """One event on its way to one endpoint; its id is the message's, the same in every try."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    endpoint = models.ForeignKey(Endpoint, on_delete=models.PROTECT, related_name="deliveries")
    event_id = models.UUIDField()
    event_type = models.CharField(max_length=64)
    #: exactly what is signed and sent
    body = models.TextField()
    status = models.CharField(
        max_length=16, choices=_choices(DeliveryStatus), default=DeliveryStatus.PENDING.value
    )
    #: tries ever begun: what a try is claimed under, so it only grows
    attempts = models.PositiveIntegerField(default=0)
    #: tries before it was last replayed; they count no more
    attempts_before = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField(null=True)
    last_status = models.PositiveSmallIntegerField(null=True)
    last_error = models.CharField(max_length=64, blank=True, default="")
    created_at = models.DateTimeField()
    delivered_at = models.DateTimeField(null=True)
    trace_id = models.CharField(max_length=32, blank=True, default="")

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=("endpoint", "event_id"), name="delivery_once_per_event"),
            models.CheckConstraint(
                condition=Q(status__in=_OPEN, next_at__isnull=False)
                | (~Q(status__in=_OPEN) & Q(next_at__isnull=True)),
                name="delivery_open_wakes",
            ),
            models.CheckConstraint(
                condition=Q(status=DeliveryStatus.DELIVERED.value, delivered_at__isnull=False)
                | ~Q(status=DeliveryStatus.DELIVERED.value),
                name="delivery_delivered_has_a_time",
            ),
            models.CheckConstraint(
                condition=Q(attempts__gte=models.F("attempts_before")), name="delivery_attempts_grow"
            ),
        )
        indexes = (
            models.Index(
                fields=("endpoint", "next_at"), condition=Q(next_at__isnull=False), name="delivery_due"
            ),
            models.Index(fields=("next_at",), condition=Q(next_at__isnull=False), name="delivery_due_first"),
            models.Index(fields=("endpoint", "-id"), name="delivery_by_endpoint"),
            models.Index(fields=("created_at",), name="delivery_by_age"),
        )

    def __str__(self) -> str:
        return to_wire("dlv", self.id)


class DeliveryAttempt(models.Model):
    """One try of a delivery, and what came back."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="tries")
    number = models.PositiveIntegerField()
    at = models.DateTimeField()
    status = models.PositiveSmallIntegerField(null=True)
    error = models.CharField(max_length=64, blank=True, default="")
    took_ms = models.PositiveIntegerField(default=0)
    answer = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        ordering = ("delivery_id", "number")
        constraints = (
            models.UniqueConstraint(fields=("delivery", "number"), name="delivery_attempt_numbered"),
        )

    def __str__(self) -> str:
        return f"{self.delivery_id}#{self.number}"


class AlertTarget(EventedModel):
    """Where a project's alerts go."""

    AGGREGATE: ClassVar[str] = "alert_target"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="alert_targets")
    label = models.CharField(max_length=80)
    schema = models.CharField(max_length=16)
    #: sealed: an address of apprise holds tokens
    url = models.TextField()
    #: names and families; empty for what alerts are for
    event_types = models.JSONField(default=list, blank=True)
    is_active = models.BooleanField(default=True)
    after_number = models.BigIntegerField()
    last_sent_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=64, blank=True, default="")
    created_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=Q(deleted_at__isnull=True) | Q(is_active=False),
                name="alert_target_deleted_is_inactive",
            ),
        )
        indexes = (models.Index(fields=("project", "-id"), name="alert_target_by_project"),)

    def __str__(self) -> str:
        return to_wire("alt", self.id)


class Alert(models.Model):
    """One alert to one target, or to a keeper's own contact. `key` is unique: nobody is told twice."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    target = models.ForeignKey(AlertTarget, null=True, on_delete=models.PROTECT, related_name="alerts")
    #: a keeper told by its contact: its address, by which way, and the chat or mail address
    keeper = models.CharField(max_length=42, blank=True, default="")
    channel = models.CharField(max_length=16, blank=True, default="")
    receiver = models.CharField(max_length=200, blank=True, default="")
    key = models.CharField(max_length=160, unique=True)
    title = models.CharField(max_length=200)
    body = models.TextField()
    status = models.CharField(max_length=16, choices=_choices(AlertStatus), default=AlertStatus.PENDING.value)
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=64, blank=True, default="")
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.CheckConstraint(
                condition=Q(status__in=_OPEN_ALERTS, next_at__isnull=False)
                | (~Q(status__in=_OPEN_ALERTS) & Q(next_at__isnull=True)),
                name="alert_open_wakes",
            ),
            models.CheckConstraint(
                condition=Q(target__isnull=False, keeper="") | (Q(target__isnull=True) & ~Q(keeper="")),
                name="alert_has_one_receiver",
            ),
        )
        indexes = (
            models.Index(fields=("next_at",), condition=Q(next_at__isnull=False), name="alert_due"),
            models.Index(fields=("created_at",), name="alert_by_age"),
        )

    def __str__(self) -> str:
        return self.key

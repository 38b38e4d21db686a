"""The keepers of the network, as the control plane knows them.

Columns in `PUBLIC_FIELDS` change only with an event, so replay gives them back. The heartbeat's columns
(`last_checkin_at`, `last_nonce`, `uptime_seconds`), `last_assigned_at`, `offline_alerted_at` and the private
`contact` are working state without events.
"""

from typing import ClassVar, Final

from django.db import models
from django.db.models import F, Q

from apps.eventlog.models import EventedModel
from apps.keepers.data import KeeperStatus, KeeperValue

REPUTATION_START: Final = 5_000
REPUTATION_MAX: Final = 10_000

PUBLIC_FIELDS: Final = (
    "address",
    "bls_public_key",
    "name",
    "version",
    "status",
    "online",
    "registered_at",
    "stake_units",
    "reputation",
    "reputation_decayed_at",
    "points",
    "capabilities",
    "tasks_confirmed",
    "tasks_failed",
    "latency_ms_ewma",
)


class Keeper(EventedModel):
    """One keeper, known by its lower-case address."""

    AGGREGATE: ClassVar[str] = "keeper"

    address = models.CharField(primary_key=True, max_length=42, editable=False)
    bls_public_key = models.CharField(max_length=514, unique=True)
    name = models.CharField(max_length=64)
    version = models.CharField(max_length=32)
    status = models.CharField(
        max_length=16,
        choices=[(str(status), str(status)) for status in KeeperStatus],
        default=KeeperStatus.REGISTERED.value,
    )
    online = models.BooleanField(default=False)
    last_checkin_at = models.DateTimeField(null=True, blank=True)
    last_nonce = models.BigIntegerField(default=0)
    uptime_seconds = models.BigIntegerField(default=0)
    registered_at = models.DateTimeField()
    #: as last read from the chain's registry
    stake_units = models.BigIntegerField(default=0)
    reputation = models.IntegerField(default=REPUTATION_START)
    #: up to when decay has been taken off the reputation
    reputation_decayed_at = models.DateTimeField()
    points = models.BigIntegerField(default=0)
    capabilities = models.JSONField(default=list)
    tasks_confirmed = models.BigIntegerField(default=0)
    tasks_failed = models.BigIntegerField(default=0)
    #: exponentially weighted mean of due → receipt, in whole milliseconds; 0 before the first
    latency_ms_ewma = models.BigIntegerField(default=0)
    last_assigned_at = models.DateTimeField(null=True, blank=True)
    contact = models.JSONField(default=dict, blank=True)
    offline_alerted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("address",)
        constraints = (
            models.CheckConstraint(
                condition=Q(status__in=[str(status) for status in KeeperStatus]), name="keeper_status_known"
            ),
            models.CheckConstraint(
                condition=Q(reputation__gte=0, reputation__lte=REPUTATION_MAX), name="keeper_reputation_range"
            ),
            models.CheckConstraint(
                condition=Q(
                    stake_units__gte=0,
                    points__gte=0,
                    tasks_confirmed__gte=0,
                    tasks_failed__gte=0,
                    latency_ms_ewma__gte=0,
                    uptime_seconds__gte=0,
                    last_nonce__gte=0,
                ),
                name="keeper_counts_not_negative",
            ),
            models.CheckConstraint(condition=Q(address__startswith="0x"), name="keeper_address_prefixed"),
            models.CheckConstraint(
                condition=~Q(status=KeeperStatus.RETIRED.value) | Q(online=False),
                name="keeper_retired_is_offline",
            ),
        )
        indexes = (
            models.Index(
                fields=("last_checkin_at",), condition=Q(online=True), name="keeper_online_by_checkin"
            ),
            models.Index(F("points").desc(), "address", name="keeper_by_points"),
        )

    def __str__(self) -> str:
        return f"{self.name} {self.address}"

    @property
    def value(self) -> KeeperValue:
        """What the rules read."""
        return KeeperValue(
            address=self.address,
            version=self.version,
            is_online=self.online,
            is_registered=self.status == KeeperStatus.REGISTERED,
            stake_units=self.stake_units,
            reputation=self.reputation,
            capabilities=tuple(self.capabilities),
            tasks_confirmed=self.tasks_confirmed,
            tasks_failed=self.tasks_failed,
            latency_ms=self.latency_ms_ewma,
            last_assigned_at=self.last_assigned_at,
        )

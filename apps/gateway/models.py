"""The one row the gateway keeps: what was answered to an idempotency key."""

from django.db import models


class IdempotencyRecord(models.Model):
    """One (caller, key): in flight while `status` is empty, then the stored answer.

    The unique row is what makes concurrent requests with the same key safe: one insert wins.
    """

    caller = models.CharField(max_length=80)
    key = models.CharField(max_length=255)
    body_sha256 = models.CharField(max_length=64)
    started_at = models.DateTimeField()
    attempt = models.UUIDField()
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    body = models.TextField(default="", blank=True)
    location = models.CharField(max_length=500, default="", blank=True)
    etag = models.CharField(max_length=100, default="", blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("caller", "key"), name="idempotency_once_per_caller"),
        ]
        indexes = [models.Index(fields=("started_at",), name="idempotency_by_age")]

    def __str__(self) -> str:
        return f"{self.caller} {self.key}: {self.status or 'in flight'}"

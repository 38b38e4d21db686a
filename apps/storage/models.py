"""What custom scripts keep: one row per job and key.

Written only by `services`, under the job's lock and with an event of the job. A row's `version` is the
sequence number of the job's event that wrote it, so that none is ever used twice.
"""

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from apps.jobs.models import Job


class StoredValue(models.Model):
    """One value a job keeps between its runs."""

    objects: ClassVar[models.Manager[Any]] = models.Manager()

    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="stored_values")
    key = models.CharField(max_length=64)
    #: any JSON but null
    value = models.JSONField()
    version = models.PositiveBigIntegerField()
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ("job_id", "key")
        constraints = (
            models.UniqueConstraint(fields=("job", "key"), name="stored_value_once_per_key"),
            models.CheckConstraint(condition=~Q(key=""), name="stored_value_has_a_key"),
            models.CheckConstraint(condition=Q(version__gte=1), name="stored_value_version_positive"),
        )

    def __str__(self) -> str:
        return f"{self.key} of {self.job_id}"

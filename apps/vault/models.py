"""Secrets of projects: a name anybody in the project may refer to, a value nobody reads back."""

from typing import ClassVar, Final

from django.db import models
from django.db.models import Q

from apps.accounts.models import Project
from apps.eventlog.models import EventedModel
from apps.kernel.ids import new_id, to_wire

#: the columns events rebuild: all but what is sealed
SECRET_FIELDS: Final = ("project", "name", "created_at", "updated_at", "deleted_at")


class Secret(EventedModel):
    """One secret. A deleted one keeps its row and its events, and nothing of its value."""

    AGGREGATE: ClassVar[str] = "secret"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="secrets")
    name = models.CharField(max_length=64)
    sealed = models.TextField(editable=False)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=("project", "name"),
                condition=Q(deleted_at__isnull=True),
                name="secret_once_per_project",
            ),
            models.CheckConstraint(
                condition=(Q(deleted_at__isnull=True) & ~Q(sealed=""))
                | Q(deleted_at__isnull=False, sealed=""),
                name="secret_deleted_is_empty",
            ),
        )
        indexes = (models.Index(fields=("project", "-id"), name="secret_by_project"),)

    def __str__(self) -> str:
        return self.name

    @property
    def wire_id(self) -> str:
        """`sec_…`."""
        return to_wire("sec", self.id)

    @property
    def purpose(self) -> str:
        """What the value is sealed for: this row alone, so that no value can be moved to another."""
        return f"secret:{self.id.hex}"

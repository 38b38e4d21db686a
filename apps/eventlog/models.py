"""Events, and the two columns every evented row carries so that appending needs no read."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, ClassVar, Never

from django.db import models

from apps.eventlog.domain.forms import id_form, json_form
from apps.eventlog.errors import EventsImmutable
from apps.kernel.ids import new_id


class EventedModel(models.Model):
    """A row whose every change is an event: written only through `apps.eventlog.services`."""

    #: The aggregate's name in events: "job", "run", "task", "keeper", …
    AGGREGATE: ClassVar[str] = ""

    event_sequence = models.PositiveBigIntegerField(default=0, editable=False)
    event_head = models.CharField(max_length=64, default="", blank=True, editable=False)

    class Meta:
        abstract = True

    @property
    def aggregate_id(self) -> str:
        """The id this row has in events: a UUID's hex digits, else the key's text."""
        return id_form(self.pk)

    def get_json_fields(self, fields: Iterable[str]) -> dict[str, Any]:
        """The JSON forms of the named fields, as an event's `set` takes them (a foreign key by its id)."""
        return {name: json_form(getattr(self, _attname(type(self), name))) for name in fields}


@lru_cache(maxsize=4_096)
def _attname(model: type[EventedModel], name: str) -> str:
    return str(getattr(model._meta.get_field(name), "attname", name))


class EventQuerySet(models.QuerySet["Event"]):
    """Events can be read and appended; there is no way to change one."""

    def update(self, **kwargs: Any) -> Never:
        """Refused."""
        raise EventsImmutable()

    def delete(self) -> Never:
        """Refused."""
        raise EventsImmutable()


class Event(models.Model):
    """Something that happened to one aggregate. Appended once, never changed.

    `sequence_number` grows over the whole store; `apps.eventlog.selectors.get_events` serves them so that
    a reader who keeps the last one it saw never misses an earlier one.
    """

    sequence_number = models.BigAutoField(primary_key=True)
    event_id = models.UUIDField(default=new_id, unique=True, editable=False)
    aggregate_type = models.CharField(max_length=32)
    aggregate_id = models.CharField(max_length=64)
    aggregate_sequence = models.PositiveBigIntegerField()
    event_type = models.CharField(max_length=64)
    payload = models.JSONField(default=dict)
    metadata = models.JSONField(default=dict)
    trace_id = models.CharField(max_length=32, default="", blank=True)
    span_id = models.CharField(max_length=16, default="", blank=True)
    created_at = models.DateTimeField()
    previous_hash = models.CharField(max_length=64, default="", blank=True)
    hash = models.CharField(max_length=64)
    run_id = models.UUIDField(null=True, blank=True)
    project_id = models.UUIDField(null=True, blank=True)

    objects = EventQuerySet.as_manager()

    class Meta:
        ordering = ("sequence_number",)
        constraints = [
            models.UniqueConstraint(
                fields=("aggregate_type", "aggregate_id", "aggregate_sequence"), name="event_sequence_gapless"
            ),
            models.CheckConstraint(
                condition=models.Q(aggregate_sequence__gte=1), name="event_sequence_from_one"
            ),
        ]
        indexes = [
            models.Index(fields=("run_id", "sequence_number"), name="event_of_run"),
            models.Index(fields=("project_id", "sequence_number"), name="event_of_project"),
            models.Index(fields=("trace_id",), name="event_of_trace"),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.aggregate_type}:{self.aggregate_id}#{self.aggregate_sequence}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert only; an event that exists is never written again."""
        if not self._state.adding:
            raise EventsImmutable(event_id=str(self.event_id))
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Never:
        """Refused."""
        raise EventsImmutable(event_id=str(self.event_id))

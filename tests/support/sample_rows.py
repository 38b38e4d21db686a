"""An evented model with a column of every kind, in a table of its own that no app has."""

from typing import Any, ClassVar

from django.db import connection, models

from apps.eventlog.models import EventedModel
from apps.kernel.ids import new_id


class SampleRow(EventedModel):
    """Every kind of column a bulk write has to carry."""

    AGGREGATE: ClassVar[str] = "sample"
    objects: ClassVar[models.Manager[Any]] = models.Manager()

    id = models.UUIDField(primary_key=True, default=new_id)
    status = models.CharField(max_length=20, default="new")
    text = models.TextField(default="")
    cid = models.CharField(max_length=80, null=True)
    other_id = models.UUIDField(null=True)
    count = models.IntegerField(default=0)
    units = models.BigIntegerField(null=True)
    is_live = models.BooleanField(default=False)
    ratio = models.FloatField(null=True)
    price = models.DecimalField(max_digits=30, decimal_places=6, null=True)
    definition = models.JSONField(default=dict)
    result = models.JSONField(null=True)
    raw = models.BinaryField(null=True)
    address = models.GenericIPAddressField(null=True)
    took = models.DurationField(null=True)
    day = models.DateField(null=True)
    wake_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField(auto_now=True)
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True)

    class Meta:
        app_label = "samples"
        db_table = "samples_row"


class SampleNote(EventedModel):
    """A second model, keyed by text."""

    AGGREGATE: ClassVar[str] = "note"
    objects: ClassVar[models.Manager[Any]] = models.Manager()

    name = models.CharField(max_length=64, primary_key=True)
    row = models.ForeignKey(SampleRow, on_delete=models.PROTECT)

    class Meta:
        app_label = "samples"
        db_table = "samples_note"


MODELS: tuple[type[EventedModel], ...] = (SampleRow, SampleNote)


def create_tables() -> None:
    """Make the tables; outside any transaction."""
    with connection.schema_editor() as editor:
        for model in MODELS:
            editor.create_model(model)


def drop_tables() -> None:
    """Take them away again."""
    with connection.schema_editor() as editor:
        for model in reversed(MODELS):
            editor.delete_model(model)


def delete_rows() -> None:
    """Empty them."""
    with connection.cursor() as cursor:
        for model in reversed(MODELS):
            cursor.execute(f"DELETE FROM {model._meta.db_table}")


def make_row(**fields: Any) -> SampleRow:
    """A row that is not in the database yet."""
    return SampleRow(**fields)

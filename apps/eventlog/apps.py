"""The event store's Django app."""

from django.apps import AppConfig


class EventlogConfig(AppConfig):
    """Append-only events; every evented row changes through `apps.eventlog.services`."""

    name = "apps.eventlog"
    label = "eventlog"
    verbose_name = "Event log"
    default_auto_field = "django.db.models.BigAutoField"

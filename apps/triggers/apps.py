"""The triggers app."""

from django.apps import AppConfig


class TriggersConfig(AppConfig):
    """Rules of event and condition triggers; it has no tables."""

    name = "apps.triggers"
    label = "triggers"
    verbose_name = "Triggers"

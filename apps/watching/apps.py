"""The watching app."""

from django.apps import AppConfig


class WatchingConfig(AppConfig):
    """What is watched: chains by their logs, sources by their values."""

    name = "apps.watching"
    label = "watching"
    verbose_name = "Watching"

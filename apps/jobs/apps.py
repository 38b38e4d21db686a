"""The jobs app."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    """Definitions, triggers and when they fire."""

    name = "apps.jobs"
    label = "jobs"
    verbose_name = "Jobs"

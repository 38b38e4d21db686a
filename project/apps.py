"""The project as an app: only so that its management commands and templates are found."""

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """Above all apps of `apps/`."""

    name = "project"
    label = "project"
    verbose_name = "Forekeep"

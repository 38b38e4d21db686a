"""The execution app."""

from django.apps import AppConfig


class ExecutionConfig(AppConfig):
    """Registers the app under its folder's name."""

    name = "apps.execution"
    default_auto_field = "django.db.models.BigAutoField"

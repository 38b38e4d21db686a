"""The tasks app."""

from django.apps import AppConfig


class TasksConfig(AppConfig):
    """Registers the app under its folder's name."""

    name = "apps.tasks"
    default_auto_field = "django.db.models.BigAutoField"

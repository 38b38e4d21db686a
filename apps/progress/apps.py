"""The progress app."""

from django.apps import AppConfig


class ProgressConfig(AppConfig):
    """Registers the app under its folder's name."""

    name = "apps.progress"
    default_auto_field = "django.db.models.BigAutoField"

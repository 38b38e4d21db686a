"""The keepers app."""

from django.apps import AppConfig


class KeepersConfig(AppConfig):
    """Registers the app under its folder's name."""

    name = "apps.keepers"
    default_auto_field = "django.db.models.BigAutoField"

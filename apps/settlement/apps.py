"""The settlement app."""

from django.apps import AppConfig


class SettlementConfig(AppConfig):
    """Registers the app under its folder's name."""

    name = "apps.settlement"
    default_auto_field = "django.db.models.BigAutoField"

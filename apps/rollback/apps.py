"""The rollback app."""

from django.apps import AppConfig


class RollbackConfig(AppConfig):
    """Rollbacks and dead letters."""

    name = "apps.rollback"
    label = "rollback"
    default_auto_field = "django.db.models.BigAutoField"

"""The proofs app."""

from django.apps import AppConfig


class ProofsConfig(AppConfig):
    """Registers the app under its folder's name."""

    name = "apps.proofs"
    label = "proofs"
    default_auto_field = "django.db.models.BigAutoField"

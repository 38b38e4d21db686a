"""The attestation app."""

from django.apps import AppConfig


class AttestationConfig(AppConfig):
    """Registers the app under its folder's name."""

    name = "apps.attestation"
    default_auto_field = "django.db.models.BigAutoField"

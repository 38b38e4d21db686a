"""The vault app."""

from django.apps import AppConfig


class VaultConfig(AppConfig):
    """Secrets of projects, sealed; named by reference, never shown."""

    name = "apps.vault"
    label = "vault"
    verbose_name = "Vault"

"""The storage app."""

from django.apps import AppConfig


class StorageConfig(AppConfig):
    """Versioned values that custom scripts keep between runs."""

    name = "apps.storage"
    label = "storage"
    verbose_name = "Storage"

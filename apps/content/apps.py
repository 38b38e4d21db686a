"""The content app."""

from django.apps import AppConfig


class ContentConfig(AppConfig):
    """Blocks named by their own hash; it has no tables."""

    name = "apps.content"
    label = "content"
    verbose_name = "Content"

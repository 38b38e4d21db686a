"""The notices app."""

from django.apps import AppConfig


class NoticesConfig(AppConfig):
    """Webhooks and alerts: who is told what, and whether they were."""

    name = "apps.notices"
    label = "notices"
    verbose_name = "Notices"

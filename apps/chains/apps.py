"""The chains app."""

from django.apps import AppConfig


class ChainsConfig(AppConfig):
    """One settlement chain: its client, its senders and what they send."""

    name = "apps.chains"
    label = "chains"
    verbose_name = "Chains"

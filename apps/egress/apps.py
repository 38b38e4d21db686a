"""The egress app."""

from django.apps import AppConfig


class EgressConfig(AppConfig):
    """Requests to the outside that may not reach the inside; it has no tables."""

    name = "apps.egress"
    label = "egress"
    verbose_name = "Egress"

"""The speculation app."""

from django.apps import AppConfig


class SpeculationConfig(AppConfig):
    """Decisions, commitments and the breaker."""

    name = "apps.speculation"
    label = "speculation"

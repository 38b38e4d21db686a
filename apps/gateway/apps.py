"""The gateway app."""

from django.apps import AppConfig


class GatewayConfig(AppConfig):
    """What every REST door shares."""

    name = "apps.gateway"
    label = "gateway"
    verbose_name = "Gateway"

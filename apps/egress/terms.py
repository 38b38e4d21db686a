"""What this deployment says about requests to the outside."""

from django.conf import settings

from apps.egress.data import EgressLimits


def limits_from_settings() -> EgressLimits:
    """The section `egress` of the settings as a client's limits."""
    egress = settings.FOREKEEP.egress
    return EgressLimits(
        allow=egress.allow,
        timeout_seconds=egress.timeout_seconds,
        connect_seconds=min(EgressLimits().connect_seconds, egress.timeout_seconds),
        response_max_bytes=egress.response_max_bytes,
        per_host_at_once=egress.per_host_at_once,
        at_once=egress.at_once,
    )

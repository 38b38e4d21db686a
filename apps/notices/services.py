"""What others ask of notices: collect, send, purge, and what people do to webhooks and alert targets."""

from apps.notices.alerting import AppriseSender, alerts_purge, alerts_send
from apps.notices.collecting import alerts_add_offline, notices_collect
from apps.notices.endpoints import (
    IssuedSecret,
    deliveries_replay,
    delivery_replay,
    endpoint_create,
    endpoint_delete,
    endpoint_disable,
    endpoint_rotate_secret,
    endpoint_test,
    endpoint_update,
)
from apps.notices.outbound import GuardedSender, webhook_sender
from apps.notices.sending import deliveries_purge, deliveries_send
from apps.notices.targets import target_create, target_delete, target_test, target_update

__all__ = [
    "AppriseSender",
    "GuardedSender",
    "IssuedSecret",
    "alerts_add_offline",
    "alerts_purge",
    "alerts_send",
    "deliveries_purge",
    "deliveries_replay",
    "deliveries_send",
    "delivery_replay",
    "endpoint_create",
    "endpoint_delete",
    "endpoint_disable",
    "endpoint_rotate_secret",
    "endpoint_test",
    "endpoint_update",
    "notices_collect",
    "target_create",
    "target_delete",
    "target_test",
    "target_update",
    "webhook_sender",
]

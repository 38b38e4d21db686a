"""The operator's pages for webhooks, deliveries and alerts; no secret and no target's address is on them."""

from django.contrib import admin
from django.utils.safestring import SafeString

from apps.notices.models import Alert, AlertTarget, Delivery, DeliveryAttempt, Endpoint
from apps.notices.services import delivery_replay, endpoint_disable
from apps.tasks.operator_pages import LookOnlyAdmin, link_to, link_to_events, links_to, list_action, wire_id

_HIDDEN = ("event_sequence", "event_head")


@list_action(Endpoint, description="Switch off", done="webhooks are off")
def disable(endpoint: Endpoint, operator: str) -> object:
    """Switch a webhook off."""
    return endpoint_disable(endpoint_id=endpoint.id)


@list_action(Delivery, description="Send again", done="deliveries are sent again")
def replay(delivery: Delivery, operator: str) -> object:
    """Send an ended delivery again."""
    return delivery_replay(delivery_id=delivery.id)


@admin.register(Endpoint)
class EndpointAdmin(LookOnlyAdmin):
    """Webhooks."""

    hidden = (*_HIDDEN, "secret", "previous_secret")
    list_display = (wire_id, "project", "url", "is_active", "disabled_reason", "failing_since", "created_at")
    list_filter = ("is_active", "disabled_reason")
    list_select_related = ("project",)
    wire_searches = {"whk": "pk", "proj": "project_id"}
    links = ("history_link",)

    @admin.display(description="history")
    def history_link(self, endpoint: Endpoint) -> SafeString:
        """Its events."""
        return link_to_events("webhook", endpoint)


@admin.register(Delivery)
class DeliveryAdmin(LookOnlyAdmin):
    """Events on their way to webhooks."""

    list_display = (wire_id, "event_type", "status", "attempts", "last_status", "last_error", "created_at")
    list_filter = ("status", "event_type")
    wire_searches = {"dlv": "pk", "whk": "endpoint_id", "evt": "event_id"}
    trace_search = "trace_id"
    links = ("endpoint_link", "try_links")

    @admin.display(description="webhook")
    def endpoint_link(self, delivery: Delivery) -> SafeString | str:
        """Whom it goes to."""
        return link_to(delivery.endpoint)

    @admin.display(description="tries")
    def try_links(self, delivery: Delivery) -> SafeString | str:
        """Its log."""
        return links_to(delivery.tries.order_by("-number")[:50])


@admin.register(DeliveryAttempt)
class DeliveryAttemptAdmin(LookOnlyAdmin):
    """Tries of deliveries."""

    list_display = ("number", "delivery", "at", "status", "error", "took_ms")
    list_select_related = ("delivery",)
    wire_searches = {"dlv": "delivery_id"}


@admin.register(AlertTarget)
class AlertTargetAdmin(LookOnlyAdmin):
    """Where alerts go."""

    hidden = (*_HIDDEN, "url")
    list_display = (wire_id, "project", "label", "schema", "is_active", "last_sent_at", "last_error")
    list_filter = ("is_active", "schema")
    list_select_related = ("project",)
    wire_searches = {"alt": "pk", "proj": "project_id"}
    links = ("history_link",)

    @admin.display(description="history")
    def history_link(self, target: AlertTarget) -> SafeString:
        """Its events."""
        return link_to_events("alert_target", target)


@admin.register(Alert)
class AlertAdmin(LookOnlyAdmin):
    """Alerts on their way; a keeper's address to write to is not shown."""

    hidden = ("receiver",)
    list_display = ("title", "target", "keeper", "channel", "status", "attempts", "last_error", "created_at")
    list_filter = ("status", "channel")
    list_select_related = ("target",)
    wire_searches = {"alt": "target_id"}

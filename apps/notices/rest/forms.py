"""The shapes of webhooks, deliveries and alert targets, as they are shown and as they are read."""

from typing import Any

from rest_framework import serializers

from apps.kernel.ids import to_wire
from apps.notices.data import AlertStatus, DeliveryStatus
from apps.notices.models import Alert, AlertTarget, Delivery, DeliveryAttempt, Endpoint

_TYPES = "names (`run.failed`) and families (`run.*`)"


def _types(text: str) -> serializers.ListField:
    return serializers.ListField(
        child=serializers.CharField(max_length=64), max_length=64, required=False, help_text=text
    )


class WebhookOut(serializers.ModelSerializer[Endpoint]):
    """A webhook as it is shown: never its secret."""

    id = serializers.CharField(source="__str__", read_only=True, help_text="`whk_…`")
    project = serializers.SerializerMethodField(help_text="`proj_…`, null for the operator's own")
    event_types = serializers.ListField(
        child=serializers.CharField(), read_only=True, help_text=f"{_TYPES}; empty for all"
    )

    class Meta:
        model = Endpoint
        fields = (
            "id",
            "project",
            "url",
            "description",
            "event_types",
            "is_active",
            "disabled_reason",
            "failing_since",
            "previous_until",
            "created_at",
        )
        read_only_fields = fields

    def get_project(self, row: Endpoint) -> str | None:
        """`proj_…`, null for the operator's own."""
        return to_wire("proj", row.project_id) if row.project_id else None


class IssuedWebhookOut(WebhookOut):
    """A webhook with the secret just made for it."""

    secret = serializers.CharField(
        read_only=True, allow_null=True, help_text="`whsec_…`: shown once; null when replayed"
    )

    class Meta(WebhookOut.Meta):
        fields = (*WebhookOut.Meta.fields, "secret")  # type: ignore[assignment]


class WebhookIn(serializers.Serializer[Any]):
    """A new webhook."""

    project = serializers.CharField(required=False, help_text="`proj_…`; needed where the caller has several")
    is_operator = serializers.BooleanField(
        default=False, help_text="the operator's own: told of what belongs to no project, such as keepers"
    )
    url = serializers.CharField(max_length=2_000, help_text="http or https")
    description = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    event_types = _types(f"{_TYPES}; empty or absent for all")


class WebhookChange(serializers.Serializer[Any]):
    """What may change in a webhook."""

    url = serializers.CharField(max_length=2_000, required=False)
    description = serializers.CharField(max_length=200, required=False, allow_blank=True)
    event_types = _types(f"{_TYPES}; empty for all")
    is_active = serializers.BooleanField(
        required=False, help_text="off: what is still to be sent is cancelled and may be replayed"
    )


class DeliveryOut(serializers.ModelSerializer[Delivery]):
    """An event on its way to a webhook."""

    id = serializers.CharField(source="__str__", read_only=True, help_text="`dlv_…`: the `webhook-id` header")
    webhook = serializers.SerializerMethodField(help_text="`whk_…`")
    event = serializers.SerializerMethodField(help_text="`evt_…`")
    status = serializers.ChoiceField(choices=[str(word) for word in DeliveryStatus], read_only=True)

    class Meta:
        model = Delivery
        fields = (
            "id",
            "webhook",
            "event",
            "event_type",
            "status",
            "attempts",
            "next_at",
            "last_status",
            "last_error",
            "created_at",
            "delivered_at",
            "trace_id",
        )
        read_only_fields = fields

    def get_webhook(self, row: Delivery) -> str:
        """`whk_…`"""
        return to_wire("whk", row.endpoint_id)

    def get_event(self, row: Delivery) -> str:
        """`evt_…`"""
        return to_wire("evt", row.event_id)


class AttemptOut(serializers.ModelSerializer[DeliveryAttempt]):
    """One try of a delivery."""

    class Meta:
        model = DeliveryAttempt
        fields = ("number", "at", "status", "error", "took_ms", "answer")
        read_only_fields = fields


class DeliveryDetailOut(DeliveryOut):
    """A delivery with what was sent and every try."""

    tries = AttemptOut(many=True, read_only=True)

    class Meta(DeliveryOut.Meta):
        fields = (*DeliveryOut.Meta.fields, "body", "tries")  # type: ignore[assignment]


class ReplayIn(serializers.Serializer[Any]):
    """Which deliveries are sent again."""

    status = serializers.ChoiceField(
        choices=[str(word) for word in DeliveryStatus],
        required=False,
        help_text="those that failed or were cancelled where it is absent",
    )
    event_type = serializers.CharField(max_length=64, required=False)
    since = serializers.DateTimeField(required=False, help_text="made at or after this time")
    until = serializers.DateTimeField(required=False, help_text="made before this time")


class ReplayedOut(serializers.Serializer[Any]):
    """How many deliveries are sent again."""

    count = serializers.IntegerField(read_only=True)


class TargetOut(serializers.ModelSerializer[AlertTarget]):
    """An alert target as it is shown: its schema, never its URL."""

    id = serializers.CharField(source="__str__", read_only=True, help_text="`alt_…`")
    project = serializers.SerializerMethodField(help_text="`proj_…`")
    event_types = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = AlertTarget
        fields = (
            "id",
            "project",
            "label",
            "schema",
            "event_types",
            "is_active",
            "last_sent_at",
            "last_error",
            "created_at",
        )
        read_only_fields = fields

    def get_project(self, row: AlertTarget) -> str:
        """`proj_…`"""
        return to_wire("proj", row.project_id)


class TargetIn(serializers.Serializer[Any]):
    """A new alert target."""

    project = serializers.CharField(required=False, help_text="`proj_…`; needed where the caller has several")
    label = serializers.CharField(max_length=80)  # type: ignore[assignment]
    url = serializers.CharField(
        max_length=1_000, help_text="such as `tgram://<bot token>/<chat>` or `mailto:somebody@example.com`"
    )
    event_types = _types(f"{_TYPES}; empty or absent for what a person should look at")


class TargetChange(serializers.Serializer[Any]):
    """What may change in an alert target."""

    label = serializers.CharField(max_length=80, required=False)  # type: ignore[assignment]
    url = serializers.CharField(max_length=1_000, required=False)
    event_types = _types(f"{_TYPES}; empty for what a person should look at")
    is_active = serializers.BooleanField(required=False)


class AlertOut(serializers.ModelSerializer[Alert]):
    """An alert on its way."""

    target = serializers.SerializerMethodField(help_text="`alt_…`")
    status = serializers.ChoiceField(choices=[str(word) for word in AlertStatus], read_only=True)

    class Meta:
        model = Alert
        fields = ("target", "title", "status", "created_at")
        read_only_fields = fields

    def get_target(self, row: Alert) -> str | None:
        """`alt_…`"""
        return to_wire("alt", row.target_id) if row.target_id else None

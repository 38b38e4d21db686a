"""How event and condition triggers look on the wire; `apps/triggers` alone decides what is taken."""

from typing import Any

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema_field
from rest_framework import serializers

from apps.triggers.data import Comparison, FireOn


class EventBody(serializers.Serializer[Any]):
    """A log of a contract that fires the job, once per log."""

    chain_id = serializers.IntegerField(min_value=1)
    address = serializers.RegexField(r"^0x[0-9a-fA-F]{40}$", help_text="the contract")
    event = serializers.CharField(
        help_text="such as `Transfer(address indexed from, address indexed to, uint256 value)`"
    )
    abi = serializers.JSONField(
        required=False, help_text="the event's ABI entry or the contract's list; derived where absent"
    )
    filters = serializers.DictField(
        child=serializers.JSONField(),
        required=False,
        help_text='argument → a value, a list of values, or comparisons such as `{"greater_equal": "1000"}`',
    )
    confirmations = serializers.IntegerField(
        required=False, min_value=0, help_text="blocks that follow the log's own before it fires; 0: at once"
    )


class SourceFields(serializers.Serializer[Any]):
    """What all sources have."""

    poll_seconds = serializers.IntegerField(required=False, min_value=1, max_value=86_400)


class HttpSourceBody(SourceFields):
    """An address that answers with JSON."""

    kind = serializers.ChoiceField(["http"])
    url = serializers.CharField(max_length=2_048)
    method = serializers.ChoiceField(["GET", "POST"], required=False)
    headers = serializers.DictField(
        child=serializers.JSONField(),
        required=False,
        help_text='name → text, or `{"secret": "name"}` for a secret of the project (`/secrets`)',
    )
    body = serializers.JSONField(required=False)


class WebsocketSourceBody(serializers.Serializer[Any]):
    """A stream of JSON messages; the last one counts."""

    kind = serializers.ChoiceField(["websocket"])
    url = serializers.CharField(max_length=2_048)
    headers = serializers.DictField(child=serializers.JSONField(), required=False)
    subscribe = serializers.JSONField(required=False, help_text="sent once connected")


class ChainSourceBody(SourceFields):
    """A contract's function, read without a transaction, such as a price feed's `latestRoundData()`."""

    kind = serializers.ChoiceField(["chain"])
    chain_id = serializers.IntegerField(min_value=1)
    address = serializers.RegexField(r"^0x[0-9a-fA-F]{40}$")
    function = serializers.CharField(required=False, help_text="with `returns`, where no `abi` is given")
    returns = serializers.ListField(child=serializers.CharField(), required=False)
    abi = serializers.DictField(required=False, help_text="the function's ABI entry with its outputs")
    arguments = serializers.ListField(child=serializers.JSONField(), required=False)
    decimals = serializers.IntegerField(required=False, help_text="only shown; nothing is scaled")


class StaticSourceBody(serializers.Serializer[Any]):
    """A value in the definition."""

    kind = serializers.ChoiceField(["static"])
    value = serializers.JSONField()


_SOURCE = PolymorphicProxySerializer(
    component_name="Source",
    serializers={
        "http": HttpSourceBody,
        "websocket": WebsocketSourceBody,
        "chain": ChainSourceBody,
        "static": StaticSourceBody,
    },
    resource_type_field_name="kind",
)


@extend_schema_field(_SOURCE)
class SourceField(serializers.JSONField):
    """One of the four sources."""


@extend_schema_field(
    {
        "oneOf": [
            {"type": "object", "properties": {"all": {"type": "array", "items": {}}}, "required": ["all"]},
            {"type": "object", "properties": {"any": {"type": "array", "items": {}}}, "required": ["any"]},
            {
                "type": "object",
                "properties": {
                    "source": {"type": "string"},
                    "route": {"type": "string"},
                    "is": {"type": "string", "enum": [str(each) for each in Comparison]},
                    "value": {},
                    "low": {},
                    "high": {},
                    "hysteresis": {},
                },
                "required": ["is"],
            },
        ]
    }
)
class WhenField(serializers.JSONField):
    """A comparison, or `{"all": […]}` or `{"any": […]}` of such."""


class ConditionBody(serializers.Serializer[Any]):
    """Values of sources against limits."""

    sources = serializers.DictField(child=SourceField())
    when = WhenField(
        help_text="`{source, route, is, value}` (`low` and `high` for `between`, `hysteresis` where wanted), "
        'or `{"all": […]}` or `{"any": […]}` of such, four deep at most'
    )
    fires = serializers.ChoiceField([str(each) for each in FireOn], required=False)
    repeat_seconds = serializers.IntegerField(required=False, min_value=1, help_text="`level` only")


@extend_schema_field(EventBody(allow_null=True))
class EventField(serializers.JSONField):
    """The log that is waited for."""


@extend_schema_field(ConditionBody(allow_null=True))
class ConditionField(serializers.JSONField):
    """The condition that is watched."""

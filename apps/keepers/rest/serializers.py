"""The JSON forms of keepers and of the two messages keepers send."""

from typing import Any

from rest_framework import serializers

from apps.keepers.models import Keeper


class KeeperOut(serializers.ModelSerializer[Keeper]):
    """A keeper as everybody may see it; how to reach its operator is not part of it."""

    stake_units = serializers.CharField(read_only=True, help_text="In units (gwei), as text")
    points = serializers.CharField(read_only=True)

    class Meta:
        model = Keeper
        fields = (
            "address",
            "name",
            "version",
            "status",
            "online",
            "registered_at",
            "last_checkin_at",
            "uptime_seconds",
            "stake_units",
            "reputation",
            "points",
            "capabilities",
            "tasks_confirmed",
            "tasks_failed",
            "latency_ms_ewma",
            "last_assigned_at",
            "bls_public_key",
        )
        read_only_fields = fields


class RegistrationIn(serializers.Serializer[Any]):
    """A registration message; `signature` is EIP-712 over `Registration`."""

    keeper = serializers.CharField(help_text="`0x…`, 20 bytes")
    bls_public_key = serializers.CharField(help_text="`0x…`, 256 bytes (EIP-2537 G2)")
    possession = serializers.CharField(help_text="`0x…`, 128 bytes: the key's proof of possession")
    name = serializers.CharField()
    version = serializers.CharField()
    capabilities = serializers.ListField(child=serializers.CharField(), required=False)
    contact = serializers.DictField(child=serializers.CharField(), required=False)
    nonce = serializers.IntegerField(help_text="Above every nonce this keeper has used")
    timestamp = serializers.IntegerField(help_text="Unix seconds, within 60 s of now")
    signature = serializers.CharField(help_text="`0x…`, 65 bytes")


class CheckInIn(serializers.Serializer[Any]):
    """A check-in message; `signature` is EIP-712 over `CheckIn`."""

    keeper = serializers.CharField(help_text="`0x…`, 20 bytes")
    version = serializers.CharField()
    uptime = serializers.IntegerField(help_text="Seconds since the node started")
    nonce = serializers.IntegerField(help_text="Above every nonce this keeper has used")
    timestamp = serializers.IntegerField(help_text="Unix seconds, within 60 s of now")
    signature = serializers.CharField(help_text="`0x…`, 65 bytes")


class CheckInOut(serializers.Serializer[Any]):
    """What a check-in is answered with."""

    keeper = serializers.CharField()
    recorded_at = serializers.DateTimeField()


class ReasonIn(serializers.Serializer[Any]):
    """Why an operator acts."""

    reason = serializers.CharField(max_length=200, required=False, default="", allow_blank=True)

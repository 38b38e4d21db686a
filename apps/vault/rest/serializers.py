"""How secrets look on the wire: never with a value going out."""

from typing import Any

from rest_framework import serializers

from apps.kernel.ids import to_wire
from apps.vault.domain.names import VALUE_MAX
from apps.vault.models import Secret


class SecretIn(serializers.Serializer[Any]):
    """What a secret is from now on. Described here; read by the view, so that no refusal repeats it."""

    value = serializers.CharField(
        max_length=VALUE_MAX, trim_whitespace=False, write_only=True, help_text="Kept sealed, never shown"
    )
    project = serializers.CharField(required=False, help_text="`proj_…`; needed where the caller has several")


class SecretOut(serializers.ModelSerializer[Secret]):
    """A secret as it is shown: that it is there, and since when."""

    id = serializers.SerializerMethodField(help_text="`sec_…`")
    project = serializers.SerializerMethodField(help_text="`proj_…`")

    class Meta:
        model = Secret
        fields = ("id", "name", "project", "created_at", "updated_at")
        read_only_fields = fields

    def get_id(self, secret: Secret) -> str:
        """`sec_…`"""
        return secret.wire_id

    def get_project(self, secret: Secret) -> str:
        """`proj_…`"""
        return to_wire("proj", secret.project_id)

"""The operator's page for secrets: that they are there, and deleting them through the service."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from apps.vault.errors import SecretNotFound
from apps.vault.models import Secret
from apps.vault.selectors import get_secrets
from apps.vault.services import secret_delete


@admin.register(Secret)
class SecretAdmin(ModelAdmin):
    """Secrets: seen by name and deleted here, put by `PUT /api/v1/secrets/{name}`."""

    list_display = fields = ("name", "project", "created_at", "updated_at")
    list_filter = ("project",)
    search_fields = ("name",)
    list_select_related = ("project",)
    actions = ("forget",)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Secret]":
        """The live ones, without what is sealed."""
        return get_secrets(None).order_by("-pk")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """No value is ever on a page."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Looked at in detail, never edited; the list's actions need the permission."""
        return obj is None and request.user.is_superuser

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Operators look."""
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Rows stay; their values are forgotten by the action."""
        return False

    @admin.action(description="Forget the values")
    def forget(self, request: HttpRequest, queryset: "QuerySet[Secret]") -> None:
        """Delete the selected secrets."""
        done = 0
        for project_id, name in queryset.values_list("project_id", "name"):
            try:
                secret_delete(project_id, name)
            except SecretNotFound:
                continue
            done += 1
        messages.success(request, f"{done} secrets deleted")

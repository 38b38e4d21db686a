"""The operator's page of what jobs keep: looked at, never edited."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from apps.storage.models import StoredValue


@admin.register(StoredValue)
class StoredValueAdmin(ModelAdmin):
    """Values of every job."""

    list_display = ("job", "key", "version", "updated_at")
    list_filter = ("job__project",)
    list_select_related = ("job",)
    search_fields = ("key", "=job__id")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Values come from scripts, and from their project through the API."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A change is an event of the job."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A change is an event of the job."""
        return False

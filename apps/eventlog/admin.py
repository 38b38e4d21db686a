"""Events in the operator's admin: read only."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.paginator import InfinitePaginator

from apps.eventlog.models import Event


@admin.register(Event)
class EventAdmin(ModelAdmin):
    """Found by run, aggregate, trace or type; never changed."""

    list_display = (
        "sequence_number",
        "created_at",
        "event_type",
        "aggregate_type",
        "aggregate_id",
        "trace_id",
    )
    list_filter = ("aggregate_type",)
    search_fields = ("=aggregate_id", "=trace_id", "=event_type")
    search_help_text = "An aggregate id, a trace id or an event type, whole"
    ordering = ("-sequence_number",)
    paginator = InfinitePaginator
    show_full_result_count = False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Operators look."""
        return bool(request.user.is_superuser)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Events are appended by what happens."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

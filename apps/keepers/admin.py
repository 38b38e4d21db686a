"""The operator's page of keepers: looked at, suspended and reinstated through services, never edited."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from apps.keepers.models import PUBLIC_FIELDS, Keeper
from apps.keepers.services import keepers_reinstate, keepers_suspend
from apps.kernel.errors import DomainError

_WORKING_FIELDS = ("last_checkin_at", "uptime_seconds", "last_assigned_at", "offline_alerted_at", "contact")


@admin.register(Keeper)
class KeeperAdmin(ModelAdmin):  # type: ignore[misc]
    """Keepers; they register themselves."""

    list_display = (
        "name",
        "address",
        "status",
        "online",
        "version",
        "reputation",
        "points",
        "tasks_confirmed",
        "tasks_failed",
        "last_checkin_at",
    )
    list_filter = ("status", "online", "version")
    search_fields = ("name", "address")
    fields = (*PUBLIC_FIELDS, *_WORKING_FIELDS)
    readonly_fields = fields
    actions = ("suspend", "reinstate")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Keepers register themselves."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Looked at in detail, never edited; the list's actions need the permission."""
        return obj is None and bool(request.user.is_superuser)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Operators look."""
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Keepers retire, they are never deleted."""
        return False

    @admin.action(description="Suspend: no new work")
    def suspend(self, request: HttpRequest, queryset: "QuerySet[Keeper]") -> None:
        """Hold the selected keepers back from new work."""
        self._move(request, queryset, keepers_suspend, "suspended")

    @admin.action(description="Reinstate")
    def reinstate(self, request: HttpRequest, queryset: "QuerySet[Keeper]") -> None:
        """Let the selected keepers work again."""
        self._move(request, queryset, keepers_reinstate, "reinstated")

    def _move(
        self, request: HttpRequest, queryset: "QuerySet[Keeper]", move: Callable[..., int], done: str
    ) -> None:
        addresses = list(queryset.values_list("address", flat=True))
        try:
            moved = move(addresses, reason=f"by {request.user} in the admin")
        except DomainError as exc:
            messages.error(request, f"{exc.title}: {exc}")
            return
        messages.success(request, f"{moved} keepers {done}")

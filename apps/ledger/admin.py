"""The ledger in the operator's admin: read only."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.paginator import InfinitePaginator

from apps.ledger.models import Account, Posting, Transaction


class _ReadOnly:
    """Operators look; money moves through the services alone."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Operators look."""
        return bool(getattr(request.user, "is_superuser", False))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False


class PostingRows(_ReadOnly, TabularInline):
    """The parts of a transaction."""

    model = Posting
    extra = 0
    fields = readonly_fields = ("account", "amount_units", "balance_after_units")


@admin.register(Account)
class AccountAdmin(_ReadOnly, ModelAdmin):
    """Balances."""

    list_display = ("kind", "owner", "balance_units")
    list_filter = ("kind",)
    search_fields = ("owner",)


@admin.register(Transaction)
class TransactionAdmin(_ReadOnly, ModelAdmin):
    """What was posted, and why."""

    list_display = ("created_at", "kind", "reference", "trace_id")
    list_filter = ("kind",)
    search_fields = ("=reference", "=trace_id")
    inlines = (PostingRows,)
    paginator = InfinitePaginator
    show_full_result_count = False

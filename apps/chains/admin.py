"""The operator's pages for what goes to the chain: looked at, never edited."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from apps.chains.models import ChainState, Outbound, Sender

#: Bytes and long lists that say nothing on a page.
_UNSHOWN = ("data", "raw", "logs")


class _ReadOnlyAdmin(ModelAdmin):
    """Rows the services alone write."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never by hand."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never: the stored bytes are what a restored chain is healed with."""
        return False


@admin.register(Outbound)
class OutboundAdmin(_ReadOnlyAdmin):
    """Transactions of ours and where they stand."""

    list_display = (
        "nonce",
        "sender",
        "purpose",
        "status",
        "tx_hash",
        "block_number",
        "gas_used",
        "cost_units",
        "reorg_count",
        "last_error",
        "created_at",
        "confirmed_at",
    )
    list_filter = ("status", "purpose", "sender")
    list_select_related = ("sender",)
    search_fields = ("=tx_hash", "=trace_id", "=id")
    ordering = ("-id",)
    exclude: ClassVar[tuple[str, ...]] = _UNSHOWN

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Outbound, Outbound]":
        """Without the bytes."""
        rows: QuerySet[Outbound, Outbound] = super().get_queryset(request)
        return rows.defer(*_UNSHOWN)


@admin.register(Sender)
class SenderAdmin(_ReadOnlyAdmin):
    """Accounts that send."""

    list_display = ("address", "chain_id", "next_nonce")


@admin.register(ChainState)
class ChainStateAdmin(_ReadOnlyAdmin):
    """The chain as last seen."""

    list_display = (
        "chain_id",
        "head_number",
        "max_fee_wei",
        "priority_fee_wei",
        "observed_at",
        "behind_since",
    )

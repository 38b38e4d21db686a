"""The operator's pages for batches and settlements."""

from django.contrib import admin
from django.db.models import Q
from django.utils.safestring import SafeString

from apps.settlement.models import Batch, Settlement
from apps.tasks.operator_pages import LookOnlyAdmin, link_to, link_to_events, links_to, wire_id


@admin.register(Batch)
class BatchAdmin(LookOnlyAdmin):
    """Transactions to the hub."""

    list_display = (wire_id, "status", "size", "tx_hash", "submitted_at", "confirmed_at", "trace_id")
    list_filter = ("status",)
    list_select_related = ("outbound",)
    ordering = ("-id",)
    wire_searches = {"bat": "pk", "rnd": "round_id", "task": "settlements__task_id"}
    trace_search = "trace_id"
    links = ("tx_hash", "round_link", "settlement_links", "history_link")

    def address_search(self, address: str) -> Q:
        """The batch sent in a transaction."""
        return Q(outbound__tx_hash=address)

    @admin.display(description="transaction")
    def tx_hash(self, batch: Batch) -> str:
        """Its transaction's hash."""
        return batch.outbound.tx_hash

    @admin.display(description="round")
    def round_link(self, batch: Batch) -> SafeString | str:
        """The round it settles."""
        return link_to(batch.round)

    @admin.display(description="settlements")
    def settlement_links(self, batch: Batch) -> SafeString | str:
        """What became of each task."""
        return links_to(batch.settlements.order_by("position"))

    @admin.display(description="history")
    def history_link(self, batch: Batch) -> SafeString:
        """Its events."""
        return link_to_events("batch", batch)


@admin.register(Settlement)
class SettlementAdmin(LookOnlyAdmin):
    """Tasks on the chain."""

    list_display = ("task", "status", "block_number", "tx_hash", "gas_units", "fee_units")
    list_filter = ("status",)
    list_select_related = ("task",)
    ordering = ("-id",)
    wire_searches = {"task": "task_id", "run": "task__run_id", "bat": "batch_id"}
    trace_search = "batch__trace_id"
    links = ("task_link", "batch_link")

    def address_search(self, address: str) -> Q:
        """What was settled in a transaction or a block."""
        return Q(tx_hash=address) | Q(block_hash=address)

    @admin.display(description="task")
    def task_link(self, settlement: Settlement) -> SafeString | str:
        """The task it settles."""
        return link_to(settlement.task)

    @admin.display(description="batch")
    def batch_link(self, settlement: Settlement) -> SafeString | str:
        """Its batch."""
        return link_to(settlement.batch)

"""The operator's pages for rounds and votes."""

from django.contrib import admin
from django.db.models import Q
from django.utils.safestring import SafeString
from unfold.admin import TabularInline

from apps.attestation.models import Ballot, Round, RoundItem, Vote
from apps.tasks.operator_pages import LookOnlyAdmin, link_to, link_to_events, links_to, wire_id


class _Rows(TabularInline):  # type: ignore[misc]
    """Rows of a round, looked at."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: object, obj: object = None) -> bool:
        """They come from keepers."""
        return False

    def has_change_permission(self, request: object, obj: object = None) -> bool:
        """Never."""
        return False


class ItemRows(_Rows):
    """What the round checks."""

    model = RoundItem
    fields = readonly_fields = ("position", "task", "epoch", "number", "verdict", "proof_of_task")


class BallotRows(_Rows):
    """What its attesters signed."""

    model = Ballot
    fields = readonly_fields = ("attester", "is_unanimous", "received_at", "root")


@admin.register(Round)
class RoundAdmin(LookOnlyAdmin):
    """Committees and what they found."""

    list_display = (wire_id, "status", "performer", "size", "required", "opened_at", "closed_at", "trace_id")
    list_filter = ("status",)
    ordering = ("-id",)
    wire_searches = {"rnd": "pk", "task": "items__task_id", "bat": "batch__pk"}
    trace_search = "trace_id"
    links = ("task_links", "batch_links", "history_link")
    inlines = (ItemRows, BallotRows)

    def address_search(self, address: str) -> Q:
        """The rounds over a performer's results."""
        return Q(performer=address)

    @admin.display(description="tasks")
    def task_links(self, row: Round) -> SafeString | str:
        """The tasks it checks."""
        return links_to(item.task for item in row.items.select_related("task"))

    @admin.display(description="batches")
    def batch_links(self, row: Round) -> SafeString | str:
        """The transactions it led to."""
        return links_to(row.batches.order_by("pk"))

    @admin.display(description="history")
    def history_link(self, row: Round) -> SafeString:
        """Its events."""
        return link_to_events("round", row)


@admin.register(Vote)
class VoteAdmin(LookOnlyAdmin):
    """Single verdicts."""

    list_display = ("task", "attester", "number", "is_positive", "reason")
    list_filter = ("is_positive", "reason")
    list_select_related = ("task",)
    ordering = ("-id",)
    wire_searches = {"task": "task_id", "run": "task__run_id"}
    trace_search = "task__run__trace_id"
    links = ("task_link",)

    def address_search(self, address: str) -> Q:
        """An attester's votes."""
        return Q(attester=address)

    @admin.display(description="task")
    def task_link(self, vote: Vote) -> SafeString | str:
        """The task it is about."""
        return link_to(vote.task)

"""The operator's pages for leases."""

from django.contrib import admin
from django.db.models import Q
from django.utils.safestring import SafeString

from apps.execution.models import Assignment
from apps.tasks.operator_pages import LookOnlyAdmin, link_to


@admin.register(Assignment)
class AssignmentAdmin(LookOnlyAdmin):
    """Every lease ever given, with its score card and receipt."""

    list_display = ("task", "epoch", "keeper", "status", "offered_at", "ended_at", "end_reason")
    list_filter = ("status", "end_reason")
    list_select_related = ("task", "keeper")
    ordering = ("-id",)
    wire_searches = {"task": "task_id", "run": "task__run_id"}
    trace_search = "task__run__trace_id"
    links = ("task_link", "run_link")

    def address_search(self, address: str) -> Q:
        """A keeper's leases."""
        return Q(keeper_id=address)

    @admin.display(description="task")
    def task_link(self, assignment: Assignment) -> SafeString | str:
        """The task it is on."""
        return link_to(assignment.task)

    @admin.display(description="run")
    def run_link(self, assignment: Assignment) -> SafeString | str:
        """The run of that task."""
        return link_to(assignment.task.run)

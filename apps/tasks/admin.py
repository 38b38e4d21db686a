"""The operator's pages for runs and tasks, which are looked at; what may be done to them comes from above."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.tasks.models import Run, Task
from apps.tasks.operator_pages import LINK, LookOnlyAdmin, link_to_events, links_to, wire_id


@admin.register(Run)
class RunAdmin(LookOnlyAdmin):
    """Runs of every project."""

    list_display = (wire_id, "job", "status", "opened_at", "finished_at", "tasks_total", "trace_id")
    list_filter = ("status", "job__project")
    list_select_related = ("job",)
    wire_searches = {"run": "pk", "job": "job_id", "proj": "project_id", "task": "tasks__pk"}
    trace_search = "trace_id"
    links = ("page_link", "task_links", "history_link")

    @admin.display(description="page")
    def page_link(self, run: Run) -> SafeString:
        """The run's own page."""
        return format_html('<a class="{}" href="/runs/{}">the run as a graph</a>', LINK, run)

    @admin.display(description="tasks")
    def task_links(self, run: Run) -> SafeString | str:
        """Its tasks."""
        return links_to(run.tasks.order_by("position")[:200])

    @admin.display(description="history")
    def history_link(self, run: Run) -> SafeString:
        """Its events."""
        return link_to_events("run", run)


@admin.register(Task)
class TaskAdmin(LookOnlyAdmin):
    """Tasks of every project."""

    list_display = (wire_id, "step_key", "status", "epoch", "failures", "performer", "error_code")
    list_filter = ("status", "error_code")
    #: the newest run first, its steps in their order
    ordering = ("-run_id", "position")
    wire_searches = {"task": "pk", "run": "run_id", "proj": "project_id"}
    trace_search = "run__trace_id"
    links = ("parent_links", "assignment_links", "round_links", "settlement_links", "history_link")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Task]":
        """The list needs no specifications, which may be large."""
        tasks: QuerySet[Task] = super().get_queryset(request)
        is_list = getattr(request.resolver_match, "url_name", "").endswith("_changelist")
        return tasks.defer("spec", "result") if is_list else tasks

    def address_search(self, address: str) -> Q:
        """The tasks a keeper performs, or one settled in a transaction."""
        return Q(performer=address) if len(address) == 42 else Q(settlements__tx_hash=address)

    @admin.display(description="parents")
    def parent_links(self, task: Task) -> SafeString | str:
        """What it depends on."""
        return links_to(Task.objects.filter(child_edges__child=task))

    @admin.display(description="assignments")
    def assignment_links(self, task: Task) -> SafeString | str:
        """Every lease given for it."""
        return self._related(task, "assignments", "epoch")

    @admin.display(description="rounds")
    def round_links(self, task: Task) -> SafeString | str:
        """The committees that checked it."""
        items: Any = getattr(task, "round_items", None)
        return links_to(item.round for item in items.select_related("round")) if items else "-"

    @admin.display(description="settlements")
    def settlement_links(self, task: Task) -> SafeString | str:
        """What went to the chain."""
        return self._related(task, "settlements", "pk")

    @admin.display(description="history")
    def history_link(self, task: Task) -> SafeString:
        """Its events."""
        return link_to_events("task", task)

    def _related(self, task: Task, name: str, order: str) -> SafeString | str:
        rows: Any = getattr(task, name, None)
        return links_to(rows.order_by(order)) if rows is not None else "-"

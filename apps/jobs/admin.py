"""The operator's pages for jobs: looked at, paused and resumed through the services, never edited."""

from typing import Any, Final

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

from apps.jobs.data import LIVE
from apps.jobs.models import Job
from apps.jobs.services import job_pause, job_resume
from apps.kernel.errors import DomainError

#: the event store's own columns
_CHAINED: Final = ("event_sequence", "event_head")


@admin.register(Job)
class JobAdmin(ModelAdmin):
    """Jobs of every project."""

    list_display = (
        "name",
        "project",
        "status",
        "trigger_kind",
        "next_fire_at",
        "last_fired_at",
        "fire_count",
        "edit_link",
    )
    list_filter = ("status", "trigger_kind", "project")
    list_select_related = ("project",)
    search_fields = ("name", "=id")
    date_hierarchy = "created_at"
    exclude = _CHAINED
    actions = ("pause", "resume")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """All of them."""
        return [
            *(field.name for field in Job._meta.fields if field.name not in _CHAINED),
            "edit_link",
            "history_link",
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Whoever may look at them may ask for the form; it asks for the right to write."""
        return bool(super().has_view_permission(request))

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """The form of the pages, which knows every kind of job."""
        return HttpResponseRedirect("/jobs/new")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Looked at in detail, never edited; the list's actions need the permission."""
        return obj is None and bool(super().has_change_permission(request))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A job's history outlives it; its owner ends it through the API."""
        return False

    @admin.display(description="edit")
    def edit_link(self, job: Job) -> SafeString | str:
        """The form with the job in it, while it may be changed."""
        if job.status not in LIVE:
            return "-"
        return format_html('<a href="/jobs/{}/edit">Edit</a>', job.wire_id)

    @admin.display(description="history")
    def history_link(self, job: Job) -> SafeString | str:
        """Every event of the job."""
        try:
            url = reverse("admin:eventlog_event_changelist")
        except NoReverseMatch:
            return f"{job.event_sequence} events"
        query = f"aggregate_type=job&aggregate_id={job.aggregate_id}"
        return format_html('<a href="{}?{}">{} events</a>', url, query, job.event_sequence)

    @admin.action(description="Pause")
    def pause(self, request: HttpRequest, queryset: "QuerySet[Job]") -> None:
        """Hold the triggers of the selected jobs."""
        self._apply(request, queryset, job_pause, "paused")

    @admin.action(description="Resume")
    def resume(self, request: HttpRequest, queryset: "QuerySet[Job]") -> None:
        """Let the triggers of the selected jobs go again."""
        self._apply(request, queryset, job_resume, "resumed")

    def _apply(self, request: HttpRequest, queryset: "QuerySet[Job]", service: Any, done: str) -> None:
        count = 0
        for job in queryset:
            try:
                service(job_id=job.id)
            except DomainError as exc:
                messages.error(request, f"{job.name}: {exc.title}")
                continue
            count += 1
        messages.success(request, f"{count} jobs {done}")

"""/ and /runs/{id}: what has fired, and one run from its trigger to the chain."""

from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from apps.accounts.data import Scope
from apps.kernel.ids import to_wire
from apps.kernel.trace import trace_of
from apps.progress.domain.words import dictionary
from apps.progress.pages.page import Page, noticed, read_wire, see
from apps.progress.selectors import get_run, get_run_document, get_run_summaries, get_runs
from apps.rollback.services import run_cancel
from apps.tasks.data import RunStatus
from apps.tasks.services import run_now

PAGE_ROWS: Final = 25


class RunsPage(Page):
    """The runs of the viewer's projects, newest first."""

    nav = "runs"

    def get(self, request: HttpRequest) -> HttpResponse:
        """A page of runs; `?status=` narrows it, `?before=run_…` goes on."""
        wanted = request.GET.get("status", "")
        status = RunStatus(wanted) if wanted in set(RunStatus) else None
        runs = get_runs(self.viewer.project_ids, status=status)
        before = request.GET.get("before")
        if before:
            runs = runs.filter(pk__lt=read_wire("run", before))
        rows = list(runs[: PAGE_ROWS + 1])
        page = rows[:PAGE_ROWS]
        return self.show(
            "runs.html",
            runs=get_run_summaries(page),
            statuses=[str(each) for each in RunStatus],
            status=status,
            is_first=not before,
            next_before=to_wire("run", page[-1].id) if len(rows) > PAGE_ROWS else None,
            has_filter=status is not None or before,
        )


class RunPage(Page):
    """One run."""

    nav = "runs"

    def get(self, request: HttpRequest, run_id: str) -> HttpResponse:
        """The run as a table, which the page's scripts turn into a live picture."""
        document = get_run_document(read_wire("run", run_id), self.viewer.visible_ids)
        project_id = read_wire("proj", document["project"])
        may_write = self.viewer.may(Scope.RUNS_WRITE, project_id)
        return self.show(
            "run.html",
            run=document,
            words=dictionary(),
            confirmed=document["task_counts"].get("confirmed", 0),
            project=next((each for each in self.viewer.projects if each.id == project_id), None),
            legacy_trace_id=trace_of(document["trace_id"]).legacy_id,
            is_open=document["status"] == RunStatus.OPEN,
            may_write=may_write,
            may_cancel=may_write and not document["cancel_requested_at"],
        )


class RunCancelPage(Page):
    """The form behind “Cancel”."""

    http_method_names = ["post"]

    @noticed("run-page")
    def post(self, request: HttpRequest, run_id: str) -> HttpResponse:
        """Cancel the run and go back to it."""
        run = self._run(run_id)
        self.require(Scope.RUNS_WRITE, run.project_id)
        run_cancel(run_id=run.id, project_ids=None, actor=self.viewer.caller.name)
        said = "The run is being cancelled: what has not reached the chain stops."
        messages.success(request, said, extra_tags="when-open")
        return see("run-page", run_id=run_id)

    def _run(self, run_id: str) -> Any:
        return get_run(read_wire("run", run_id), self.viewer.visible_ids)


class RunAgainPage(Page):
    """The form behind “Run again”."""

    http_method_names = ["post"]

    @noticed("run-page")
    def post(self, request: HttpRequest, run_id: str) -> HttpResponse:
        """Open a new run of the same job and go to it."""
        run = get_run(read_wire("run", run_id), self.viewer.visible_ids)
        self.require(Scope.RUNS_WRITE, run.project_id)
        opened = run_now(job_id=run.job_id, project_ids=None)
        return see("run-page", run_id=to_wire("run", opened.id))

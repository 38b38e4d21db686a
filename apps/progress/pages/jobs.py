"""/jobs and /jobs/{id}: what fires when, and what may be done about it."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from apps.accounts.data import Scope
from apps.eventlog.selectors import get_database_now
from apps.jobs.data import JobStatus, TriggerKind
from apps.jobs.models import Job
from apps.jobs.selectors import get_job, get_jobs, preview
from apps.jobs.services import job_pause, job_resume
from apps.kernel.ids import to_wire
from apps.ledger.domain.postings import project_prepaid
from apps.ledger.selectors import get_balances, get_project_balances
from apps.progress.domain.frames import to_rfc3339
from apps.progress.domain.trigger_words import describe_trigger
from apps.progress.domain.words import describe_speculation
from apps.progress.pages.page import Page, noticed, read_wire, see
from apps.progress.selectors import get_run_summaries, get_runs
from apps.progress.why import get_why
from apps.tasks.services import run_now

_PREVIEW: Final = 5
_RECENT: Final = 10
_PAGE_ROWS: Final = 50
#: that many projects' balances are shown where all projects are looked at
_BALANCES: Final = 8
_RUNNABLE: Final = (JobStatus.ACTIVE, JobStatus.PAUSED)


class JobsPage(Page):
    """The jobs of the viewer's projects."""

    nav = "jobs"

    def get(self, request: HttpRequest) -> HttpResponse:
        """A page of jobs, newest first; `?before=job_…` goes on."""
        jobs = get_jobs(self.viewer.project_ids).select_related("project").order_by("-id")
        before = request.GET.get("before")
        if before:
            jobs = jobs.filter(pk__lt=read_wire("job", before))
        rows = list(jobs[: _PAGE_ROWS + 1])
        page = rows[:_PAGE_ROWS]
        shown = [self.viewer.chosen] if self.viewer.chosen else list(self.viewer.projects)[:_BALANCES]
        balances = get_balances(project_prepaid(project.id) for project in shown)
        return self.show(
            "jobs.html",
            balances=[
                {"project": project, "units": balances[project_prepaid(project.id)]} for project in shown
            ],
            jobs=[_shown(job, self.viewer) for job in page],
            is_first=not before,
            may_write=any(self.viewer.may(Scope.JOBS_WRITE, each.id) for each in self.viewer.projects),
            next_before=to_wire("job", page[-1].id) if len(rows) > _PAGE_ROWS else None,
        )


class JobPage(Page):
    """One job."""

    nav = "jobs"

    def get(self, request: HttpRequest, job_id: str) -> HttpResponse:
        """Its definition, its next five fires in UTC and in its zone, its recent runs, its curl."""
        job = get_job(read_wire("job", job_id), self.viewer.visible_ids)
        runs = get_runs(None, job_id=job.id)[:_RECENT]
        zone = (job.schedule or {}).get("zone") or ""
        return self.show(
            "job.html",
            job=_shown(job, self.viewer),
            row=job,
            may_write=self.viewer.may(Scope.JOBS_WRITE, job.project_id),
            balance_units=get_project_balances(job.project_id)[0],
            project=next((each for each in self.viewer.projects if each.id == job.project_id), None),
            zone=zone,
            speculation=describe_speculation(
                job=job.speculation_choice, project=job.project.speculation_choice
            ),
            fires=_fires(preview(job, _PREVIEW, get_database_now()), zone),
            runs=get_run_summaries(list(runs)),
            steps=job.definition["steps"],
            why=get_why(job),
            definition=json.dumps(_definition(job), indent=2, ensure_ascii=False),
            curl_create=_curl_create(request, job),
            curl_run=_curl_run(request, job),
        )


class JobActionPage(Page):
    """The forms behind “Pause”, “Resume” and “Run now”."""

    http_method_names = ["post"]

    @noticed("job-page")
    def post(self, request: HttpRequest, job_id: str, action: str) -> HttpResponse:
        """Do it, then show what came of it."""
        job = get_job(read_wire("job", job_id), self.viewer.visible_ids)
        if action == "run-now":
            self.require(Scope.RUNS_WRITE, job.project_id)
            run = run_now(job_id=job.id, project_ids=None)
            return see("run-page", run_id=to_wire("run", run.id))
        self.require(Scope.JOBS_WRITE, job.project_id)
        if action == "pause":
            job_pause(job_id=job.id)
            messages.success(request, "Paused: it fires no more until it is resumed.")
        elif action == "resume":
            job_resume(job_id=job.id)
            messages.success(request, "Resumed.")
        else:
            raise Http404
        return see("job-page", job_id=job_id)


def _shown(job: Job, viewer: Any) -> dict[str, Any]:
    return {
        "id": job.wire_id,
        "name": job.name,
        "status": job.status,
        "schedule": describe_trigger(
            {
                "trigger_kind": job.trigger_kind,
                "schedule": job.schedule,
                "event": job.event,
                "condition": job.condition,
            }
        ),
        "next_fire_at": to_rfc3339(job.next_fire_at) if job.next_fire_at else None,
        "last_fired_at": to_rfc3339(job.last_fired_at) if job.last_fired_at else None,
        "last_refusal": job.last_refusal,
        "fire_count": job.fire_count,
        "steps": len(job.definition["steps"]),
        "estimated_cost_units": job.estimated_cost_units,
        "may_edit": job.status in _RUNNABLE,
        "may_run": job.status in _RUNNABLE and viewer.may(Scope.RUNS_WRITE, job.project_id),
        "may_pause": job.status == JobStatus.ACTIVE
        and job.trigger_kind != TriggerKind.MANUAL
        and viewer.may(Scope.JOBS_WRITE, job.project_id),
        "may_resume": job.status == JobStatus.PAUSED and viewer.may(Scope.JOBS_WRITE, job.project_id),
    }


def _fires(instants: Sequence[datetime], zone: str) -> list[dict[str, str]]:
    local = ZoneInfo(zone) if zone else UTC
    return [
        {"utc": to_rfc3339(instant), "local": f"{instant.astimezone(local):%a %d %b %Y %H:%M:%S %Z}"}
        for instant in instants
    ]


def _definition(job: Job) -> dict[str, Any]:
    """The body that would create the same job again."""
    body = {
        "name": job.name,
        "trigger_kind": job.trigger_kind,
        "schedule": job.schedule,
        "event": job.event,
        "condition": job.condition,
        "link_job": to_wire("job", job.link_job_id) if job.link_job_id else None,
        "pause_after_failures": job.pause_after_failures,
        "missed_policy": job.missed_policy,
        "missed_limit": job.missed_limit,
        "recurring": job.recurring,
        "max_fires": job.max_fires,
        "expires_at": to_rfc3339(job.expires_at) if job.expires_at else None,
        "speculation": job.speculation or None,
        "steps": job.definition["steps"],
    }
    return {name: value for name, value in body.items() if value is not None}


def _curl_create(request: HttpRequest, job: Job) -> str:
    body = json.dumps(_definition(job), indent=2, ensure_ascii=False).replace("'", "'\\''")
    return "\n".join(
        (
            f"curl -X POST {request.build_absolute_uri('/api/v1/jobs')} \\",
            '  -H "Authorization: Bearer $FOREKEEP_API_KEY" \\',
            '  -H "Content-Type: application/json" \\',
            f"  -d '{body}'",
        )
    )


def _curl_run(request: HttpRequest, job: Job) -> str:
    address = request.build_absolute_uri(reverse("job-run-now", kwargs={"job_id": job.wire_id}))
    return f'curl -X POST {address} \\\n  -H "Authorization: Bearer $FOREKEEP_API_KEY"'

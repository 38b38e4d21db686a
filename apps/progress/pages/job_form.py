"""/jobs/new, /jobs/{id}/edit and /jobs/preview: a job of any kind, written in a form."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from apps.accounts.data import Scope
from apps.accounts.models import Project
from apps.content.errors import ContentMissing, ContentTampered, ContentUnavailable
from apps.jobs.data import definition_from_json
from apps.jobs.models import Job
from apps.jobs.selectors import get_definition, get_job
from apps.jobs.services import job_create, job_update
from apps.jobs.terms import get_bounds, get_chain_ids, get_gas_price_wei, get_prices, get_store
from apps.kernel.errors import DomainError, NotFound, PreconditionFailed
from apps.progress.domain.job_form import DEFAULTS, as_steps, body_of, form_of
from apps.progress.domain.job_form_choices import CHOICES, PRESETS, STEP_FIELDS, WHOLE_FIELDS
from apps.progress.domain.job_form_rows import LEAF_FIELDS, LEAF_ROWS, SOURCE_FIELDS, SOURCE_ROWS
from apps.progress.pages.job_preview import Fault, fault_of, preview_context, read_draft
from apps.progress.pages.page import Page, read_wire, see

_CONFLICT: Final = (
    "Somebody changed this job while you were editing it. What you typed is still here: look at the job "
    "as it is now in another tab, then save again to lay yours over it."
)


class JobFormPage(Page):
    """What creating and editing share."""

    nav = "jobs"

    def projects(self) -> list[Project]:
        """The projects the viewer may write jobs in; raise PermissionDenied where there are none."""
        found = [each for each in self.viewer.projects if self.viewer.may(Scope.JOBS_WRITE, each.id)]
        if not found:
            raise PermissionDenied
        return found

    def project_of(self, slug: str) -> Project:
        """The project named in the form. One the viewer may only read is a 403, any other a 404."""
        for project in self.viewer.projects:
            if project.slug == slug:
                self.require(Scope.JOBS_WRITE, project.id)
                return project
        raise NotFound()

    def form(
        self,
        values: Mapping[str, str],
        project: Project | None,
        *,
        job: Job | None = None,
        faults: Sequence[Fault] = (),
        status: int = 200,
        version: str = "",
    ) -> HttpResponse:
        """The page, with what was typed and what is wrong with it."""
        draft = read_draft(values, is_begun=self.request.method == "GET")
        shown = faults or (draft.faults if self.request.method == "POST" else ())
        response = self.show(
            "job_form.html",
            fields=_fields(values, shown),
            above=[fault for fault in shown if not fault.field],
            sources=[_row("source", row, SOURCE_FIELDS, values, shown) for row in range(SOURCE_ROWS)],
            leaves=[_row("leaf", row, LEAF_FIELDS, values, shown) for row in range(LEAF_ROWS)],
            choices=CHOICES,
            presets=PRESETS,
            chosen_project=project,
            projects=[] if job else self.projects(),
            job=job,
            version=version,
            **preview_context(self.request, project, draft),
        )
        response.status_code = status
        return response


class JobNewPage(JobFormPage):
    """A new job."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """An empty form; `?kind=` begins it as one of the kinds, `?like=job_…` as a copy."""
        writable = self.projects()
        chosen = self.viewer.chosen
        project = chosen if chosen in writable else writable[0]
        like = request.GET.get("like")
        if like:
            job = get_job(read_wire("job", like), self.viewer.visible_ids)
            project = next((each for each in writable if each.id == job.project_id), project)
            values = _form_of(job)
            return self.form({**values, "name": f"{job.name} copy"[:200]}, project)
        preset = PRESETS.get(request.GET.get("kind", ""), PRESETS["time"])
        chains = get_chain_ids()
        known = {
            name: str(chains[0]) for name in ("chain_id", "event_chain_id", "source_0_chain_id") if chains
        }
        return self.form({**DEFAULTS, **known, **preset.values}, project)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Create it and go to it; or show what is wrong, with all that was typed."""
        values = _typed(request)
        project = self.project_of(values.get("project", ""))
        draft = read_draft(values)
        if draft.definition is None or values.get("do") == "preview":
            return self.form(values, project, faults=draft.faults, status=422 if draft.faults else 200)
        try:
            job = job_create(
                project_id=project.id,
                definition=draft.definition,
                store=get_store(),
                prices=get_prices(),
                gas_price_wei=get_gas_price_wei(),
                created_by=self.viewer.caller.id,
            )
        except DomainError as exc:
            return self.form(values, project, faults=(fault_of(exc, values),), status=422)
        messages.success(request, "Created. It is active at once.")
        return see("job-page", job_id=job.wire_id)


class JobEditPage(JobFormPage):
    """A job, changed."""

    def get(self, request: HttpRequest, job_id: str) -> HttpResponse:
        """The form as the job is now."""
        job = self._job(job_id)
        return self.form(_form_of(job), job.project, job=job, version=str(job.version))

    def post(self, request: HttpRequest, job_id: str) -> HttpResponse:
        """Change it and go to it; or show what is wrong, with all that was typed."""
        job = self._job(job_id)
        values = _typed(request)
        draft, version = read_draft(values), values.get("version", "")
        if draft.definition is None or values.get("do") == "preview":
            status = 422 if draft.faults else 200
            return self.form(
                values, job.project, job=job, faults=draft.faults, status=status, version=version
            )
        # what the form leaves empty goes back to its default, as a null says
        changes = {**dict.fromkeys(WHOLE_FIELDS), **as_steps(draft.body, STEP_FIELDS)}
        try:
            job_update(
                job_id=job.id,
                changes=changes,
                store=get_store(),
                bounds=get_bounds(),
                project_ids=self.viewer.visible_ids,
                version=int(version) if version.isdecimal() else None,
                prices=get_prices(),
                gas_price_wei=get_gas_price_wei(),
            )
        except PreconditionFailed as exc:
            fault = Fault(field="", title=exc.title, reason=_CONFLICT, code=exc.code, pointer="")
            now = str(get_job(job.id).version)
            return self.form(values, job.project, job=job, faults=(fault,), status=412, version=now)
        except DomainError as exc:
            found = (fault_of(exc, values),)
            return self.form(values, job.project, job=job, faults=found, status=422, version=version)
        messages.success(request, "Saved.")
        return see("job-page", job_id=job_id)

    def _job(self, job_id: str) -> Job:
        job = get_job(read_wire("job", job_id), self.viewer.visible_ids)
        self.require(Scope.JOBS_WRITE, job.project_id)
        return job


class JobPreviewPage(JobFormPage):
    """The fragment beside the form."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        """What the form would do, as it stands; nothing is stored."""
        values = _typed(request)
        project = self.project_of(values.get("project", ""))
        return self.show(
            "_job_preview.html", **preview_context(request, project, read_draft(values, is_begun=True))
        )


def _typed(request: HttpRequest) -> dict[str, str]:
    return {name: str(value) for name, value in request.POST.items()}


def _form_of(job: Job) -> dict[str, str]:
    """The form of a stored job. What the fields cannot say is edited as JSON."""
    definition = get_definition(job)
    scripts = {}
    for step in definition.steps:
        if step.script and len(definition.steps) == 1:
            try:
                scripts[step.script.cid] = get_store().get(step.script.cid).decode("utf-8")
            except (ContentMissing, ContentTampered, ContentUnavailable, UnicodeDecodeError):
                continue
    form = form_of(definition.to_json(), scripts)
    try:
        is_whole = definition_from_json(body_of(form).body, get_bounds()) != definition
    except DomainError:
        is_whole = True
    return {**form, "use_whole": "yes"} if is_whole else form


def _fields(values: Mapping[str, str], faults: Sequence[Fault]) -> dict[str, dict[str, Any]]:
    return {name: _field(name, values, faults) for name in (*DEFAULTS, *_NAMES)}


def _row(
    part: str, row: int, names: Sequence[str], values: Mapping[str, str], faults: Sequence[Fault]
) -> dict[str, Any]:
    # a template cannot say `is`
    named = {("comparison" if name == "is" else name): f"{part}_{row}_{name}" for name in names}
    return {"number": row + 1, **{key: _field(name, values, faults) for key, name in named.items()}}


def _field(name: str, values: Mapping[str, str], faults: Sequence[Fault]) -> dict[str, Any]:
    fault = next((each for each in faults if each.field == name), None)
    return {"name": name, "value": values.get(name, ""), "fault": fault}


_NAMES: Final = (
    "name",
    "project",
    "start_at",
    "instants",
    "event_chain_id",
    "event_address",
    "event_signature",
    "event_abi",
    "event_filters",
    "event_confirmations",
    "sources_json",
    "when_json",
    "max_fires",
    "expires_at",
    "missed_limit",
    "pause_after_failures",
    "link_job",
    "script_source",
    "script_cid",
    "params",
    "deadline_seconds",
    "memory_mb",
    "chain_id",
    "target",
    "targets",
    "function",
    "arguments",
    "gas_limit",
    "use_whole",
    "whole",
)

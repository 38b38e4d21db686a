"""How a job's row is written: locked, moved by the table, its fields and its event together."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.conf import settings

from apps.accounts.models import Project
from apps.chains.networks import get_event_chain_ids
from apps.content.store import ContentStore
from apps.egress.guard import HTTP, WEBSOCKET, check_url
from apps.eventlog.data import EventDraft
from apps.eventlog.locking import lock_rows
from apps.eventlog.services import rows_write
from apps.jobs.domain.states import JOB_TABLE, LIVE, JobStatus
from apps.jobs.domain.values import Fires, JobDefinition
from apps.jobs.errors import DrillNotAllowed, InputMissing, JobEnded, JobNotFound, LinkCycle, LinkUnknown
from apps.jobs.models import Job
from apps.kernel.errors import PreconditionFailed
from apps.kernel.ids import to_wire
from apps.kernel.reading import escape, placed
from apps.triggers.data import ChainSource, HttpSource, WebsocketSource, condition_to_json, secrets_of
from apps.triggers.errors import ChainUnknown
from apps.vault.errors import SecretUnknown
from apps.vault.selectors import require_secrets

#: everything people may read of a job; what its first event sets, so that replay gives the row
PUBLIC_FIELDS: Final = (
    "project",
    "name",
    "status",
    "trigger_kind",
    "schedule",
    "event",
    "condition",
    "armed_at",
    "missed_policy",
    "missed_limit",
    "recurring",
    "max_fires",
    "expires_at",
    "next_fire_at",
    "fire_count",
    "last_fired_at",
    "link_job",
    "pause_after_failures",
    "failures_in_row",
    "last_refusal",
    "definition",
    "definition_hash",
    "speculation",
    "version",
    "estimated_cost_units",
    "created_by",
    "trace_id",
    "created_at",
    "updated_at",
)


def content_store(definition: JobDefinition, store: ContentStore, *, known: Collection[str] = ()) -> None:
    """Store inline scripts and require everything else that is newly named, asking once per CID.

    Raises InputMissing at the first place that names it, and what the store raises.
    """
    for source in definition.sources.values():
        store.put(source)
    wanted = [cid for cid in definition.content_ids() if cid not in definition.sources and cid not in known]
    missing = {cid for cid in wanted if not store.has(cid)}
    for i, step in enumerate(definition.steps if missing else ()):
        if step.script and step.script.cid in missing:
            raise InputMissing(pointer=f"/steps/{i}/script/cid", cid=step.script.cid)
        for name, cid in step.inputs.items():
            if cid in missing:
                raise InputMissing(pointer=f"/steps/{i}/inputs/{escape(name)}", cid=cid)


def require_drills_allowed(definition: JobDefinition, project: Project) -> None:
    """Raise DrillNotAllowed for the first step with a drill where the project allows none."""
    if project.allows_drills:
        return
    for i, step in enumerate(definition.steps):
        if step.drill:
            raise DrillNotAllowed(pointer=f"/steps/{i}/drill", step=step.key)


def require_sources(definition: JobDefinition, project_id: UUID) -> None:
    """Raise AddressRefused or UrlInvalid for a source that may not be asked, SecretUnknown for a secret that
    the project does not have, at their place in the condition.
    """
    if definition.condition is None:
        return
    allow = settings.FOREKEEP.egress.allow
    for name, source in definition.condition.sources:
        where = f"/condition/sources/{escape(name)}"
        if isinstance(source, HttpSource | WebsocketSource):
            schemes = HTTP if isinstance(source, HttpSource) else WEBSOCKET
            check_url(source.url, allow, schemes, pointer=f"{where}/url")
        if isinstance(source, ChainSource) and source.chain_id not in get_event_chain_ids():
            raise ChainUnknown(pointer=f"{where}/chain_id", chain_id=source.chain_id)
        try:
            require_secrets(project_id, secrets_of(source))
        except SecretUnknown as exc:
            raise placed(exc, f"{where}/headers") from None


def require_link(definition: JobDefinition, project: Project, job_id: UUID | None) -> None:
    """Raise LinkUnknown unless the linked job is of the same project, LinkCycle where the links come back.

    Links of a project change one at a time: its row is locked.
    """
    if definition.link_job is None:
        return
    lock_rows(Project.objects.filter(pk=project.pk), skip_locked=False)
    of_project = Job.objects.filter(project=project).exclude(status=JobStatus.DELETED)
    links = dict(of_project.values_list("pk", "link_job_id"))
    if definition.link_job not in links:
        raise LinkUnknown(pointer="/link_job", job=to_wire("job", definition.link_job))
    walk: list[UUID | None] = [job_id]
    following: UUID | None = definition.link_job
    while following is not None and following not in walk:
        walk.append(following)
        following = links.get(following)
    if following is not None and following == job_id:
        cycle = [to_wire("job", each) for each in (*walk, following) if each is not None]
        raise LinkCycle(pointer="/link_job", cycle=cycle[:100])


def columns_of(definition: JobDefinition) -> dict[str, Any]:
    """The row's columns that come from its definition."""
    return {
        "name": definition.name,
        "trigger_kind": str(definition.trigger_kind),
        "schedule": definition.schedule.to_json() if definition.schedule else None,
        "event": definition.event.to_json() if definition.event else None,
        "condition": condition_to_json(definition.condition) if definition.condition else None,
        "link_job_id": definition.link_job,
        "pause_after_failures": definition.pause_after_failures,
        "missed_policy": str(definition.missed_policy),
        "missed_limit": definition.missed_limit,
        "recurring": definition.recurring,
        "max_fires": definition.max_fires,
        "expires_at": definition.expires_at,
        "definition": definition.steps_json(),
        "definition_hash": definition.steps_hash(),
        "speculation": definition.speculation.to_json(),
    }


def write_edit(job: Job, event_type: str, now: datetime) -> Job:
    """Write what a person changed: a new version, and an event that sets everything people may read."""
    job.version += 1
    job.updated_at = now
    fields = tuple(
        name for name in PUBLIC_FIELDS if name not in ("project", "created_at", "created_by", "trace_id")
    )
    rows_write([job], fields, [draft_of(job, event_type, fields)], now=now)
    return job


def draft_of(job: Job, event_type: str, fields: tuple[str, ...], **facts: Any) -> EventDraft:
    """The event that sets these fields to what the row now holds."""
    payload = {"set": job.get_json_fields(fields), **facts}
    return EventDraft(row=job, type=event_type, payload=payload, project_id=job.project_id)


def facts_of(fires: Fires) -> dict[str, Any]:
    """What an event says of a firing besides the row: its ticks, and what was dropped."""
    facts: dict[str, Any] = {"ticks": [tick.key for tick in fires.ticks]}
    if fires.skipped is not None:
        facts["skipped"] = {"first": fires.skipped.first, "until": fires.skipped.until}
    return facts


def move(job: Job, target: JobStatus) -> None:
    """The one place a job's status is assigned; raise IllegalTransition."""
    job.status = str(JOB_TABLE.move(id=job.wire_id, current=JobStatus(job.status), target=target))


def require_live(job: Job) -> None:
    """Raise JobEnded unless the job is active or paused."""
    if job.status not in LIVE:
        raise JobEnded(status=job.status)


def require_version(job: Job, version: int | None) -> None:
    """Raise PreconditionFailed where the caller has seen another version."""
    if version is not None and version != job.version:
        raise PreconditionFailed(expected=version, found=job.version)


def lock_job(job_id: UUID, project_ids: frozenset[UUID] | None) -> Job:
    """One job among the visible ones, locked until the transaction ends; raise JobNotFound."""
    jobs = Job.objects.filter(pk=job_id)
    rows = lock_rows(
        jobs if project_ids is None else jobs.filter(project_id__in=project_ids), skip_locked=False
    )
    if not rows:
        raise JobNotFound()
    return rows[0]

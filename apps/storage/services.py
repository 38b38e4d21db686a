"""Writing what jobs keep: for confirmed tasks by compare-and-set, and by hand.

A job's row is locked before any of its values is read, and each change is an event of it, which names
keys and no values. Lock order: jobs first of all, as everywhere.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.eventlog.data import EventDraft
from apps.eventlog.locking import lock_rows
from apps.eventlog.selectors import get_database_now
from apps.eventlog.services import events_append
from apps.eventlog.writing import rows_insert, rows_update
from apps.jobs.data import JobStatus
from apps.jobs.errors import JobEnded, JobNotFound
from apps.jobs.models import Job
from apps.kernel.errors import PreconditionFailed
from apps.kernel.ids import to_wire
from apps.storage.data import Plan, StorageWrite, Stored
from apps.storage.domain.updates import ABSENT, carry_out, plan_updates, require_room, require_storable
from apps.storage.errors import StorageTooLarge, StorageUpdatesInvalid, StoredValueNotFound
from apps.storage.models import StoredValue
from apps.storage.selectors import get_limits, get_stored

UPDATED = "job.storage_updated"
CONFLICT = "job.storage_conflict"


def storage_lock(job_ids: Collection[UUID]) -> dict[UUID, Job]:
    """Wait for and lock the jobs whose values are to be written; before any other row is locked."""
    if not job_ids:
        return {}
    return {job.id: job for job in lock_rows(Job.objects.filter(pk__in=job_ids), skip_locked=False)}


def storage_apply(writes: Sequence[StorageWrite], jobs: Mapping[UUID, Job], *, now: datetime) -> None:
    """Carry out what confirmed tasks ask for, in the order of their ids: all of a task's updates, or none.

    `jobs` are locked. None where a key has moved on since the snapshot, or where there is no room any
    more: then `job.storage_conflict` says so. A deleted job keeps what it has, and nothing is told.
    """
    live = [one for one in writes if jobs[one.job_id].status != JobStatus.DELETED]
    if not live:
        return
    limits, before = get_limits(), get_stored({one.job_id for one in live})
    after = {job_id: dict(stored) for job_id, stored in before.items()}
    told: defaultdict[UUID, int] = defaultdict(int)
    drafts: list[EventDraft] = []
    for one in sorted(live, key=lambda write: write.task_id):
        job = jobs[one.job_id]
        told[job.id] += 1
        version = job.event_sequence + told[job.id]
        plan = plan_updates(after[job.id], one.versions, one.updates, limits)
        after[job.id] = carry_out(after[job.id], plan, version=version)
        drafts.append(_draft_of(job, one, plan, version))
    _write(before, after, now)
    events_append(drafts, now=now)


def storage_put(
    *,
    job_id: UUID,
    key: str,
    value: Any,
    project_ids: frozenset[UUID] | None = None,
    version: int | None = None,
) -> StoredValue:
    """Keep a value under a key by hand. `version` is the one the caller has seen, 0 where there was none.

    Raises JobNotFound, JobEnded for a deleted job, PreconditionFailed, StorageUpdatesInvalid,
    StorageTooLarge.
    """
    value = _require_value(key, value)
    with transaction.atomic():
        job, stored = _lock_one(job_id, project_ids)
        _require_version(stored, key, version)
        after = carry_out(stored, Plan(written={key: value}), version=job.event_sequence + 1)
        _require_room(after)
        now = get_database_now()
        _write({job.id: stored}, {job.id: after}, now)
        events_append([_by_hand(job, written=[key])], now=now)
        row: StoredValue = StoredValue.objects.get(job=job, key=key)
    return row


def storage_delete(
    *, job_id: UUID, key: str, project_ids: frozenset[UUID] | None = None, version: int | None = None
) -> None:
    """Forget a key by hand.

    Raises JobNotFound, JobEnded for a deleted job, StoredValueNotFound, PreconditionFailed.
    """
    with transaction.atomic():
        job, stored = _lock_one(job_id, project_ids)
        if key not in stored:
            raise StoredValueNotFound()
        _require_version(stored, key, version)
        after = carry_out(stored, Plan(written={}, deleted=(key,)), version=job.event_sequence + 1)
        now = get_database_now()
        _write({job.id: stored}, {job.id: after}, now)
        events_append([_by_hand(job, deleted=[key])], now=now)


def _lock_one(job_id: UUID, project_ids: frozenset[UUID] | None) -> tuple[Job, dict[str, Stored]]:
    job = storage_lock([job_id]).get(job_id)
    if job is None or (project_ids is not None and job.project_id not in project_ids):
        raise JobNotFound()
    if job.status == JobStatus.DELETED:
        raise JobEnded(status=job.status)
    return job, get_stored([job.id])[job.id]


def _require_value(key: str, value: Any) -> Any:
    try:
        return require_storable(key, value, "")
    except StorageUpdatesInvalid as exc:
        raise StorageUpdatesInvalid(pointer="/value" if exc.pointer else None, **exc.fields) from None


def _require_room(stored: Mapping[str, Stored]) -> None:
    try:
        require_room({key: each.value for key, each in stored.items()}, get_limits(), "")
    except StorageTooLarge as exc:
        raise StorageTooLarge(pointer="/value", **exc.fields) from None


def _require_version(stored: Mapping[str, Stored], key: str, version: int | None) -> None:
    found = stored[key].version if key in stored else ABSENT
    if version is not None and version != found:
        raise PreconditionFailed(expected=version, found=found)


def _write(
    before: Mapping[UUID, Mapping[str, Stored]], after: Mapping[UUID, Mapping[str, Stored]], now: datetime
) -> None:
    """What differs, in at most one statement each for what is new, what has another version, what is gone."""
    known = {(job_id, key): each for job_id, stored in before.items() for key, each in stored.items()}
    wanted = {(job_id, key): each for job_id, stored in after.items() for key, each in stored.items()}
    changed = {place: each for place, each in wanted.items() if known.get(place) != each}
    gone = known.keys() - wanted.keys()
    present: dict[tuple[UUID, str], StoredValue] = {}
    if gone or changed.keys() & known.keys():
        rows = StoredValue.objects.filter(job__in=list(before))
        present = {(row.job_id, row.key): row for row in rows}

    written = [present[place] for place in changed if place in present]
    for row in written:
        each = changed[row.job_id, row.key]
        row.value, row.version, row.updated_at = each.value, each.version, now
    guards = [known[row.job_id, row.key].version for row in written]
    rows_update(StoredValue, written, ("value", "version", "updated_at"), guards, guard_column="version")
    new = [
        StoredValue(job_id=job_id, key=key, value=each.value, version=each.version, updated_at=now)
        for (job_id, key), each in changed.items()
        if (job_id, key) not in known
    ]
    rows_insert(StoredValue, new, is_key_given=False)
    if gone:
        StoredValue.objects.filter(pk__in=[present[place].pk for place in gone]).delete()


def _draft_of(job: Job, one: StorageWrite, plan: Plan, version: int) -> EventDraft:
    source = {"task": to_wire("task", one.task_id), "run": to_wire("run", one.run_id)}
    if plan.is_applied:
        facts: dict[str, Any] = {"version": version, **_names(list(plan.written), list(plan.deleted))}
    else:
        seen = {key: one.versions.get(key, ABSENT) for key in plan.conflicts}
        facts = {"reason": plan.reason, "keys": list(seen), "versions": list(seen.values())}
    return EventDraft(
        row=job,
        type=UPDATED if plan.is_applied else CONFLICT,
        payload={"set": {}, **source, **facts},
        run_id=one.run_id,
        project_id=job.project_id,
        trace_id=one.trace_id,
    )


def _by_hand(job: Job, *, written: Sequence[str] = (), deleted: Sequence[str] = ()) -> EventDraft:
    facts = {"version": job.event_sequence + 1, **_names(written, deleted)}
    return EventDraft(row=job, type=UPDATED, payload={"set": {}, **facts}, project_id=job.project_id)


def _names(written: Sequence[str], deleted: Sequence[str]) -> dict[str, list[str]]:
    return {"keys": list(written), "deleted": list(deleted)}

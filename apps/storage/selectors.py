"""Reading what jobs keep."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet

from apps.storage.data import Snapshot, StorageLimits, Stored
from apps.storage.models import StoredValue


def get_limits() -> StorageLimits:
    """What one job may keep, from the settings."""
    section = settings.FOREKEEP.storage
    return StorageLimits(
        keys_max=section.keys_max,
        value_max_bytes=section.value_max_bytes,
        total_max_bytes=section.total_max_bytes,
    )


def get_stored(job_ids: Collection[UUID]) -> dict[UUID, dict[str, Stored]]:
    """Job → key → what it keeps there now, of all these jobs in one query."""
    found: dict[UUID, dict[str, Stored]] = {job_id: {} for job_id in job_ids}
    if not found:
        return found
    rows = StoredValue.objects.filter(job__in=list(found)).order_by()
    for job_id, key, value, version in rows.values_list("job_id", "key", "value", "version"):
        found[job_id][key] = Stored(value=value, version=version)
    return found


def get_snapshots(definitions: Mapping[UUID, Mapping[str, Any]]) -> dict[UUID, dict[str, Any]]:
    """What jobs keep now, as their next run's specifications carry it: of those with a custom action.

    `definitions` are the stored ones, by job. One query for all; none where no job has a custom action.
    """
    custom = [job_id for job_id, definition in definitions.items() if _is_custom(definition)]
    limits = get_limits()
    return {
        job_id: Snapshot(stored=stored, limits=limits).to_json()
        for job_id, stored in get_stored(custom).items()
    }


def get_stored_values(job_id: UUID) -> "QuerySet[StoredValue]":
    """The rows of one job."""
    return StoredValue.objects.filter(job=job_id)


def _is_custom(definition: Mapping[str, Any]) -> bool:
    return any((step.get("action") or {}).get("custom") for step in definition["steps"])

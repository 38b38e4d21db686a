"""The public values of what jobs keep, and what a confirmed task asks for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from apps.storage.domain.updates import Plan, Snapshot, StorageLimits, Stored

__all__ = ["Plan", "Snapshot", "StorageLimits", "StorageWrite", "Stored"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageWrite:
    """The updates of one confirmed task: `versions` are those of the snapshot its run was opened with."""

    job_id: UUID
    task_id: UUID
    run_id: UUID
    trace_id: str
    versions: Mapping[str, int]
    updates: Mapping[str, Any]

"""What the tasks of ended batches want kept: read from the receipts that were attested."""

from collections.abc import Collection
from uuid import UUID

from django.db.models import F

from apps.execution.models import Assignment
from apps.settlement.data import SettlementStatus
from apps.storage.data import StorageWrite
from apps.storage.domain.updates import snapshot_from_json


def get_storage_writes(batch_ids: Collection[UUID]) -> dict[UUID, StorageWrite]:
    """Task → the storage updates its performer signed and the committee agreed with; mostly none at all.

    What a task returned in the epoch that was submitted changes no more, so that no lock is needed.
    """
    leases = Assignment.objects.filter(
        task__settlements__batch__in=batch_ids,
        task__settlements__status=SettlementStatus.SUBMITTED,
        epoch=F("task__settlements__epoch"),
        task__spec__has_key="storage",
        receipt__result__has_key="storage_updates",
    ).select_related("task__run")
    return {lease.task_id: _write_of(lease) for lease in leases}


def _write_of(lease: Assignment) -> StorageWrite:
    run, result = lease.task.run, (lease.receipt or {})["result"]
    return StorageWrite(
        job_id=run.job_id,
        task_id=lease.task_id,
        run_id=run.id,
        trace_id=run.trace_id,
        versions=snapshot_from_json(lease.task.spec["storage"]).versions,
        updates=result["storage_updates"],
    )

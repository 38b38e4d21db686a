"""Reading batches and what the chain said of them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from apps.chains.data import OutboundStatus
from apps.chains.models import Outbound
from apps.chains.registry import decode_hub_logs
from apps.chains.selectors import get_deployment
from apps.proofs.selectors import get_tasks_to_submit
from apps.settlement.data import BatchStatus
from apps.settlement.domain.items import HubVerdict, read_verdicts
from apps.settlement.models import Batch
from apps.tasks.data import TaskStatus
from apps.tasks.models import Task

#: what a task without a proof is submitted from
_UNPROVED = (TaskStatus.ATTESTED, TaskStatus.WAITING_ANCESTORS)
#: every status a task is submitted from
SUBMITTABLE = (*_UNPROVED, TaskStatus.PROVED)
#: a transaction that stands so needs no more looking at
ENDED = (OutboundStatus.CONFIRMED, OutboundStatus.FAILED, OutboundStatus.DROPPED)


def get_ended_batches(*, limit: int, ids: Sequence[UUID] | None = None) -> list[UUID]:
    """Submitted batches whose transaction has ended, at most `limit` tasks' worth."""
    rows = Batch.objects.filter(status=BatchStatus.SUBMITTED, outbound__status__in=ENDED)
    if ids is not None:
        rows = rows.filter(pk__in=ids)
    found: list[UUID] = []
    for pk, size in rows.order_by("pk").values_list("pk", "size"):
        if found and limit < size:
            break
        found.append(pk)
        limit -= size
    return found


def get_verdicts(outbound: Outbound) -> Mapping[int, HubVerdict]:
    """Task id → what the hub's events in this transaction say; empty where it failed or was dropped."""
    if outbound.status != OutboundStatus.CONFIRMED:
        return {}
    return read_verdicts(decode_hub_logs(get_deployment(), outbound.get_logs()))


def get_due_tasks(now: datetime, limit: int, ids: Sequence[UUID] | None = None) -> list[UUID]:
    """The tasks the submit stage looks at: proved ones whose turn has come, and due ones without a proof."""
    unproved = Task.objects.filter(
        status__in=_UNPROVED, wake_at__lte=now, is_failing=False, spec__proof__circuit__isnull=True
    )
    if ids is not None:
        unproved = unproved.filter(pk__in=ids)
    proved = get_tasks_to_submit(limit, ids, now=now)
    return sorted({*unproved.order_by("pk").values_list("pk", flat=True)[:limit], *proved})[:limit]

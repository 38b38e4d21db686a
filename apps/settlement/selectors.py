"""Reading batches and what the chain said of them."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from apps.chains.data import OutboundStatus
from apps.chains.models import Outbound
from apps.chains.registry import decode_hub_logs
from apps.chains.selectors import get_deployment
from apps.settlement.data import BatchStatus
from apps.settlement.domain.items import HubVerdict, read_verdicts
from apps.settlement.models import Batch

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

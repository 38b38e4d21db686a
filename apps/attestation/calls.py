"""The signed calls to a round's committee."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.conf import settings

from apps.attestation.data import RoundCall, hash_items
from apps.attestation.models import Round, RoundItem
from apps.execution.dispatcher import get_dispatcher_key, get_domain
from apps.execution.models import Assignment
from apps.kernel.ids import to_wire
from apps.kernel.outcome import Message


def calls_of(
    rounds: Sequence[Round], voted: Mapping[UUID, Collection[str]] | None = None
) -> tuple[Message, ...]:
    """One message per round and member that has not voted yet; three queries whatever the number."""
    items = _items_of(rounds)
    domain, key = get_domain(), get_dispatcher_key()
    messages: list[Message] = []
    for row in rounds:
        own = items[row.id]
        items_hash = hash_items(own)
        expires_at = int(row.opened_at.timestamp()) + settings.FOREKEEP.attestation.ballot_timeout_seconds
        for attester in row.committee:
            if voted and attester in voted.get(row.id, ()):
                continue
            call = RoundCall(round_id=row.id, number=1, attester=attester, expires_at=expires_at, items=own)
            body = call.to_json(domain=domain, key=key, items_hash=items_hash)
            messages.append(
                Message(keeper=attester, task="keeper.attest", body={"call": body}, trace_id=row.trace_id)
            )
    return tuple(messages)


def _items_of(rounds: Sequence[Round]) -> Mapping[UUID, list[dict[str, Any]]]:
    rows = list(
        RoundItem.objects.filter(round__in=rounds)
        .order_by("round_id", "position")
        .values("round_id", "task_id", "epoch", "task__run_id", "task__spec")
    )
    leases = {
        (lease.task_id, lease.epoch): lease
        for lease in Assignment.objects.filter(task_id__in={row["task_id"] for row in rows})
    }
    receipts = _parents_receipts([row["task__spec"] for row in rows])
    found: defaultdict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        lease = leases[(row["task_id"], row["epoch"])]
        assignment = {
            "task": to_wire("task", row["task_id"]),
            "run": to_wire("run", row["task__run_id"]),
            "epoch": row["epoch"],
            "lease": lease.id.hex,
            "keeper": lease.keeper_id,
            "expires_at": int(lease.expires_at.timestamp()),
            "spec": row["task__spec"],
        }
        awaited = _awaited_leases(row["task__spec"])
        parents = [receipts[own] for own in awaited if own in receipts]
        item = {"assignment": assignment, "receipt": lease.receipt, "parents": parents}
        found[row["round_id"]].append(item)
    return found


def _parents_receipts(specs: Sequence[Mapping[str, Any]]) -> Mapping[UUID, dict[str, Any]]:
    """The signed receipts of the attempts these tasks awaited, by lease."""
    awaited = {lease for spec in specs for lease in _awaited_leases(spec)}
    if not awaited:
        return {}
    known = Assignment.objects.filter(pk__in=awaited).values_list("pk", "receipt")
    return {lease: receipt for lease, receipt in known if receipt is not None}


def _awaited_leases(spec: Mapping[str, Any]) -> list[UUID]:
    """The leases of the attempts a task awaited, in the order of their steps."""
    return [UUID(hex=each["lease"]) for _, each in sorted((spec.get("awaits") or {}).items())]

"""From an accepted result to the item the hub is given, and from the hub's events to what they mean."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from apps.chains.data import HubEvent, SettlementItem
from apps.content.domain.cid import cid_digest
from apps.kernel.hashing import from_hex

#: what the hub says of an item whose proof does not verify
PROOF_REJECTED: Final = "proof_rejected"


def build_item(
    *, task_id: int, epoch: int, performer: str, result: Mapping[str, Any], circuit: int = 0
) -> SettlementItem:
    """The hub's view of one accepted result; `circuit` is what proves its statement, 0 where nothing does."""
    action = result.get("action")
    return SettlementItem(
        task_id=task_id,
        epoch=epoch,
        performer=performer,
        output_hash=from_hex(result["output_hash"], length=32),
        package_digest=cid_digest(result["package_cid"]),
        target=action["target"] if action else None,
        call_data=from_hex(action["call_data"]) if action else b"",
        gas_limit=action["gas_limit"] if action else 0,
        circuit=circuit,
        statement=int(result["statement"], 16) if circuit else 0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HubVerdict:
    """What the hub made of one item."""

    is_settled: bool
    reason: str = ""


def read_verdicts(events: Iterable[HubEvent]) -> dict[int, HubVerdict]:
    """Task id → what the transaction's events say of it; a task without an event is in none.

    An item the hub skipped as settled before was settled by an earlier submission of ours: the hub
    accepts one proof per task, so it is settled all the same.
    """
    verdicts: dict[int, HubVerdict] = {}
    for event in events:
        task_id = event.arguments.get("taskId")
        if task_id is None:
            continue
        if event.name == "TaskSettled":
            verdicts[task_id] = HubVerdict(is_settled=True)
        elif event.name == "TaskSkipped":
            verdicts[task_id] = HubVerdict(is_settled=True, reason="settled_before")
        elif event.name == "ActionReverted":
            verdicts[task_id] = HubVerdict(is_settled=False, reason="action_reverted")
        elif event.name == "ProofRejected":
            verdicts[task_id] = HubVerdict(is_settled=False, reason=PROOF_REJECTED)
    return verdicts

"""A new round's row and items: the root over its results, and the seed that only they make known."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings

from apps.attestation.data import ItemVerdict, RoundStatus
from apps.attestation.models import Round, RoundItem
from apps.content.domain.cid import cid_digest
from apps.execution.dispatcher import get_dispatcher_key
from apps.execution.domain.receipt import statement_of
from apps.kernel.eip712 import sign
from apps.kernel.hashing import from_hex, keccak, to_hex
from apps.kernel.ids import new_id
from apps.kernel.merkle import merkle_root
from apps.kernel.settlement_hash import NO_ACTION, action_hash, proof_of_task, settlement_leaf
from apps.tasks.models import Task

_DRAW_TAG = keccak(b"forekeep.draw.v1")


def round_new(
    tasks: Sequence[Task], numbers: Sequence[int], *, now: datetime, until: datetime, trace_id: str
) -> tuple[Round, list[RoundItem]]:
    """The row of a round over these tasks, still without a committee, and its items in leaf order."""
    proofs = [compute_proof(task) for task in tasks]
    root = merkle_root(
        [settlement_leaf(task.id.int, proof) for task, proof in zip(tasks, proofs, strict=True)]
    )
    round_id = new_id()
    row = Round(
        id=round_id,
        performer=tasks[0].performer,
        status=RoundStatus.OPEN,
        root=to_hex(root),
        seed=to_hex(seed_of(root, round_id.bytes)),
        committee=[],
        required=1,
        size=len(tasks),
        opened_at=now,
        wake_at=until,
        resend_at=now + timedelta(seconds=settings.FOREKEEP.execution.resend_seconds),
        trace_id=trace_id,
    )
    items = [
        RoundItem(
            round=row,
            task=task,
            epoch=task.epoch,
            number=number,
            position=position,
            proof_of_task=to_hex(proof),
            verdict=ItemVerdict.OPEN,
        )
        for position, (task, number, proof) in enumerate(zip(tasks, numbers, proofs, strict=True))
    ]
    return row, items


def compute_proof(task: Task) -> bytes:
    """The proof of task that the performer's recorded result stands for."""
    result = task.result or {}
    action = result.get("action")
    bound = (
        action_hash(action["target"], from_hex(action["call_data"]), action["gas_limit"])
        if action
        else NO_ACTION
    )
    circuit, statement = statement_of(result, task.spec)
    return proof_of_task(
        task_id=task.id.int,
        epoch=task.epoch,
        performer=task.performer,
        output_hash=from_hex(result["output_hash"], length=32),
        package_digest=cid_digest(result["package_cid"]),
        action=bound,
        circuit=circuit,
        statement=statement,
    )


def seed_of(root: bytes, round_id: bytes) -> bytes:
    """keccak of the dispatcher's deterministic signature over (tag, root, round id)."""
    return keccak(sign(get_dispatcher_key(), keccak(_DRAW_TAG + root + round_id)))

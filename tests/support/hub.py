"""The outbound port over a chain in memory: the hub checks and settles as the contract does, at once.

`FakeHub.install` puts it in the place of `outbound_sign`, `outbound_broadcast` and `outbound_poll` for the
settlement app. What was broadcast is carried out once by its hash, whatever becomes of the transaction of
the database that sent it: a chain does not roll back with us.
"""

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from django.db import transaction
from eth_abi.abi import decode, encode

from apps.attestation.domain.committee import compute_required
from apps.chains.artifacts import get_abi
from apps.chains.data import CallRequest, OutboundStatus, SettlementItem
from apps.chains.domain.settlement_abi import BATCH_TYPES, leaf_of, proof_of
from apps.chains.models import Outbound, Sender
from apps.chains.selectors import get_deployment
from apps.eventlog.locking import lock_rows
from apps.eventlog.selectors import get_database_now
from apps.keepers.selectors import get_bls_public_keys
from apps.kernel.bls import verify_aggregate
from apps.kernel.hashing import keccak, to_hex
from apps.kernel.merkle import merkle_root
from apps.kernel.settlement_hash import settlement_message
from apps.settlement import services

GAS_USED, GAS_PRICE_WEI = 400_000, 2_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """What `submitBatch` was called with."""

    leaves: tuple[bytes, ...]
    positions: tuple[int, ...]
    items: tuple[SettlementItem, ...]
    circuit: int
    proofs: tuple[tuple[int, ...], ...]
    signature: bytes
    attesters: tuple[str, ...]


class FakeHub:
    """A hub and the chain under it."""

    def __init__(
        self,
        *,
        active: int = 5,
        get_keys: Callable[[Sequence[str]], Mapping[str, bytes]] = get_bls_public_keys,
        verify: Callable[[SettlementItem, tuple[int, ...]], bool] = lambda item, proof: True,
    ) -> None:
        """`get_keys` gives active keepers' BLS keys, `verify` says whether a proof is the item's."""
        self._required = compute_required(min(5, active - 1))
        self._get_keys = get_keys
        self._verify = verify
        #: the circuits that have a verifier
        self.circuits: set[int] = {16}
        #: whether a task is settled only with a proof
        self.is_proof_required = False
        #: tasks whose proofs are wrong, whatever `verify` says
        self.unproved: set[int] = set()
        #: task id → the proof it was settled with
        self.settled: dict[int, bytes] = {}
        #: every item settled, in order, by task id: each at most once
        self.history: list[int] = []
        #: tasks whose action reverts
        self.reverting: set[int] = set()
        #: whether whole transactions revert
        self.is_refusing = False
        #: whether blocks are made
        self.is_mining = True
        #: whether the node answers
        self.is_away = False
        #: transactions the hub refused though it was not told to, and why
        self.objections: list[str] = []
        self._receipts: dict[str, tuple[bool, int, list[dict[str, Any]]]] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def install(self, monkeypatch: pytest.MonkeyPatch) -> "FakeHub":
        """Take the port's place in the settlement app."""
        for name in ("sign", "broadcast", "poll"):
            monkeypatch.setattr(services, f"outbound_{name}", getattr(self, name))
        return self

    def sign(self, requests: Sequence[CallRequest], *, now: datetime | None = None) -> list[Outbound]:
        """See `outbound_sign`: one row per request, its nonce given under the sender's lock."""
        if not requests:
            return []
        at = now or get_database_now()
        chain_id = get_deployment().chain_id
        Sender.objects.get_or_create(chain_id=chain_id, address="0x" + "5e" * 20)
        (sender,) = lock_rows(Sender.objects.filter(chain_id=chain_id), skip_locked=False)
        rows = [_outbound(request, sender, sender.next_nonce + n, at) for n, request in enumerate(requests)]
        Outbound.objects.bulk_create(rows)
        Sender.objects.filter(pk=sender.pk).update(next_nonce=sender.next_nonce + len(rows))
        return rows

    def broadcast(self, now: datetime) -> int:
        """See `outbound_broadcast`: what is signed and due goes out."""
        if self.is_away:
            return 0
        with transaction.atomic():
            rows = lock_rows(Outbound.objects.filter(status=OutboundStatus.SIGNED, wake_at__lte=now))
            for row in rows:
                self._carry_out(row)
            Outbound.objects.filter(pk__in=[row.pk for row in rows]).update(
                status=OutboundStatus.BROADCAST, broadcast_at=now
            )
        return len(rows)

    def poll(self, now: datetime) -> list[Outbound]:
        """See `outbound_poll`: what was sent is k blocks deep, where blocks are made."""
        if self.is_away or not self.is_mining:
            return []
        with transaction.atomic():
            rows = lock_rows(Outbound.objects.filter(status=OutboundStatus.BROADCAST, wake_at__lte=now))
            for row in rows:
                row.success, row.block_number, row.logs = self._receipts[row.tx_hash]
                row.block_hash = to_hex(keccak(str(row.block_number).encode()))
                row.status = OutboundStatus.CONFIRMED if row.success else OutboundStatus.FAILED
                row.gas_used, row.effective_gas_price = GAS_USED, GAS_PRICE_WEI
                row.wake_at, row.mined_at, row.confirmed_at = None, now, now
                row.save()
        return rows

    def _carry_out(self, row: Outbound) -> None:
        with self._lock:
            if row.tx_hash not in self._receipts:
                logs = [] if self.is_refusing else self.submit_batch(bytes(row.data))
                self._receipts[row.tx_hash] = (bool(logs), next(self._numbers), logs)

    def submit_batch(self, data: bytes) -> list[dict[str, Any]]:
        """The events of `submitBatch`, none where it reverts as a whole."""
        batch = _decode(data)
        objection = self._objection(batch)
        if objection:
            self.objections.append(objection)
            return []
        root = merkle_root(batch.leaves)
        proofs = batch.proofs or (None,) * len(batch.items)
        return [
            self._settle(item, proof, root, index)
            for index, (item, proof) in enumerate(zip(batch.items, proofs, strict=True))
        ]

    def _objection(self, batch: _Batch) -> str:
        """Why the hub refuses the call as a whole, in the hub's order and words; empty where it does not."""
        if not batch.items:
            return "empty"
        if len(batch.positions) != len(batch.items):
            return "positions"
        if batch.circuit == 0 and self.is_proof_required:
            return "proof"
        if batch.circuit and batch.circuit not in self.circuits:
            return "verifier"
        if len(batch.proofs) != (len(batch.items) if batch.circuit else 0):
            return "proofs"
        if any(item.performer in batch.attesters for item in batch.items):
            return "performer"
        if not all(
            position < len(batch.leaves) and batch.leaves[position] == leaf_of(item)
            for position, item in zip(batch.positions, batch.items, strict=True)
        ):
            return "leaf"
        return self._quorum_objection(batch)

    def _quorum_objection(self, batch: _Batch) -> str:
        keys = self._get_keys(batch.attesters)
        deployment = get_deployment()
        root = merkle_root(batch.leaves)
        message = settlement_message(chain_id=deployment.chain_id, hub=deployment.hub, root=root)
        if not set(batch.attesters) <= set(keys) or list(batch.attesters) != sorted(set(batch.attesters)):
            return "attesters"
        if len(batch.attesters) < self._required:
            return "quorum"
        if not verify_aggregate([keys[address] for address in batch.attesters], message, batch.signature):
            return "signature"
        return ""

    def _settle(
        self, item: SettlementItem, proof: tuple[int, ...] | None, root: bytes, index: int
    ) -> dict[str, Any]:
        proof_of_task = proof_of(item)
        if item.task_id in self.settled:
            return _log("TaskSkipped", item.task_id, index, ["string"], ["settled"])
        if proof is not None and (item.task_id in self.unproved or not self._verify(item, proof)):
            return _log("ProofRejected", item.task_id, index, ["bytes32"], [proof_of_task])
        if item.task_id in self.reverting:
            return _log("ActionReverted", item.task_id, index, ["bytes32", "uint256"], [proof_of_task, 1])
        self.settled[item.task_id] = proof_of_task
        self.history.append(item.task_id)
        kinds, values = ["bytes32", "bytes32", "bool", "uint256"], [proof_of_task, root, True, 1]
        return _log("TaskSettled", item.task_id, index, kinds, values)


def _decode(data: bytes) -> _Batch:
    leaves, positions, rows, circuit, proofs, signature, attesters = decode(BATCH_TYPES, data[4:])
    return _Batch(
        leaves=tuple(leaves),
        positions=tuple(positions),
        items=tuple(_item(row, circuit) for row in rows),
        circuit=circuit,
        proofs=tuple(tuple(proof) for proof in proofs),
        signature=signature,
        attesters=tuple(attesters),
    )


def _item(row: Sequence[Any], circuit: int) -> SettlementItem:
    task_id, epoch, performer, output_hash, package_digest, target, call_data, gas_limit, statement = row
    return SettlementItem(
        task_id=task_id,
        epoch=epoch,
        performer=performer,
        output_hash=output_hash,
        package_digest=package_digest,
        target=None if int(target, 16) == 0 else target,
        call_data=call_data,
        gas_limit=gas_limit,
        circuit=circuit,
        statement=statement,
    )


def _log(event: str, task_id: int, index: int, kinds: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    topics = [get_abi("Hub").topic(event), to_hex(task_id.to_bytes(32))]
    return {"topics": topics, "data": to_hex(encode(kinds, values)), "index": index}


def _outbound(request: CallRequest, sender: Sender, nonce: int, now: datetime) -> Outbound:
    return Outbound(
        chain_id=sender.chain_id,
        sender=sender,
        nonce=nonce,
        purpose=request.purpose,
        to=request.to.lower(),
        data=request.data,
        gas_limit=request.gas_limit,
        max_fee_wei=GAS_PRICE_WEI,
        priority_fee_wei=1,
        raw=b"",
        tx_hash=to_hex(keccak(f"{sender.pk}:{nonce}".encode())),
        status=OutboundStatus.SIGNED,
        wake_at=now,
        created_at=now,
        trace_id=request.trace_id or "",
    )

"""What is sent to the hub, and the off-chain twin of what the hub computes from it.

The hashing itself is `apps.kernel.settlement_hash` (keepers use it too); here it is applied to whole
items and batches. Attesters go to the chain in ascending order: the hub refuses any other.
"""

from collections.abc import Sequence
from typing import Final

from eth_abi.abi import encode

from apps.chains.data import ZERO_ADDRESS, SettlementItem
from apps.chains.errors import BatchInvalid
from apps.kernel import settlement_hash
from apps.kernel.bls import SIGNATURE_BYTES
from apps.kernel.hashing import keccak
from apps.kernel.merkle import inclusion_proof, merkle_root

MAX_ITEMS: Final = 64
MAX_ATTESTERS: Final = 64
MAX_CALL_DATA_BYTES: Final = 1024
#: `settled_of` takes this many task ids in one call.
MAX_SETTLED_QUERY: Final = 1024

ITEM_TYPE: Final = "(uint256,uint64,address,bytes32,bytes32,address,bytes,uint256)"
BATCH_SIGNATURE: Final = f"submitBatch({ITEM_TYPE}[],bytes,address[])"
SINGLE_SIGNATURE: Final = "submitTaskValidation(uint256,bytes32,bytes,address[])"
_BATCH_SELECTOR: Final = keccak(BATCH_SIGNATURE.encode())[:4]
_SINGLE_SELECTOR: Final = keccak(SINGLE_SIGNATURE.encode())[:4]

# Measured on the compiled hub (tests/contracts prints the figures); each is rounded up.
_BASE_GAS: Final = 320_000
_ATTESTER_GAS: Final = 9_000
_ITEM_GAS: Final = 42_000
_CALL_DATA_BYTE_GAS: Final = 40
#: The hub keeps this much back before each action (its GAS_RESERVE).
_ACTION_RESERVE_GAS: Final = 62_000


def proof_of(item: SettlementItem) -> bytes:
    """An item's proof of task, action included."""
    return settlement_hash.proof_of_task(
        task_id=item.task_id,
        epoch=item.epoch,
        performer=item.performer,
        output_hash=item.output_hash,
        package_digest=item.package_digest,
        action=settlement_hash.action_hash(item.target, item.call_data, item.gas_limit),
    )


def leaf_of(item: SettlementItem) -> bytes:
    """An item's leaf hash in its batch's tree."""
    return settlement_hash.settlement_leaf(item.task_id, proof_of(item))


def root_of(items: Sequence[SettlementItem]) -> bytes:
    """The root a batch is signed and recorded under."""
    return merkle_root([leaf_of(item) for item in items])


def inclusion_of(items: Sequence[SettlementItem], index: int) -> tuple[bytes, ...]:
    """The audit path of one item of a batch."""
    return inclusion_proof([leaf_of(item) for item in items], index)


def encode_batch(items: Sequence[SettlementItem], signature: bytes, attesters: Sequence[str]) -> bytes:
    """Call data of `submitBatch`; raise BatchInvalid for what the hub would refuse unseen."""
    _require_batch(items, attesters)
    rows = [
        (
            item.task_id,
            item.epoch,
            item.performer,
            item.output_hash,
            item.package_digest,
            item.target or ZERO_ADDRESS,
            item.call_data,
            item.gas_limit,
        )
        for item in items
    ]
    arguments = (rows, _require_signature(signature), sort_attesters(attesters))
    return _BATCH_SELECTOR + encode([f"{ITEM_TYPE}[]", "bytes", "address[]"], arguments)


def encode_task_validation(task_id: int, proof: bytes, signature: bytes, attesters: Sequence[str]) -> bytes:
    """Call data of `submitTaskValidation`; raise BatchInvalid for what the hub would refuse unseen."""
    arguments = (task_id, proof, _require_signature(signature), sort_attesters(attesters))
    return _SINGLE_SELECTOR + encode(["uint256", "bytes32", "bytes", "address[]"], arguments)


def sort_attesters(attesters: Sequence[str]) -> list[str]:
    """Lower case, ascending; raise BatchInvalid for none, too many, or one twice."""
    ordered = sorted({address.lower() for address in attesters})
    if len(ordered) != len(attesters) or not 1 <= len(ordered) <= MAX_ATTESTERS:
        raise BatchInvalid(reason="1 to 64 different attesters are expected")
    return ordered


def compute_gas_limit(items: Sequence[SettlementItem], attester_count: int) -> int:
    """Gas that always suffices for `submitBatch`: verification, each item, and every action's limit.

    The hub refuses the transaction unless each action can have its whole limit (1/64 is kept back).
    """
    actions = [item for item in items if item.target]
    action_gas = sum(item.gas_limit * 64 // 63 + 1 for item in actions)
    data_gas = sum(len(item.call_data) for item in items) * _CALL_DATA_BYTE_GAS
    reserve = _ACTION_RESERVE_GAS if actions else 0
    return (
        _BASE_GAS + _ATTESTER_GAS * attester_count + _ITEM_GAS * len(items) + data_gas + action_gas + reserve
    )


def _require_signature(signature: bytes) -> bytes:
    if len(signature) != SIGNATURE_BYTES:
        raise BatchInvalid(reason=f"a signature has {SIGNATURE_BYTES} bytes", given=len(signature))
    return signature


def _require_batch(items: Sequence[SettlementItem], attesters: Sequence[str]) -> None:
    if not 1 <= len(items) <= MAX_ITEMS:
        raise BatchInvalid(reason=f"1 to {MAX_ITEMS} items are expected", given=len(items))
    if len({item.task_id for item in items}) != len(items):
        raise BatchInvalid(reason="a task is there twice")
    if any(len(item.call_data) > MAX_CALL_DATA_BYTES for item in items):
        raise BatchInvalid(reason=f"call data has at most {MAX_CALL_DATA_BYTES} bytes")
    voters = {address.lower() for address in attesters}
    if any(item.performer.lower() in voters for item in items):
        raise BatchInvalid(reason="a performer is among the attesters")

"""What is sent to the hub, and the off-chain twin of what the hub computes from it.

The hashing itself is `apps.kernel.settlement_hash` (keepers use it too); here it is applied to whole
items and batches. A batch is all leaves of an attested round and the items among them that are settled
now. Attesters go to the chain in ascending order: the hub refuses any other.
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
#: What a transaction can have on the local node: its block's gas limit.
BATCH_GAS_MAX: Final = 30_000_000
#: So many items with proofs always fit into that, should each proof have to be checked for itself, where no
#: action asks for more than 200,000 gas. `count_fitting` is exact.
MAX_PROOFS: Final = 48
MAX_ATTESTERS: Final = 64
MAX_CALL_DATA_BYTES: Final = 1024
#: `settled_of` takes this many task ids in one call.
MAX_SETTLED_QUERY: Final = 1024

#: Eight words: A (x, y), B (x imaginary, x real, y imaginary, y real), C (x, y).
ProofWords = tuple[int, int, int, int, int, int, int, int]
NO_PROOF: Final[ProofWords] = (0, 0, 0, 0, 0, 0, 0, 0)

ITEM_TYPE: Final = "(uint256,uint64,address,bytes32,bytes32,address,bytes,uint256,uint256)"
BATCH_TYPES: Final = (
    "bytes32[]",
    "uint256[]",
    f"{ITEM_TYPE}[]",
    "uint256",
    "uint256[8][]",
    "bytes",
    "address[]",
)
SINGLE_TYPES: Final = (
    "uint256",
    "bytes32",
    "bytes",
    "address[]",
    "bytes32",
    "uint256",
    "uint256",
    "uint256[8]",
)
_BATCH_SELECTOR: Final = keccak(f"submitBatch({','.join(BATCH_TYPES)})".encode())[:4]
_SINGLE_SELECTOR: Final = keccak(f"submitTaskValidation({','.join(SINGLE_TYPES)})".encode())[:4]

# Measured on the compiled hub (tests/contracts prints the figures); each is rounded up.
_BASE_GAS: Final = 360_000
_ATTESTER_GAS: Final = 9_000
_LEAF_GAS: Final = 1_500
_ITEM_GAS: Final = 44_000
_CALL_DATA_BYTE_GAS: Final = 40
# What the hub wants to have for a check (its VERIFY_… constants), with the proof's own bytes.
_VERIFY_GAS: Final = 215_000
_VERIFY_BATCH_GAS: Final = 215_000
_VERIFY_BATCH_PROOF_GAS: Final = 62_000
#: The hub keeps this much back before each action and each check (its GAS_RESERVE).
_RESERVE_GAS: Final = 62_000


def proof_of(item: SettlementItem) -> bytes:
    """An item's proof of task, action included."""
    return settlement_hash.proof_of_task(
        task_id=item.task_id,
        epoch=item.epoch,
        performer=item.performer,
        output_hash=item.output_hash,
        package_digest=item.package_digest,
        action=settlement_hash.action_hash(item.target, item.call_data, item.gas_limit),
        circuit=item.circuit,
        statement=item.statement,
    )


def leaf_of(item: SettlementItem) -> bytes:
    """An item's leaf hash in its batch's tree."""
    return settlement_hash.settlement_leaf(item.task_id, proof_of(item))


def root_of(items: Sequence[SettlementItem]) -> bytes:
    """The root of a round: what its attesters sign, whichever part is settled when."""
    return merkle_root([leaf_of(item) for item in items])


def inclusion_of(items: Sequence[SettlementItem], index: int) -> tuple[bytes, ...]:
    """The audit path of one item of a round."""
    return inclusion_proof([leaf_of(item) for item in items], index)


def encode_batch(
    leaves: Sequence[bytes],
    positions: Sequence[int],
    items: Sequence[SettlementItem],
    circuit: int,
    proofs: Sequence[ProofWords],
    signature: bytes,
    attesters: Sequence[str],
) -> bytes:
    """Call data of `submitBatch`: `items[i]` is `leaves[positions[i]]` and proved by `proofs[i]`.

    `leaves` are the whole round's, in order; `proofs` is empty for circuit 0. Raises BatchInvalid for what
    the hub would refuse unseen.
    """
    _require_items(items, attesters)
    _require_places(leaves, positions, items)
    _require_proofs(items, circuit, proofs)
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
            item.statement,
        )
        for item in items
    ]
    voters = sort_attesters(attesters)
    arguments = (leaves, positions, rows, circuit, proofs, _require_signature(signature), voters)
    return _BATCH_SELECTOR + encode(BATCH_TYPES, arguments)


def encode_task_validation(
    task_id: int,
    result_hash: bytes,
    signature: bytes,
    attesters: Sequence[str],
    *,
    circuit: int = 0,
    statement: int = 0,
    proof: ProofWords = NO_PROOF,
) -> bytes:
    """Call data of `submitTaskValidation`; raise BatchInvalid for what the hub would refuse unseen.

    The signature is over the leaf of the task and `bind_statement(result_hash, …)`.
    """
    if circuit:
        _require_words(proof)
    elif proof != NO_PROOF:
        raise BatchInvalid(reason="a proof needs a circuit")
    arguments = (
        task_id,
        settlement_hash.bind_statement(result_hash, circuit=circuit, statement=statement),
        _require_signature(signature),
        sort_attesters(attesters),
        result_hash,
        circuit,
        statement,
        proof,
    )
    return _SINGLE_SELECTOR + encode(SINGLE_TYPES, arguments)


def sort_attesters(attesters: Sequence[str]) -> list[str]:
    """Lower case, ascending; raise BatchInvalid for none, too many, or one twice."""
    ordered = sorted({address.lower() for address in attesters})
    if len(ordered) != len(attesters) or not 1 <= len(ordered) <= MAX_ATTESTERS:
        raise BatchInvalid(reason="1 to 64 different attesters are expected")
    return ordered


def compute_gas_limit(items: Sequence[SettlementItem], attester_count: int, leaf_count: int) -> int:
    """Gas that always suffices for `submitBatch`: the quorum, each item, each proof, every action's limit.

    The worst case of proofs is the equation over all of them saying no and each being checked for itself.
    The hub refuses the transaction unless each check and each action can have its whole limit (1/64 is
    kept back).
    """
    actions = [item for item in items if item.target]
    proved = sum(item.circuit != 0 for item in items)
    action_gas = sum(item.gas_limit * 64 // 63 + 1 for item in actions)
    data_gas = sum(len(item.call_data) for item in items) * _CALL_DATA_BYTE_GAS
    proof_gas = proved * _VERIFY_GAS
    if proved > 1:
        proof_gas += _VERIFY_BATCH_GAS + proved * _VERIFY_BATCH_PROOF_GAS
    fixed = _BASE_GAS + _ATTESTER_GAS * attester_count + _LEAF_GAS * leaf_count
    reserve = _RESERVE_GAS if actions or proved else 0
    return fixed + _ITEM_GAS * len(items) + data_gas + action_gas + proof_gas + reserve


def count_fitting(items: Sequence[SettlementItem], attester_count: int, leaf_count: int) -> int:
    """How many of the items, from the first, one transaction has gas for: at most all, at least one."""
    counts = range(len(items), 1, -1)
    limits = ((count, compute_gas_limit(items[:count], attester_count, leaf_count)) for count in counts)
    return next((count for count, limit in limits if limit <= BATCH_GAS_MAX), 1)


def _require_signature(signature: bytes) -> bytes:
    if len(signature) != SIGNATURE_BYTES:
        raise BatchInvalid(reason=f"a signature has {SIGNATURE_BYTES} bytes", given=len(signature))
    return signature


def _require_items(items: Sequence[SettlementItem], attesters: Sequence[str]) -> None:
    if not 1 <= len(items) <= MAX_ITEMS:
        raise BatchInvalid(reason=f"1 to {MAX_ITEMS} items are expected", given=len(items))
    if len({item.task_id for item in items}) != len(items):
        raise BatchInvalid(reason="a task is there twice")
    if any(len(item.call_data) > MAX_CALL_DATA_BYTES for item in items):
        raise BatchInvalid(reason=f"call data has at most {MAX_CALL_DATA_BYTES} bytes")
    voters = {address.lower() for address in attesters}
    if any(item.performer.lower() in voters for item in items):
        raise BatchInvalid(reason="a performer is among the attesters")


def _require_places(
    leaves: Sequence[bytes], positions: Sequence[int], items: Sequence[SettlementItem]
) -> None:
    if not 1 <= len(leaves) <= MAX_ITEMS:
        raise BatchInvalid(reason=f"1 to {MAX_ITEMS} leaves are expected", given=len(leaves))
    if len(positions) != len(items):
        raise BatchInvalid(reason="one position for each item is expected", given=len(positions))
    for position, item in zip(positions, items, strict=True):
        if not 0 <= position < len(leaves) or leaves[position] != leaf_of(item):
            raise BatchInvalid(reason="an item is not the leaf of its position", position=position)


def _require_proofs(items: Sequence[SettlementItem], circuit: int, proofs: Sequence[ProofWords]) -> None:
    if any(item.circuit != circuit for item in items):
        raise BatchInvalid(reason="an item is of another circuit", circuit=circuit)
    if len(proofs) != (len(items) if circuit else 0):
        raise BatchInvalid(reason="one proof for each item of a circuit is expected", given=len(proofs))
    for proof in proofs:
        _require_words(proof)


def _require_words(proof: Sequence[int]) -> None:
    if len(proof) != len(NO_PROOF) or not all(0 <= word < 2**256 for word in proof):
        raise BatchInvalid(reason="a proof is eight words of 32 bytes")

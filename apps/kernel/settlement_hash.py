"""What the hub hashes, hashed the same way here: proof of task, leaf, and the message attesters sign.

Every field is one 32-byte word, so no two different settlements share an encoding. Keepers sign
`settlement_message(...)`, which binds the batch's root to one chain and one hub.
"""

from typing import Final

from apps.kernel.eip712 import word
from apps.kernel.hashing import keccak
from apps.kernel.merkle import leaf_hash

#: The first word of every message the hub verifies: what the signature is for, and its version.
SETTLE_PURPOSE: Final = keccak(b"forekeep.settle.v1")
NO_ACTION: Final = bytes(32)


def action_hash(target: str | None, call_data: bytes, gas_limit: int) -> bytes:
    """keccak(target ‖ keccak(call data) ‖ gas limit) as words; the zero word where there is no target."""
    if target is None or int(target, 16) == 0:
        return NO_ACTION
    return keccak(word(target) + keccak(call_data) + word(gas_limit))


def proof_of_task(
    *,
    task_id: int,
    epoch: int,
    performer: str,
    output_hash: bytes,
    package_digest: bytes,
    action: bytes = NO_ACTION,
    circuit: int = 0,
    statement: int = 0,
) -> bytes:
    """The result's hash, bound to the statement that is proved of it where one is.

    keccak(result hash ‖ circuit ‖ statement) as words; without a circuit the result hash itself.
    """
    result = result_hash(
        task_id=task_id,
        epoch=epoch,
        performer=performer,
        output_hash=output_hash,
        package_digest=package_digest,
        action=action,
    )
    return bind_statement(result, circuit=circuit, statement=statement)


def result_hash(
    *,
    task_id: int,
    epoch: int,
    performer: str,
    output_hash: bytes,
    package_digest: bytes,
    action: bytes = NO_ACTION,
) -> bytes:
    """keccak(task id ‖ epoch ‖ performer ‖ output hash ‖ package digest ‖ action hash) as words."""
    return keccak(
        word(task_id)
        + word(epoch)
        + word(performer)
        + word(output_hash)
        + word(package_digest)
        + word(action)
    )


def bind_statement(result: bytes, *, circuit: int, statement: int) -> bytes:
    """The proof of task of a result hash and the statement proved of it (circuit 0: there is none)."""
    return keccak(word(result) + word(circuit) + word(statement)) if circuit else result


def settlement_leaf(task_id: int, proof: bytes) -> bytes:
    """The leaf hash of one settled task: keccak(0x00 ‖ task id ‖ proof of task)."""
    return leaf_hash(word(task_id) + word(proof))


def settlement_message(*, chain_id: int, hub: str, root: bytes) -> bytes:
    """The 32 bytes attesters sign: keccak(purpose ‖ chain id ‖ hub ‖ root) as words."""
    return keccak(SETTLE_PURPOSE + word(chain_id) + word(hub) + word(root))

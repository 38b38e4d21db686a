"""Values of the chains app: what is read from a chain, and what is sent to one.

Addresses and hashes are lower-case `0x…` text, amounts are wei, gas is gas.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from apps.kernel.amounts import WEI_PER_UNIT
from apps.kernel.eip712 import TypedDomain
from apps.kernel.transitions import TransitionTable

ZERO_ADDRESS: Final = "0x" + "00" * 20


class OutboundStatus(StrEnum):
    """Where one of our transactions stands."""

    #: signed and stored; to be sent, or to be sent again
    SIGNED = "signed"
    #: a node took it; no block has it yet
    BROADCAST = "broadcast"
    #: in a block, not deep enough yet
    MINED = "mined"
    #: in a block k deep whose hash was checked again, and it succeeded
    CONFIRMED = "confirmed"
    #: as confirmed, but it reverted as a whole, or was voided (see `void_reason`)
    FAILED = "failed"
    #: its nonce was used otherwise; it can never be mined
    DROPPED = "dropped"


_S = OutboundStatus

#: A chain may take back what it showed (a reorg, a node restored from an older state), so even a
#: confirmed transaction can become one to send again; only DROPPED is an ending.
OUTBOUND_TABLE: Final = TransitionTable(
    name="outbound",
    moves={
        _S.SIGNED: frozenset({_S.BROADCAST}),
        _S.BROADCAST: frozenset({_S.SIGNED, _S.MINED, _S.DROPPED}),
        _S.MINED: frozenset({_S.SIGNED, _S.CONFIRMED, _S.FAILED}),
        _S.CONFIRMED: frozenset({_S.SIGNED}),
        _S.FAILED: frozenset({_S.SIGNED}),
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedVerifier:
    """The contract that checks one circuit's proofs, and the hash of the key it was made with."""

    circuit: int
    address: str
    vk_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Where this network's contracts are: the content of `deployment.json`.

    `verifiers` are in the order of their circuits, one for each.
    """

    chain_id: int
    hub: str
    registry: str
    escrow: str
    price_board: str
    alarm_board: str
    block: int
    verifiers: tuple[DeployedVerifier, ...] = ()

    def get_verifier(self, circuit: int) -> DeployedVerifier | None:
        """Who checks this circuit's proofs, where anybody does."""
        return next((one for one in self.verifiers if one.circuit == circuit), None)

    @property
    def typed_domain(self) -> TypedDomain:
        """The EIP-712 domain every message of this network is bound to."""
        return TypedDomain(self.chain_id, self.hub)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A read-only call, or one to be tried out: `sender` is msg.sender."""

    to: str
    data: bytes
    sender: str = ZERO_ADDRESS
    value_wei: int = 0
    gas_limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """A transaction somebody wants sent on the deployment's chain."""

    to: str
    data: bytes
    gas_limit: int
    value_wei: int = 0
    purpose: str = ""
    trace_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """What a call would do now. `gas_used` is the node's estimate, where it succeeds and was asked for."""

    is_success: bool
    output: bytes = b""
    reason: str = ""
    gas_used: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block's head facts."""

    number: int
    hash: str
    timestamp: int
    base_fee_wei: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """EIP-1559 prices in wei per gas."""

    max_fee_wei: int
    priority_fee_wei: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """One event of a contract."""

    address: str
    topics: tuple[str, ...]
    data: str
    block_number: int
    block_hash: str
    tx_hash: str
    index: int

    def to_json(self) -> dict[str, Any]:
        """The JSON form kept with a mined transaction."""
        return {"topics": list(self.topics), "data": self.data, "index": self.index}


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a block says of one transaction."""

    tx_hash: str
    block_number: int
    block_hash: str
    is_success: bool
    gas_used: int
    effective_gas_price_wei: int
    contract_address: str | None
    logs: tuple[Log, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HubEvent:
    """A decoded event of one of our contracts: its name, its arguments by name, and its place."""

    name: str
    contract: str
    arguments: Mapping[str, Any]
    tx_hash: str = ""
    block_number: int = 0
    block_hash: str = ""
    index: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperStanding:
    """A keeper as the registry has it."""

    address: str
    stake_wei: int
    is_active: bool
    withdrawable_at: int
    key_hash: bytes
    public_key: bytes

    @property
    def stake_units(self) -> int:
        """The stake in whole units, rounded down: what may be counted on."""
        return self.stake_wei // WEI_PER_UNIT


def project_word(project: UUID) -> bytes:
    """A project's id as the escrow's bytes32: the UUID's 128 bits, left-padded."""
    return project.int.to_bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementItem:
    """One task of a batch, as `submitBatch` takes it. `target` None is a task without an action.

    `circuit` is the number of steps of the circuit that proves `statement` (its public input); 0 where no
    proof is asked for.
    """

    task_id: int
    epoch: int
    performer: str
    output_hash: bytes
    package_digest: bytes
    target: str | None = None
    call_data: bytes = field(default=b"", repr=False)
    gas_limit: int = 0
    circuit: int = 0
    statement: int = 0

# pragma version 0.4.3
# pragma evm-version prague
"""
@title The hub: makes attested tasks final
@notice A task is settled once, and only where a quorum of registered keepers signed the Merkle root its
        leaf is in. Attesters sign keccak(purpose, chain, this hub, root), so a signature is good on no
        other chain and no other hub. The root is the RFC 6962 tree over keccak(0x00 || task id || proof
        of task); apps/kernel/settlement_hash.py and merkle.py are the twins. Where a proof of a statement
        was asked for, the proof of task binds the circuit and the statement, and the proof is checked by
        the circuit's verifier, which the owner names.
"""

import bls

interface Registry:
    def aggregate_of(keepers: DynArray[address, 64]) -> (Bytes[256], uint256): view

interface Verifier:
    def verify(proof: uint256[8], publicInput: uint256) -> bool: view
    def verify_batch(
        proofs: DynArray[uint256[8], 64], publicInputs: DynArray[uint256, 64]
    ) -> bool: view

struct Settlement:
    taskId: uint256
    epoch: uint64
    performer: address
    outputHash: bytes32
    packageDigest: bytes32
    target: address
    callData: Bytes[1024]
    gasLimit: uint256
    statement: uint256

event TaskSettled:
    taskId: indexed(uint256)
    proofOfTask: bytes32
    root: bytes32
    success: bool
    gasUsed: uint256

event TaskSkipped:
    taskId: indexed(uint256)
    reason: String[16]

event ActionReverted:
    taskId: indexed(uint256)
    proofOfTask: bytes32
    gasUsed: uint256

event ProofRejected:
    taskId: indexed(uint256)
    proofOfTask: bytes32

event BatchSettled:
    root: indexed(bytes32)
    size: uint256
    attesters: uint256

event SubmitterSet:
    submitter: indexed(address)
    isAllowed: bool

event CommitteeSizeSet:
    size: uint256

event VerifierSet:
    circuit: indexed(uint256)
    verifier: indexed(address)

event ProofsRequiredSet:
    isRequired: bool

event OwnerSet:
    owner: indexed(address)

MAX_ITEMS: constant(uint256) = 64
MAX_ATTESTERS: constant(uint256) = 64
MIN_COMMITTEE: constant(uint256) = 4
# What the hub itself needs around an action or a check: encoding the call, then the event, the storage
# write and the next item's head.
GAS_RESERVE: constant(uint256) = 60_000
# What a verifier takes at most, whatever it is given; it is called with no less.
VERIFY_GAS: constant(uint256) = 215_000
VERIFY_BATCH_GAS: constant(uint256) = 200_000
VERIFY_BATCH_PROOF_GAS: constant(uint256) = 54_000

PURPOSE: immutable(bytes32)
registry: public(immutable(address))

owner: public(address)
submitters: public(HashMap[address, bool])
committee_size: public(uint256)
proofs_required: public(bool)
verifiers: public(HashMap[uint256, address])
settled: public(HashMap[uint256, bytes32])
batch_block: public(HashMap[bytes32, uint256])


@deploy
def __init__(registryAddress: address, committeeSize: uint256):
    PURPOSE = keccak256("forekeep.settle.v1")
    registry = registryAddress
    self.owner = msg.sender
    self._set_committee_size(committeeSize)
    log OwnerSet(owner=msg.sender)


@external
@nonreentrant
def submitTaskValidation(
    taskId: uint256,
    proofOfTask: bytes32,
    aggregatedSignature: Bytes[128],
    attesters: DynArray[address, MAX_ATTESTERS],
    resultHash: bytes32,
    circuit: uint256,
    statement: uint256,
    proof: uint256[8],
):
    """
    @notice Settle one task without an action. Refused: not an allowed submitter ("submitter"), no proof of
            task, or no circuit where proofs are required ("proof"), settled before ("settled"), a proof of
            task that is not that of the result and the statement ("statement"), a circuit without a
            verifier ("verifier"), attesters that are too few ("quorum"), strangers or not ascending
            ("attesters"), a signature that is not theirs over this very task ("signature"), too little gas
            to check the proof ("gas"), a proof that is not the statement's ("rejected"). Whether the
            performer is among the attesters is not seen here: the result is only a hash.
    """
    assert self.submitters[msg.sender], "submitter"
    assert proofOfTask != empty(bytes32), "proof"
    assert self.settled[taskId] == empty(bytes32), "settled"
    assert proofOfTask == self._bound(resultHash, circuit, statement), "statement"
    verifier: address = self._verifier_of(circuit)
    root: bytes32 = self._leaf(taskId, proofOfTask)
    self._require_quorum(root, aggregatedSignature, attesters)
    if circuit != 0:
        assert self._is_proved(verifier, proof, statement), "rejected"

    self.settled[taskId] = proofOfTask
    self.batch_block[root] = block.number
    log BatchSettled(root=root, size=1, attesters=len(attesters))
    log TaskSettled(taskId=taskId, proofOfTask=proofOfTask, root=root, success=True, gasUsed=0)


@external
@nonreentrant
def submitBatch(
    leaves: DynArray[bytes32, MAX_ITEMS],
    positions: DynArray[uint256, MAX_ITEMS],
    items: DynArray[Settlement, MAX_ITEMS],
    circuit: uint256,
    proofs: DynArray[uint256[8], MAX_ITEMS],
    aggregatedSignature: Bytes[128],
    attesters: DynArray[address, MAX_ATTESTERS],
):
    """
    @notice Settle some or all tasks of one attested round, carrying out each one's action. `leaves` are the
            whole round's, in order; the quorum signed their root. Item i is leaf positions[i]; the other
            leaves can be settled by later calls. All items are of one circuit (0: no proof was asked for),
            with a proof each. An item settled before is skipped, one whose proof is wrong, or whose action
            reverts (or whose target is no contract, the hub or the registry), stays open; none stops the
            others. Refused as a whole, in this order: "submitter"; no item ("empty"); not one position for
            each ("positions"); no circuit where proofs are required ("proof"); a circuit without a verifier
            ("verifier"); not one proof for each ("proofs"); a performer among the attesters ("performer");
            an item that is not the leaf of its position ("leaf"); what is wrong with the quorum
            ("attesters", "committee", "quorum", "signature"); and, at any item, gas that does not cover a
            check or an action's limit ("gas").
    """
    assert self.submitters[msg.sender], "submitter"
    assert len(items) > 0, "empty"
    assert len(positions) == len(items), "positions"
    verifier: address = self._verifier_of(circuit)
    assert len(proofs) == (0 if circuit == 0 else len(items)), "proofs"

    bound: DynArray[bytes32, MAX_ITEMS] = []
    statements: DynArray[uint256, MAX_ITEMS] = []
    checked: address = empty(address)
    at: uint256 = 0
    for item: Settlement in items:
        if item.performer != checked:
            assert item.performer not in attesters, "performer"
            checked = item.performer
        proof_of_task: bytes32 = self._proof_of_task(item, circuit)
        assert positions[at] < len(leaves), "leaf"
        assert leaves[positions[at]] == self._leaf(item.taskId, proof_of_task), "leaf"
        bound.append(proof_of_task)
        statements.append(item.statement)
        at += 1
    root: bytes32 = self._merkle_root(leaves)
    self._require_quorum(root, aggregatedSignature, attesters)

    # One equation says that all are right, or only that one is not: then each is asked for itself.
    are_proved: bool = circuit == 0
    if len(proofs) > 1:
        needed: uint256 = VERIFY_BATCH_GAS + VERIFY_BATCH_PROOF_GAS * len(proofs)
        self._require_gas(needed)
        are_proved = staticcall Verifier(verifier).verify_batch(proofs, statements)

    self.batch_block[root] = block.number
    log BatchSettled(root=root, size=len(items), attesters=len(attesters))
    at = 0
    for item: Settlement in items:
        if self.settled[item.taskId] != empty(bytes32):
            log TaskSkipped(taskId=item.taskId, reason="settled")
        elif are_proved or self._is_proved(verifier, proofs[at], item.statement):
            self._settle(item, bound[at], root)
        else:
            log ProofRejected(taskId=item.taskId, proofOfTask=bound[at])
        at += 1


@external
def set_submitter(submitter: address, isAllowed: bool):
    """
    @notice Allow or forbid an address to submit. It cannot forge a quorum; it can only pay for one.
    """
    assert msg.sender == self.owner, "owner"
    self.submitters[submitter] = isAllowed
    log SubmitterSet(submitter=submitter, isAllowed=isAllowed)


@external
def set_committee_size(size: uint256):
    """
    @notice The committee's size N where enough keepers are active; at least 4.
    """
    assert msg.sender == self.owner, "owner"
    self._set_committee_size(size)


@external
def set_verifier(circuit: uint256, verifier: address):
    """
    @notice Name the contract that checks a circuit's proofs, as Verifier.vy does; the zero address for none.
    """
    assert msg.sender == self.owner, "owner"
    assert circuit != 0, "circuit"
    assert verifier == empty(address) or verifier.is_contract, "verifier"
    self.verifiers[circuit] = verifier
    log VerifierSet(circuit=circuit, verifier=verifier)


@external
def set_proofs_required(isRequired: bool):
    """
    @notice Whether a task is settled only with a proof of its statement.
    """
    assert msg.sender == self.owner, "owner"
    self.proofs_required = isRequired
    log ProofsRequiredSet(isRequired=isRequired)


@external
def transfer_ownership(newOwner: address):
    """
    @notice Hand the hub over.
    """
    assert msg.sender == self.owner, "owner"
    assert newOwner != empty(address), "owner"
    self.owner = newOwner
    log OwnerSet(owner=newOwner)


@external
@view
def settled_of(taskIds: DynArray[uint256, 1024]) -> DynArray[bytes32, 1024]:
    """
    @notice The proof each task was settled with, in order; the zero word for an open one.
    """
    proofs: DynArray[bytes32, 1024] = []
    for task_id: uint256 in taskIds:
        proofs.append(self.settled[task_id])
    return proofs


@external
@view
def merkle_root(leaves: DynArray[bytes32, MAX_ITEMS]) -> bytes32:
    """
    @notice The root the hub would compute over these leaf hashes.
    """
    assert len(leaves) > 0, "empty"
    return self._merkle_root(leaves)


@external
@view
def settlement_message(root: bytes32) -> bytes32:
    """
    @notice What attesters sign for this root.
    """
    return self._message(root)


@external
@pure
def required_attesters(committeeSize: uint256) -> uint256:
    """
    @notice Two thirds of N, rounded up.
    """
    return self._required(committeeSize)


@internal
def _set_committee_size(size: uint256):
    assert size >= MIN_COMMITTEE and size <= MAX_ATTESTERS, "committee"
    self.committee_size = size
    log CommitteeSizeSet(size=size)


@internal
@view
def _require_quorum(
    root: bytes32, signature: Bytes[128], attesters: DynArray[address, MAX_ATTESTERS]
):
    assert len(signature) == 128, "signature"
    key: Bytes[256] = b""
    active: uint256 = 0
    key, active = staticcall Registry(registry).aggregate_of(attesters)
    # The performer, one active keeper, is never in the committee.
    committee: uint256 = min(self.committee_size, max(active, 1) - 1)
    assert committee >= MIN_COMMITTEE, "committee"
    assert len(attesters) >= self._required(committee), "quorum"
    assert keccak256(key) != bls.IDENTITY_HASH, "signature"
    assert bls._is_signed(key, self._message(root), bls.SIGNATURE_DOMAIN, signature), "signature"


@internal
@view
def _verifier_of(circuit: uint256) -> address:
    """
    @notice Who checks this circuit's proofs; nobody for circuit 0.
    """
    if circuit == 0:
        assert not self.proofs_required, "proof"
        return empty(address)
    verifier: address = self.verifiers[circuit]
    assert verifier != empty(address), "verifier"
    return verifier


@internal
@view
def _is_proved(verifier: address, proof: uint256[8], statement: uint256) -> bool:
    self._require_gas(VERIFY_GAS)
    return staticcall Verifier(verifier).verify(proof, statement)


@internal
@view
def _require_gas(needed: uint256):
    """
    @notice EIP-150 keeps back 1/64: without this a call could be starved, and an action look reverted or a
            proof wrong.
    """
    assert msg.gas > needed * 64 // 63 + GAS_RESERVE, "gas"


@internal
def _settle(item: Settlement, proof: bytes32, root: bytes32):
    if item.target == empty(address):
        self.settled[item.taskId] = proof
        log TaskSettled(taskId=item.taskId, proofOfTask=proof, root=root, success=True, gasUsed=0)
        return
    if item.target == self or item.target == registry or not item.target.is_contract:
        log ActionReverted(taskId=item.taskId, proofOfTask=proof, gasUsed=0)
        return

    self._require_gas(item.gasLimit)
    before: uint256 = msg.gas
    success: bool = raw_call(item.target, item.callData, gas=item.gasLimit, revert_on_failure=False)
    used: uint256 = before - msg.gas
    if success:
        self.settled[item.taskId] = proof
        log TaskSettled(taskId=item.taskId, proofOfTask=proof, root=root, success=True, gasUsed=used)
    else:
        log ActionReverted(taskId=item.taskId, proofOfTask=proof, gasUsed=used)


@internal
@view
def _proof_of_task(item: Settlement, circuit: uint256) -> bytes32:
    action: bytes32 = empty(bytes32)
    if item.target != empty(address):
        action = keccak256(abi_encode(item.target, keccak256(item.callData), item.gasLimit))
    result: bytes32 = keccak256(
        abi_encode(
            item.taskId, item.epoch, item.performer, item.outputHash, item.packageDigest, action
        )
    )
    return self._bound(result, circuit, item.statement)


@internal
@pure
def _bound(result: bytes32, circuit: uint256, statement: uint256) -> bytes32:
    """
    @notice The proof of task of a result and the statement that is proved of it, where one is.
    """
    if circuit == 0:
        return result
    return keccak256(abi_encode(result, circuit, statement))


@internal
@pure
def _leaf(taskId: uint256, proof: bytes32) -> bytes32:
    return keccak256(concat(x"00", convert(taskId, bytes32), proof))


@internal
@pure
def _merkle_root(leaves: DynArray[bytes32, MAX_ITEMS]) -> bytes32:
    """
    @notice Level by level; a lone last node is carried upward, which is RFC 6962's split.
    """
    level: DynArray[bytes32, MAX_ITEMS] = leaves
    size: uint256 = len(level)
    for depth: uint256 in range(6):
        if size == 1:
            break
        half: uint256 = size // 2
        for i: uint256 in range(half, bound=32):
            level[i] = keccak256(concat(x"01", level[2 * i], level[2 * i + 1]))
        if size % 2 == 1:
            level[half] = level[size - 1]
            half += 1
        size = half
    return level[0]


@internal
@view
def _message(root: bytes32) -> bytes32:
    return keccak256(abi_encode(PURPOSE, chain.id, self, root))


@internal
@pure
def _required(committee: uint256) -> uint256:
    return (2 * committee + 2) // 3

# pragma version 0.4.3
# pragma evm-version prague
"""
@title The keepers: stake, BLS public key, standing
@notice A keeper registers itself with its stake and a proof that it holds its BLS key's secret, checked
        here. A key is kept as a data contract (one cold code read, 2.6k gas, instead of eight slots).
        Leaving takes a request and a cool-down; from the request on the keeper counts no more.
"""

import bls

struct KeeperState:
    stake: uint256
    withdrawableAt: uint256
    isActive: bool
    keyHash: bytes32

event KeeperRegistered:
    keeper: indexed(address)
    keyHash: bytes32
    stake: uint256

event StakeAdded:
    keeper: indexed(address)
    amount: uint256

event WithdrawRequested:
    keeper: indexed(address)
    withdrawableAt: uint256

event StakeWithdrawn:
    keeper: indexed(address)
    amount: uint256

KEY_BYTES: constant(uint256) = 256
MAX_SET: constant(uint256) = 64
# PUSH4 257, DUP1, PUSH1 14, PUSH1 0, CODECOPY, PUSH1 0, RETURN: deploys the 257 bytes that follow.
STORE_PREFIX: constant(Bytes[14]) = x"630000010180600e6000396000f3"

min_stake: public(immutable(uint256))
cooldown_seconds: public(immutable(uint256))

active_count: public(uint256)
stake_of: public(HashMap[address, uint256])
withdrawable_at: public(HashMap[address, uint256])
key_owner: public(HashMap[bytes32, address])
# Where an active keeper's key is kept; empty for everybody else.
active_key_store: HashMap[address, address]


@deploy
def __init__(minStake: uint256, cooldownSeconds: uint256):
    min_stake = minStake
    cooldown_seconds = cooldownSeconds


@external
@payable
def register(blsKey: Bytes[256], possessionProof: Bytes[128]):
    """
    @notice Join with a stake. Refused: too small a stake ("stake"), already registered ("registered"), a
            key of another keeper ("key taken"), a bad or identity key or proof ("possession").
    """
    assert msg.value >= min_stake, "stake"
    assert self.stake_of[msg.sender] == 0, "registered"
    assert len(blsKey) == KEY_BYTES and len(possessionProof) == 128, "possession"
    key_hash: bytes32 = keccak256(blsKey)
    assert key_hash != bls.IDENTITY_HASH, "possession"
    holder: address = self.key_owner[key_hash]
    assert holder == empty(address) or holder == msg.sender, "key taken"
    message: bytes32 = keccak256(concat(key_hash, convert(msg.sender, bytes32)))
    assert bls._is_signed(blsKey, message, bls.POSSESSION_DOMAIN, possessionProof), "possession"

    self.key_owner[key_hash] = msg.sender
    self.stake_of[msg.sender] = msg.value
    self.active_key_store[msg.sender] = raw_create(concat(STORE_PREFIX, x"00", blsKey))
    self.active_count += 1
    log KeeperRegistered(keeper=msg.sender, keyHash=key_hash, stake=msg.value)


@external
@payable
def add_stake():
    """
    @notice Raise the stake of an active keeper.
    """
    assert self.active_key_store[msg.sender] != empty(address), "not active"
    self.stake_of[msg.sender] += msg.value
    log StakeAdded(keeper=msg.sender, amount=msg.value)


@external
def request_withdraw():
    """
    @notice Leave: from now on this keeper attests nothing; its stake is free after the cool-down.
    """
    assert self.active_key_store[msg.sender] != empty(address), "not active"
    self.active_key_store[msg.sender] = empty(address)
    self.active_count -= 1
    at: uint256 = block.timestamp + cooldown_seconds
    self.withdrawable_at[msg.sender] = at
    log WithdrawRequested(keeper=msg.sender, withdrawableAt=at)


@external
@nonreentrant
def withdraw():
    """
    @notice Take the stake out once the cool-down is over; the keeper may register again afterwards.
    """
    at: uint256 = self.withdrawable_at[msg.sender]
    assert at != 0, "not requested"
    assert block.timestamp >= at, "cool-down"
    amount: uint256 = self.stake_of[msg.sender]
    self.stake_of[msg.sender] = 0
    self.withdrawable_at[msg.sender] = 0
    raw_call(msg.sender, b"", value=amount)
    log StakeWithdrawn(keeper=msg.sender, amount=amount)


@external
@view
def aggregate_of(keepers: DynArray[address, MAX_SET]) -> (Bytes[256], uint256):
    """
    @notice The sum of these keepers' keys, and how many keepers are active in all. The addresses must
            ascend strictly (so none is twice) and each must be active, else "attesters".
    """
    assert len(keepers) > 0, "attesters"
    total: Bytes[256] = b""
    last: address = empty(address)
    for keeper: address in keepers:
        assert convert(keeper, uint160) > convert(last, uint160), "attesters"
        last = keeper
        store: address = self.active_key_store[keeper]
        assert store != empty(address), "attesters"
        key: Bytes[256] = slice(store.code, 1, 256)
        if len(total) == 0:
            total = key
        else:
            total = bls._add_keys(total, key)
    return total, self.active_count


@external
@view
def keys_of(keepers: DynArray[address, MAX_SET]) -> DynArray[Bytes[256], MAX_SET]:
    """
    @notice The keys of active keepers, in order; empty bytes for any other address.
    """
    keys: DynArray[Bytes[256], MAX_SET] = []
    for keeper: address in keepers:
        store: address = self.active_key_store[keeper]
        if store == empty(address):
            keys.append(b"")
        else:
            keys.append(slice(store.code, 1, 256))
    return keys


@external
@view
def keepers_of(keepers: DynArray[address, MAX_SET]) -> DynArray[KeeperState, MAX_SET]:
    """
    @notice Stake, withdrawal and standing of each address, in order; zeros for a stranger.
    """
    states: DynArray[KeeperState, MAX_SET] = []
    for keeper: address in keepers:
        store: address = self.active_key_store[keeper]
        is_active: bool = store != empty(address)
        key_hash: bytes32 = empty(bytes32)
        if is_active:
            key_hash = keccak256(slice(store.code, 1, 256))
        states.append(
            KeeperState(
                stake=self.stake_of[keeper],
                withdrawableAt=self.withdrawable_at[keeper],
                isActive=is_active,
                keyHash=key_hash,
            )
        )
    return states

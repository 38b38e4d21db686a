# pragma version 0.4.3
# pragma evm-version prague
"""
@title The verifier of one circuit's Groth16 proofs over BN254, with one public input
@notice A proof is (A, B, C) as eight words, A and C as x, y, B as x imaginary, x real, y imaginary, y
        real (EIP-197). Whatever is no valid proof of the input gives false and no revert: coordinates
        that are no point, an input that is not below the order r (x and x + r would be the same to the
        equation), a proof of something else. The key is fixed at deployment; vk_hash is its identity,
        keccak over its words, as apps/proofs/data.py computes it.
"""

P: constant(uint256) = 21888242871839275222246405745257275088696311157297823662689037894645226208583
R: constant(uint256) = 21888242871839275222246405745257275088548364400416034343698204186575808495617
MAX_PROOFS: constant(uint256) = 64
MUL: constant(address) = 0x0000000000000000000000000000000000000007
PAIRING: constant(address) = 0x0000000000000000000000000000000000000008
# EIP-1108.
MUL_GAS: constant(uint256) = 6_000
PAIRING_GAS: constant(uint256) = 45_000
PAIR_GAS: constant(uint256) = 34_000
# What is needed after the pairing to say what came of it.
GAS_RESERVE: constant(uint256) = 5_000

# alpha (2 words), beta, gamma, delta (4 each), the points of the constant and of the input (2 each)
KEY: immutable(uint256[18])
vk_hash: public(immutable(bytes32))


@deploy
def __init__(key: uint256[18]):
    """
    @notice Refused where a point of the key is none of its group ("key").
    """
    points: DynArray[uint256[6], MAX_PROOFS + 3] = []
    for at: uint256 in [2, 6, 10]:
        for y: uint256 in [2, P - 2]:
            points.append([1, y, key[at], key[at + 1], key[at + 2], key[at + 3]])
    assert self._is_product_one(points), "key"
    for at: uint256 in [0, 14, 16]:
        is_point: bool = False
        point: uint256[2] = [0, 0]
        is_point, point = self._mul([key[at], key[at + 1]], 1)
        assert is_point, "key"
    KEY = key
    vk_hash = keccak256(abi_encode(key))


@external
@view
def verify(proof: uint256[8], publicInput: uint256) -> bool:
    """
    @notice Whether this proves the statement with this public input. Takes about 200,000 gas; with too
            little left to find out it reverts ("gas") rather than answer false.
    """
    if not self._is_in_range(proof, publicInput):
        return False
    inputs: uint256[2] = ecadd([KEY[14], KEY[15]], ecmul([KEY[16], KEY[17]], publicInput))
    return self._is_product_one(
        [
            [proof[0], (P - proof[1]) % P, proof[2], proof[3], proof[4], proof[5]],
            [KEY[0], KEY[1], KEY[2], KEY[3], KEY[4], KEY[5]],
            [inputs[0], inputs[1], KEY[6], KEY[7], KEY[8], KEY[9]],
            [proof[6], proof[7], KEY[10], KEY[11], KEY[12], KEY[13]],
        ]
    )


@external
@view
def verify_batch(
    proofs: DynArray[uint256[8], MAX_PROOFS], publicInputs: DynArray[uint256, MAX_PROOFS]
) -> bool:
    """
    @notice Whether every proof proves its input: one equation over all of them, each weighted by a number
            that depends on all of them, so that no two wrong ones can cancel out. About 54,000 gas a
            proof and 190,000 at once. False says that some proof is wrong, not which.
    """
    assert len(proofs) == len(publicInputs), "length"
    seed: bytes32 = keccak256(abi_encode(proofs, publicInputs))
    points: DynArray[uint256[6], MAX_PROOFS + 3] = []
    weights: uint256 = 0
    weighted: uint256 = 0
    c: uint256[2] = [0, 0]
    for at: uint256 in range(len(proofs), bound=MAX_PROOFS):
        proof: uint256[8] = proofs[at]
        if not self._is_in_range(proof, publicInputs[at]):
            return False
        weight: uint256 = convert(keccak256(abi_encode(seed, at)), uint256) >> 128
        is_a: bool = False
        is_c: bool = False
        a_part: uint256[2] = [0, 0]
        c_part: uint256[2] = [0, 0]
        is_a, a_part = self._mul([proof[0], (P - proof[1]) % P], weight)
        is_c, c_part = self._mul([proof[6], proof[7]], weight)
        if not (is_a and is_c):
            return False
        points.append([a_part[0], a_part[1], proof[2], proof[3], proof[4], proof[5]])
        c = ecadd(c, c_part)
        weights += weight
        weighted = uint256_addmod(weighted, uint256_mulmod(weight, publicInputs[at], R), R)

    alpha: uint256[2] = ecmul([KEY[0], KEY[1]], weights)
    inputs: uint256[2] = ecadd(
        ecmul([KEY[14], KEY[15]], weights), ecmul([KEY[16], KEY[17]], weighted)
    )
    points.append([alpha[0], alpha[1], KEY[2], KEY[3], KEY[4], KEY[5]])
    points.append([inputs[0], inputs[1], KEY[6], KEY[7], KEY[8], KEY[9]])
    points.append([c[0], c[1], KEY[10], KEY[11], KEY[12], KEY[13]])
    return self._is_product_one(points)


@internal
@pure
def _is_in_range(proof: uint256[8], publicInput: uint256) -> bool:
    if publicInput >= R:
        return False
    for word: uint256 in proof:
        if word >= P:
            return False
    return True


@internal
@view
def _mul(point: uint256[2], scalar: uint256) -> (bool, uint256[2]):
    """
    @notice Whether the point is one, and its multiple.
    """
    is_point: bool = False
    output: Bytes[64] = b""
    is_point, output = raw_call(
        MUL,
        abi_encode(point, scalar),
        max_outsize=64,
        gas=MUL_GAS,
        is_static_call=True,
        revert_on_failure=False,
    )
    if not is_point or len(output) != 64:
        return False, [0, 0]
    return True, abi_decode(output, uint256[2])


@internal
@view
def _is_product_one(points: DynArray[uint256[6], MAX_PROOFS + 3]) -> bool:
    """
    @notice Whether the pairings of these pairs (x, y of G1, then four words of G2) multiply to one.
    """
    needed: uint256 = PAIRING_GAS + PAIR_GAS * len(points)
    # EIP-150 keeps back 1/64: without this a call with little gas would look like a wrong proof.
    assert msg.gas > needed * 64 // 63 + GAS_RESERVE, "gas"
    # offset and length come before the elements
    encoded: Bytes[12928] = abi_encode(points)
    success: bool = False
    output: Bytes[32] = b""
    success, output = raw_call(
        PAIRING,
        slice(encoded, 64, len(encoded) - 64),
        max_outsize=32,
        gas=needed,
        is_static_call=True,
        revert_on_failure=False,
    )
    return success and len(output) == 32 and convert(output, uint256) == 1

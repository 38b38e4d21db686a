# pragma version 0.4.3
# pragma evm-version prague
"""
@title BLS12-381 signatures over the EIP-2537 precompiles
@notice Keys in G2 (256 bytes), signatures in G1 (128 bytes), messages of 32 bytes, hashed to G1 after
        RFC 9380 (expand_message_xmd with SHA-256, simplified SWU, random oracle). Its twin is
        apps/kernel/bls.py; the pairing precompile checks curve and subgroup of every input.
"""

MODEXP: constant(address) = 0x0000000000000000000000000000000000000005
G1_ADD: constant(address) = 0x000000000000000000000000000000000000000b
G2_ADD: constant(address) = 0x000000000000000000000000000000000000000d
PAIRING_CHECK: constant(address) = 0x000000000000000000000000000000000000000F
MAP_FP_TO_G1: constant(address) = 0x0000000000000000000000000000000000000010

# Each domain is followed by its length, as expand_message_xmd wants it (DST_prime).
SIGNATURE_DOMAIN: constant(Bytes[44]) = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_\x2b"
POSSESSION_DOMAIN: constant(Bytes[44]) = b"BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_\x2b"

# SHA-256's block of zeros, and what follows the message: the output's length (128) and a zero byte.
ZERO_BLOCK: constant(Bytes[64]) = x"00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
LENGTH_AND_ZERO: constant(Bytes[3]) = x"008000"

# modexp's head: a base of 64 bytes, an exponent of 1, a modulus of 64; and its tail: 1, p.
REDUCE_HEAD: constant(Bytes[96]) = x"000000000000000000000000000000000000000000000000000000000000004000000000000000000000000000000000000000000000000000000000000000010000000000000000000000000000000000000000000000000000000000000040"
REDUCE_TAIL: constant(Bytes[65]) = x"01000000000000000000000000000000001a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab"

NEGATIVE_G2: constant(Bytes[256]) = x"00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb80000000000000000000000000000000013e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e000000000000000000000000000000000d1b3cc2c7027888be51d9ef691d77bcb679afda66c73f17f9ee3837a55024f78c71363275a75d75d86bab79f74782aa0000000000000000000000000000000013fa4d4a0ad8b1ce186ed5061789213d993923066dddaf1040bc3ff59f825c78df74f2d75467e25e0f55f8a00fa030ed"

# keccak256 of the identity of G2, which is 256 zero bytes.
IDENTITY_HASH: constant(bytes32) = 0xd397b3b043d87fcd6fad1291ff0bfd16401c274896d8c63a923727f077b8e0b5


@internal
@view
def _is_signed(key: Bytes[256], message: bytes32, domain: Bytes[44], signature: Bytes[128]) -> bool:
    """
    @notice e(signature, -G2) * e(H(message), key) == 1. The caller has refused the identity key.
    """
    answer: Bytes[32] = raw_call(
        PAIRING_CHECK,
        concat(signature, NEGATIVE_G2, self._hash_to_g1(message, domain), key),
        max_outsize=32,
        is_static_call=True,
    )
    return len(answer) == 32 and convert(answer, uint256) == 1


@internal
@view
def _add_keys(left: Bytes[256], right: Bytes[256]) -> Bytes[256]:
    total: Bytes[256] = raw_call(G2_ADD, concat(left, right), max_outsize=256, is_static_call=True)
    assert len(total) == 256, "no BLS precompiles"
    return total


@internal
@view
def _hash_to_g1(message: bytes32, domain: Bytes[44]) -> Bytes[128]:
    b0: bytes32 = sha256(concat(ZERO_BLOCK, message, LENGTH_AND_ZERO, domain))
    b1: bytes32 = sha256(concat(b0, x"01", domain))
    b2: bytes32 = sha256(concat(self._xor(b0, b1), x"02", domain))
    b3: bytes32 = sha256(concat(self._xor(b0, b2), x"03", domain))
    b4: bytes32 = sha256(concat(self._xor(b0, b3), x"04", domain))
    point: Bytes[128] = raw_call(
        G1_ADD,
        concat(self._map_to_g1(b1, b2), self._map_to_g1(b3, b4)),
        max_outsize=128,
        is_static_call=True,
    )
    assert len(point) == 128, "no BLS precompiles"
    return point


@internal
@view
def _map_to_g1(high: bytes32, low: bytes32) -> Bytes[128]:
    """
    @notice The 64-byte number high || low, reduced modulo the field's prime, mapped to G1.
    """
    element: Bytes[64] = raw_call(
        MODEXP, concat(REDUCE_HEAD, high, low, REDUCE_TAIL), max_outsize=64, is_static_call=True
    )
    return raw_call(MAP_FP_TO_G1, element, max_outsize=128, is_static_call=True)


@internal
@pure
def _xor(left: bytes32, right: bytes32) -> bytes32:
    return convert(convert(left, uint256) ^ convert(right, uint256), bytes32)

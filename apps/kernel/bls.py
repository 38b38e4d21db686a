"""BLS12-381 signatures exactly as the hub and the registry verify them (EIP-2537 byte forms).

Public keys are in G2 (256 bytes), signatures in G1 (128 bytes): the *minimal-signature* variant. It is
the cheaper one on chain: hashing a message to G1 costs 11k gas against 48k to G2, while a key in G2
costs only 225 gas more to add and, kept as a data contract, the same 2.6k to read. Signing is the
faster operation here too. The suite is BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_ (RFC 9380,
draft-irtf-cfrg-bls-signature); messages are 32 bytes. A coordinate is 16 zero bytes and 48 bytes
big-endian; a G2 coordinate is its real part, then its imaginary part.
"""

import secrets
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

from apps.kernel.eip712 import word
from apps.kernel.errors import Invalid
from apps.kernel.hashing import keccak

SECRET_BYTES: Final = 32
PUBLIC_KEY_BYTES: Final = 256
SIGNATURE_BYTES: Final = 128
SIGNATURE_DOMAIN: Final = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_"
POSSESSION_DOMAIN: Final = b"BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_"
ORDER: Final = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
_PADDING: Final = bytes(16)
_NEGATIVE_G2: Final = -G2Point()


class BlsKeyInvalid(Invalid):
    """A secret, a public key or a signature that is not a valid, non-identity element."""

    code = "bls_key_invalid"
    title = "The BLS key or signature is not valid"


def secret_key_new() -> bytes:
    """A fresh secret from the system's randomness, 32 bytes big-endian, in [1, order)."""
    return (secrets.randbelow(ORDER - 1) + 1).to_bytes(SECRET_BYTES)


def public_key_of(secret: bytes) -> bytes:
    """The public key, 256 bytes (EIP-2537 G2). Raises BlsKeyInvalid for an invalid secret."""
    return _encode_g2(G2Point() * _scalar(secret))


def sign(secret: bytes, message: bytes) -> bytes:
    """Sign a 32-byte message: 128 bytes (EIP-2537 G1). Raises BlsKeyInvalid for an invalid secret."""
    return _sign(secret, _message(message), SIGNATURE_DOMAIN)


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` over the 32-byte message is by this key; False for anything malformed."""
    return verify_aggregate([public], message, signature)


def aggregate(signatures: Sequence[bytes]) -> bytes:
    """The sum of one or more signatures. Raises BlsKeyInvalid where one is malformed, or for none."""
    if not signatures:
        raise BlsKeyInvalid(reason="nothing to aggregate")
    total = G1Point.identity()
    for signature in signatures:
        total = total + _decode_g1(signature)
    return _encode_g1(total)


def verify_aggregate(publics: Sequence[bytes], message: bytes, signature: bytes) -> bool:
    """Whether `signature` is the aggregate of every key's signature over the same 32-byte message.

    Safe against rogue keys only where each key's possession was proved. False for no key at all and
    for anything malformed, a sum of keys that is the identity included.
    """
    try:
        total = G2Point.identity()
        for public in publics:
            total = total + _decode_g2(public)
        return total != G2Point.identity() and _is_signed(total, message, signature, SIGNATURE_DOMAIN)
    except BlsKeyInvalid:
        return False


def prove_possession(secret: bytes, address: str) -> bytes:
    """The keeper's signature over its own key and address, under a domain of its own: 128 bytes."""
    return _sign(secret, possession_message(public_key_of(secret), address), POSSESSION_DOMAIN)


def verify_possession(public: bytes, address: str, proof: bytes) -> bool:
    """Whether the holder of this key proved it for this address; False for anything malformed."""
    try:
        key = _decode_g2(public)
        return _is_signed(key, possession_message(public, address), proof, POSSESSION_DOMAIN)
    except BlsKeyInvalid:
        return False


def possession_message(public: bytes, address: str) -> bytes:
    """keccak(keccak(public key) ‖ address as a word): what a possession proof signs."""
    return keccak(keccak(public) + word(address))


def require_public_key(public: bytes) -> bytes:
    """Return the key; raise BlsKeyInvalid(reason) where it is no valid, non-identity G2 element."""
    _decode_g2(public)
    return public


def _sign(secret: bytes, message: bytes, domain: bytes) -> bytes:
    return _encode_g1(G1Point.hash_to_curve(message, domain) * _scalar(secret))


def _is_signed(key: G2Point, message: bytes, signature: bytes, domain: bytes) -> bool:
    """e(signature, -G2) · e(H(message), key) = 1."""
    hashed = G1Point.hash_to_curve(_message(message), domain)
    return GT.pairing_check([_decode_g1(signature), hashed], [_NEGATIVE_G2, key])


def _message(message: bytes) -> bytes:
    if len(message) != 32:
        raise BlsKeyInvalid(reason="a message has 32 bytes", given=len(message))
    return message


def _scalar(secret: bytes) -> Scalar:
    number = int.from_bytes(secret)
    if len(secret) != SECRET_BYTES or not 0 < number < ORDER:
        raise BlsKeyInvalid(reason="a secret is 32 bytes in [1, order)")
    return Scalar(number)


def _encode_g1(point: G1Point) -> bytes:
    if point == G1Point.identity():
        raise BlsKeyInvalid(reason="the identity signs nothing")
    raw = bytes(point.to_xy_bytes_be())
    return _PADDING + raw[:48] + _PADDING + raw[48:]


def _encode_g2(point: G2Point) -> bytes:
    raw = bytes(point.to_xy_bytes_be())
    return b"".join(_PADDING + raw[at : at + 48] for at in range(0, 192, 48))


def _coordinates(data: bytes, length: int) -> bytes:
    if len(data) != length:
        raise BlsKeyInvalid(reason=f"{length} bytes expected", given=len(data))
    if any(data[at : at + 16] != _PADDING for at in range(0, length, 64)):
        raise BlsKeyInvalid(reason="a coordinate starts with 16 zero bytes")
    return b"".join(data[at + 16 : at + 64] for at in range(0, length, 64))


def _decode_g1(data: bytes) -> G1Point:
    raw = _coordinates(data, SIGNATURE_BYTES)
    try:
        point = G1Point.from_xy_bytes_be(raw)
    except ValueError as exc:
        raise BlsKeyInvalid(reason="not a point of G1") from exc
    if point == G1Point.identity():
        raise BlsKeyInvalid(reason="the identity is no signature")
    return point


@lru_cache(maxsize=4096)
def _decode_g2(data: bytes) -> G2Point:
    """Decoding checks curve and subgroup (about 0.2 ms), so the few keys in use are kept."""
    raw = _coordinates(data, PUBLIC_KEY_BYTES)
    try:
        point = G2Point.from_xy_bytes_be(raw)
    except ValueError as exc:
        raise BlsKeyInvalid(reason="not a point of G2") from exc
    if point == G2Point.identity():
        raise BlsKeyInvalid(reason="the identity is no key")
    return point

"""BLS12-381 against py_ecc as the oracle, and against everything malformed or forged."""

from hashlib import sha256
from typing import Any

import pytest
from py_ecc import optimized_bls12_381 as oracle
from py_ecc.bls.hash_to_curve import hash_to_G1

from apps.kernel import bls

G1, G2 = oracle.G1, oracle.G2  # type: ignore[attr-defined]
add, multiply, neg = oracle.add, oracle.multiply, oracle.neg  # type: ignore[attr-defined]
normalize = oracle.normalize  # type: ignore[attr-defined]
curve_order, field_modulus = oracle.curve_order, oracle.field_modulus  # type: ignore[attr-defined]
#: py_ecc wants the hash's constructor and annotates it as a hash.
SHA256: Any = sha256

ADDRESS = "0x" + "ab" * 20
OTHER = "0x" + "cd" * 20
MESSAGE = b"\x11" * 32
SECRETS = [(number + 1).to_bytes(32) for number in range(5)]
KEYS = [bls.public_key_of(secret) for secret in SECRETS]


def word48(number):
    return bytes(16) + int(number).to_bytes(48)


def g1_bytes(point):
    x, y = normalize(point)
    return word48(x) + word48(y)


def g2_bytes(point):
    x, y = normalize(point)
    return b"".join(word48(part) for coordinate in (x, y) for part in coordinate.coeffs)


def test_a_public_key_is_the_oracles_in_eip_2537_bytes():
    secret = 0x1234567890ABCDEF
    assert bls.public_key_of(secret.to_bytes(32)) == g2_bytes(multiply(G2, secret))
    assert len(KEYS[0]) == bls.PUBLIC_KEY_BYTES == 256


@pytest.mark.parametrize("message", [bytes(32), MESSAGE, bytes(range(32))])
def test_a_signature_is_the_oracles(message):
    secret = 987654321
    hashed = hash_to_G1(message, bls.SIGNATURE_DOMAIN, SHA256)
    assert bls.sign(secret.to_bytes(32), message) == g1_bytes(multiply(hashed, secret))
    assert len(bls.sign(SECRETS[0], message)) == bls.SIGNATURE_BYTES == 128


def test_aggregation_is_point_addition():
    hashed = hash_to_G1(MESSAGE, bls.SIGNATURE_DOMAIN, SHA256)
    total = add(multiply(hashed, 1), multiply(hashed, 2))
    signatures = [bls.sign(secret, MESSAGE) for secret in SECRETS[:2]]
    assert bls.aggregate(signatures) == g1_bytes(total)


def test_a_signature_verifies_under_its_own_key_and_message_only():
    signature = bls.sign(SECRETS[0], MESSAGE)
    assert bls.verify(KEYS[0], MESSAGE, signature)
    assert not bls.verify(KEYS[1], MESSAGE, signature)
    assert not bls.verify(KEYS[0], b"\x12" * 32, signature)


def test_an_aggregate_verifies_for_exactly_its_signers():
    aggregate = bls.aggregate([bls.sign(secret, MESSAGE) for secret in SECRETS[:4]])
    assert bls.verify_aggregate(KEYS[:4], MESSAGE, aggregate)
    assert not bls.verify_aggregate(KEYS[:3], MESSAGE, aggregate)
    assert not bls.verify_aggregate(KEYS, MESSAGE, aggregate)
    assert not bls.verify_aggregate([*KEYS[:3], KEYS[4]], MESSAGE, aggregate)
    assert not bls.verify_aggregate([], MESSAGE, aggregate)


def test_the_order_of_signers_does_not_matter():
    signatures = [bls.sign(secret, MESSAGE) for secret in SECRETS]
    assert bls.aggregate(signatures) == bls.aggregate(signatures[::-1])


def test_possession_is_bound_to_the_key_and_the_address():
    proof = bls.prove_possession(SECRETS[0], ADDRESS)
    assert bls.verify_possession(KEYS[0], ADDRESS, proof)
    assert not bls.verify_possession(KEYS[0], OTHER, proof)
    assert not bls.verify_possession(KEYS[1], ADDRESS, proof)


def test_a_signature_is_no_possession_proof_and_the_other_way_round():
    message = bls.possession_message(KEYS[0], ADDRESS)
    assert not bls.verify_possession(KEYS[0], ADDRESS, bls.sign(SECRETS[0], message))
    assert not bls.verify(KEYS[0], message, bls.prove_possession(SECRETS[0], ADDRESS))


def test_a_rogue_key_cannot_prove_possession():
    """K = R - victim makes an aggregate R's holder can sign alone; its proof of possession cannot exist."""
    rogue = g2_bytes(add(multiply(G2, 99), neg(multiply(G2, 1))))
    forged = bls.sign((99).to_bytes(32), MESSAGE)
    assert bls.verify_aggregate([KEYS[0], rogue], MESSAGE, forged)
    assert not bls.verify_possession(rogue, ADDRESS, bls.prove_possession((99).to_bytes(32), ADDRESS))


def test_opposite_keys_sum_to_the_identity_and_verify_nothing():
    opposite = bls.public_key_of((curve_order - 1).to_bytes(32))
    assert not bls.verify_aggregate([KEYS[0], opposite], MESSAGE, bytes(128))
    assert not bls.verify_aggregate([KEYS[0], opposite], MESSAGE, bls.sign(SECRETS[0], MESSAGE))


def test_signatures_that_cancel_out_cannot_be_aggregated():
    opposite = (curve_order - 1).to_bytes(32)
    with pytest.raises(bls.BlsKeyInvalid):
        bls.aggregate([bls.sign(SECRETS[0], MESSAGE), bls.sign(opposite, MESSAGE)])


def off_subgroup_g2():
    """A point on the twist that is not in the subgroup: found by trying x coordinates with py_ecc."""
    from_field = G2[0].__class__
    x = 1
    while True:
        candidate = from_field([x, 0])
        square = candidate * candidate * candidate + from_field([4, 4])
        root = square ** ((field_modulus**2 + 7) // 16)
        for factor in [from_field([1, 0]), from_field([0, 1]), from_field([1, 1]), from_field([1, -1])]:
            y = root * factor
            if y * y == square:
                return (candidate, y, from_field([1, 0]))
        x += 1


BAD_KEYS = {
    "identity": bytes(256),
    "short": KEYS[0][:-1],
    "long": KEYS[0] + b"\0",
    "empty": b"",
    "off the curve": KEYS[0][:-1] + bytes([KEYS[0][-1] ^ 1]),
    "dirty padding": b"\x01" + KEYS[0][1:],
    "not reduced": word48(field_modulus) + KEYS[0][64:],
    "signature": bytes(128),
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_a_bad_key_is_refused(name):
    signature = bls.sign(SECRETS[0], MESSAGE)
    assert not bls.verify(BAD_KEYS[name], MESSAGE, signature)
    assert not bls.verify_possession(BAD_KEYS[name], ADDRESS, signature)
    with pytest.raises(bls.BlsKeyInvalid):
        bls.require_public_key(BAD_KEYS[name])


def test_a_key_outside_the_subgroup_is_refused():
    with pytest.raises(bls.BlsKeyInvalid):
        bls.require_public_key(g2_bytes(off_subgroup_g2()))


@pytest.mark.parametrize(
    "signature", [b"", bytes(128), bytes(127), b"\xff" * 128, g1_bytes(G1)[:-1] + b"\x00"]
)
def test_a_bad_signature_is_refused(signature):
    assert not bls.verify(KEYS[0], MESSAGE, signature)
    with pytest.raises(bls.BlsKeyInvalid):
        bls.aggregate([signature])


@pytest.mark.parametrize("secret", [b"", bytes(32), bytes(31), curve_order.to_bytes(32), b"\xff" * 32])
def test_a_bad_secret_is_refused(secret):
    with pytest.raises(bls.BlsKeyInvalid):
        bls.public_key_of(secret)
    with pytest.raises(bls.BlsKeyInvalid):
        bls.sign(secret, MESSAGE)


def test_a_message_has_32_bytes():
    with pytest.raises(bls.BlsKeyInvalid):
        bls.sign(SECRETS[0], b"short")
    assert not bls.verify(KEYS[0], b"short", bls.sign(SECRETS[0], MESSAGE))


def test_nothing_cannot_be_aggregated():
    with pytest.raises(bls.BlsKeyInvalid):
        bls.aggregate([])


def test_fresh_secrets_are_valid_and_differ():
    first, second = bls.secret_key_new(), bls.secret_key_new()
    assert first != second
    assert 0 < int.from_bytes(first) < bls.ORDER == curve_order
    assert bls.verify(bls.public_key_of(first), MESSAGE, bls.sign(first, MESSAGE))

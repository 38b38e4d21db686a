"""Our EIP-712 against eth-account as the oracle: same digests, same signatures, same signers."""

import coincurve
import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from apps.kernel.eip712 import (
    SignatureInvalid,
    TypedDomain,
    address_of,
    digest,
    recover,
    require_signer,
    sign,
    struct_hash,
)
from apps.kernel.hashing import keccak

KEY = coincurve.PrivateKey(b"\x07" * 32)
ADDRESS = address_of(KEY.public_key)
DOMAIN = TypedDomain(31337, "0x" + "5a" * 20)
TYPE = "CheckIn(address keeper,bytes32 version,uint64 uptime,uint64 nonce,uint64 timestamp)"
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def typed_message(values):
    members = [tuple(part.split(" ")) for part in TYPE.partition("(")[2].rstrip(")").split(",")]
    return encode_typed_data(
        full_message={
            "types": {
                "EIP712Domain": [
                    {"name": "name", "type": "string"},
                    {"name": "version", "type": "string"},
                    {"name": "chainId", "type": "uint256"},
                    {"name": "verifyingContract", "type": "address"},
                ],
                "CheckIn": [{"name": name, "type": kind} for kind, name in members],
            },
            "primaryType": "CheckIn",
            "domain": {
                "name": "Forekeep",
                "version": "1",
                "chainId": DOMAIN.chain_id,
                "verifyingContract": DOMAIN.contract,
            },
            "message": dict(zip([name for _, name in members], values, strict=True)),
        }
    )


uint64 = st.integers(0, 2**64 - 1)


@given(st.binary(min_size=20, max_size=20), st.binary(min_size=32, max_size=32), uint64, uint64, uint64)
def test_digest_and_signature_are_the_oracles(keeper, version, uptime, nonce, timestamp):
    values = ["0x" + keeper.hex(), version, uptime, nonce, timestamp]
    message = typed_message(values)
    ours = digest(DOMAIN, struct_hash(TYPE, values))
    assert ours == keccak(b"\x19" + message.version + message.header + message.body)
    signature = sign(KEY, ours)
    assert signature == bytes(Account.sign_message(message, KEY.secret).signature)
    assert recover(ours, signature) == ADDRESS
    assert Account.recover_message(message, signature=signature).lower() == ADDRESS


def test_a_signature_is_bound_to_chain_and_contract():
    hashed = struct_hash(TYPE, [ADDRESS, bytes(32), 1, 2, 3])
    signature = sign(KEY, digest(DOMAIN, hashed))
    for other in (TypedDomain(1, DOMAIN.contract), TypedDomain(31337, "0x" + "5b" * 20)):
        with pytest.raises(SignatureInvalid):
            require_signer(digest(other, hashed), signature, ADDRESS)


def test_the_signers_address_is_compared_without_case():
    message = digest(DOMAIN, bytes(32))
    require_signer(message, sign(KEY, message), ADDRESS.upper().replace("0X", "0x"))


def test_a_high_s_is_refused_though_the_curve_would_take_it():
    message = digest(DOMAIN, bytes(32))
    signature = sign(KEY, message)
    high = (ORDER - int.from_bytes(signature[32:64])).to_bytes(32)
    twin = signature[:32] + high + bytes([55 - signature[64]])
    with pytest.raises(SignatureInvalid):
        recover(message, twin)


@pytest.mark.parametrize(
    "signature",
    [b"", bytes(64), bytes(65), bytes(64) + b"\x1b", b"\xff" * 64 + b"\x1b", bytes(64) + b"\x00"],
)
def test_a_malformed_signature_is_refused(signature):
    with pytest.raises(SignatureInvalid):
        recover(digest(DOMAIN, bytes(32)), signature)

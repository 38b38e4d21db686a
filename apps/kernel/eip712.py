"""EIP-712 typed data for the few fixed messages keepers and the dispatcher exchange.

Every signature is bound to a chain, a contract (the hub) and a purpose (the primary type). Only
static member types occur, so a struct is the keccak of its type hash and 32-byte words. Signatures
are 65 bytes r ‖ s ‖ v, low s only (EIP-2); a high s, a wrong length or a recovery failure is
`SignatureInvalid`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final

import coincurve

from apps.kernel.errors import Forbidden
from apps.kernel.hashing import keccak

_HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_DOMAIN_TYPE: Final = keccak(
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)


class SignatureInvalid(Forbidden):
    """A signature that is malformed or not by the claimed address."""

    code = "signature_invalid"
    title = "The signature is not valid"


@dataclass(frozen=True)
class TypedDomain:
    """The EIP-712 domain all Forekeep messages share: name, version, chain, hub contract."""

    chain_id: int
    contract: str

    @cached_property
    def separator(self) -> bytes:
        """The 32-byte domain separator."""
        return keccak(
            _DOMAIN_TYPE
            + keccak(b"Forekeep")
            + keccak(b"1")
            + self.chain_id.to_bytes(32)
            + address_word(self.contract)
        )


def address_word(address: str) -> bytes:
    """A 20-byte hex address as a left-padded word."""
    return bytes(12) + bytes.fromhex(address.removeprefix("0x"))


def word(value: int | bytes | str) -> bytes:
    """A uint, a bytes32 or an address (`0x` and 40 digits) as one 32-byte word."""
    if isinstance(value, int):
        return value.to_bytes(32)
    if isinstance(value, bytes):
        if len(value) != 32:
            raise ValueError("bytes32 expected")
        return value
    return address_word(value)


def struct_hash(type_text: str, values: Sequence[int | bytes | str]) -> bytes:
    """hashStruct: keccak(typeHash ‖ words). `type_text` is the EIP-712 encodeType string."""
    return keccak(_type_hash(type_text) + b"".join(map(word, values)))


@cache
def _type_hash(type_text: str) -> bytes:
    """One per message type, and those are constants."""
    return keccak(type_text.encode())


def digest(domain: TypedDomain, hashed: bytes) -> bytes:
    """The 32 bytes that are signed."""
    return keccak(b"\x19\x01" + domain.separator + hashed)


def sign(key: coincurve.PrivateKey, message: bytes) -> bytes:
    """Sign a 32-byte digest: 65 bytes r ‖ s ‖ v with v in {27, 28}."""
    raw = key.sign_recoverable(message, hasher=None)
    return raw[:64] + bytes([raw[64] + 27])


def recover(message: bytes, signature: bytes) -> str:
    """The lower-case address that signed the digest; SignatureInvalid where there is none."""
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise SignatureInvalid(reason="65 bytes with v 27 or 28 expected")
    if int.from_bytes(signature[32:64]) > _HALF_ORDER:
        raise SignatureInvalid(reason="high s")
    try:
        public = coincurve.PublicKey.from_signature_and_message(
            signature[:64] + bytes([signature[64] - 27]), message, hasher=None
        )
    except Exception as exc:
        raise SignatureInvalid(reason="no public key recovers") from exc
    return address_of(public)


def address_of(public: coincurve.PublicKey) -> str:
    """The lower-case `0x…` address of a public key."""
    return "0x" + keccak(public.format(compressed=False)[1:])[-20:].hex()


def require_signer(message: bytes, signature: bytes, address: str) -> None:
    """Raise SignatureInvalid unless `address` signed the digest."""
    found = recover(message, signature)
    if found != address.lower():
        raise SignatureInvalid(reason="another signer", expected=address.lower(), found=found)

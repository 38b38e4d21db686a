"""A keeper's keys on disk: `keystore.json`, readable by its owner alone.

JSON object: `address`, `private_key` (secp256k1, signs messages), `bls_secret` (signs ballots), each `0x…`;
`manage.py make_keystores` writes it. The address is checked against the key. Keys never appear in a log or an
error.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import coincurve

from apps.kernel import bls
from apps.kernel.eip712 import address_of
from apps.kernel.errors import Invalid
from apps.kernel.hashing import from_hex


class KeystoreInvalid(Invalid):
    """A keystore that is missing, readable by others, or malformed. Fields: path, reason."""

    code = "keystore_invalid"
    title = "The keystore cannot be used"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who the node is."""

    address: str
    key: coincurve.PrivateKey = field(repr=False)
    bls_secret: bytes = field(repr=False)

    @property
    def bls_public_key(self) -> bytes:
        """The key ballots are verified with."""
        return bls.public_key_of(self.bls_secret)


def load_keystore(path: Path) -> Identity:
    """Read and check a keystore; raise KeystoreInvalid."""
    try:
        if path.stat().st_mode & 0o077:
            raise KeystoreInvalid(path=str(path), reason="others may read it; make it 0600")
        body: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise KeystoreInvalid(path=str(path), reason=f"not readable: {type(exc).__name__}") from None
    return identity_from_json(body, path)


def identity_from_json(body: Any, path: Path) -> Identity:
    """The identity a keystore's JSON describes; raise KeystoreInvalid without repeating any of it."""
    try:
        key = coincurve.PrivateKey(from_hex(body["private_key"], length=32))
        bls_secret = from_hex(body["bls_secret"], length=bls.SECRET_BYTES)
        bls.public_key_of(bls_secret)
        address = str(body["address"]).lower()
    except (KeyError, TypeError, ValueError, Invalid):
        raise KeystoreInvalid(
            path=str(path), reason="address, private_key and bls_secret are expected"
        ) from None
    if address_of(key.public_key) != address:
        raise KeystoreInvalid(path=str(path), reason="the address is another key's")
    return Identity(address=address, key=key, bls_secret=bls_secret)

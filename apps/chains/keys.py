"""Key files: an account's secp256k1 key, and a keeper's with its BLS secret beside it.

JSON, hex with `0x`: {"address", "private_key"} and for a keeper also "bls_secret". They are created
readable by their owner alone (0600) and refused when anybody else can read them. Secrets have no
`repr` and reach no log, event or error.
"""

import json
import os
import stat
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import coincurve

from apps.chains.errors import KeyFileInvalid
from apps.kernel import bls
from apps.kernel.eip712 import address_of
from apps.kernel.errors import Invalid
from apps.kernel.hashing import from_hex, to_hex


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountKey:
    """An account that signs transactions or messages."""

    address: str
    private: coincurve.PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperKeys:
    """Everything a keeper signs with."""

    account: AccountKey
    bls_secret: bytes = field(repr=False)

    @property
    def address(self) -> str:
        """The keeper's address."""
        return self.account.address

    @property
    def bls_public_key(self) -> bytes:
        """The key attestations are checked with."""
        return bls.public_key_of(self.bls_secret)


def read_account(path: Path) -> AccountKey:
    """Read an account's key file; raise KeyFileInvalid(path, reason)."""
    return _account_of(path, _read(path))


def read_keystore(path: Path) -> KeeperKeys:
    """Read a keeper's keystore; raise KeyFileInvalid(path, reason)."""
    content = _read(path)
    try:
        secret = from_hex(content["bls_secret"], length=bls.SECRET_BYTES)
        bls.public_key_of(secret)
    except (KeyError, Invalid) as exc:
        raise KeyFileInvalid(path=str(path), reason="no valid bls_secret") from exc
    return KeeperKeys(account=_account_of(path, content), bls_secret=secret)


def ensure_account(path: Path) -> AccountKey:
    """Read the key file, or create it with a fresh key."""
    if not path.exists():
        _create(path, _fresh_account())
    return read_account(path)


def ensure_keystore(path: Path) -> KeeperKeys:
    """Read the keystore, or create it with fresh keys."""
    if not path.exists():
        _create(path, {**_fresh_account(), "bls_secret": to_hex(bls.secret_key_new())})
    return read_keystore(path)


@lru_cache
def read_accounts(paths: tuple[Path, ...]) -> tuple[AccountKey, ...]:
    """Several key files, read once per process; raise KeyFileInvalid(path, reason)."""
    return tuple(read_account(path) for path in paths)


def _fresh_account() -> dict[str, str]:
    private = coincurve.PrivateKey()
    return {"address": address_of(private.public_key), "private_key": to_hex(private.secret)}


def _account_of(path: Path, content: dict[str, Any]) -> AccountKey:
    try:
        private = coincurve.PrivateKey(from_hex(content["private_key"], length=32))
        address = str(content["address"]).lower()
    except (KeyError, ValueError, Invalid):
        raise KeyFileInvalid(path=str(path), reason="no valid private_key and address") from None
    if address != address_of(private.public_key):
        raise KeyFileInvalid(path=str(path), reason="the address is not the key's")
    return AccountKey(address=address, private=private)


def _read(path: Path) -> dict[str, Any]:
    try:
        mode = path.stat().st_mode
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise KeyFileInvalid(path=str(path), reason=type(exc).__name__) from None
    if stat.S_IMODE(mode) & 0o077:
        raise KeyFileInvalid(path=str(path), reason="others can read it (chmod 600)")
    if not isinstance(content, dict):
        raise KeyFileInvalid(path=str(path), reason="not a JSON object")
    return content


def _create(path: Path, content: dict[str, str]) -> None:
    """Write the whole file or none; where another process was first, its file stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()

"""CIDv1 as text: `b` and base32 of version, codec, hash function, digest length, digest.

Only what this store writes is read: raw and dag-pb blocks over sha2-256, lower-case base32 without
padding, in the one canonical spelling. Source: github.com/multiformats/cid.
"""

import base64
import binascii
from functools import lru_cache
from typing import Final

from apps.content.data import Cid, Codec
from apps.content.errors import CidInvalid
from apps.kernel.hashing import sha256

_SHA2_256: Final = bytes([0x12, 0x20])
_TEXT_LENGTH: Final = 59
_BYTES_LENGTH: Final = 36


def block_cid(codec: Codec, data: bytes) -> str:
    """The CID text of one block's bytes."""
    return cid_text(Cid(codec=codec, digest=sha256(data)))


def cid_text(cid: Cid) -> str:
    """The one spelling of a CID."""
    return "b" + base64.b32encode(cid_bytes(cid)).decode().lower().rstrip("=")


def cid_bytes(cid: Cid) -> bytes:
    """The binary form, 36 bytes, as it stands in dag-pb links."""
    return bytes([1, cid.codec]) + _SHA2_256 + cid.digest


def parse_cid(text: str) -> Cid:
    """Read a CID; raise CidInvalid for any other text, also for another spelling of a valid one."""
    if not isinstance(text, str) or len(text) != _TEXT_LENGTH or text[0] != "b" or not text.isascii():
        raise CidInvalid(value=str(text)[:80], reason="59 characters starting with b expected")
    return _parse(text)


@lru_cache(maxsize=4_096)
def _parse(text: str) -> Cid:
    """A result's few ids are read again and again while it is checked, so the last ones are remembered."""
    try:
        raw = base64.b32decode(text[1:].upper() + "=" * 6)
    except binascii.Error:
        raise CidInvalid(value=text, reason="not base32") from None
    cid = parse_cid_bytes(raw)
    if cid_text(cid) != text:
        raise CidInvalid(value=text, reason="not the canonical spelling")
    return cid


def parse_cid_bytes(raw: bytes) -> Cid:
    """Read the binary form; raise CidInvalid for anything but CIDv1 raw or dag-pb over sha2-256."""
    if len(raw) != _BYTES_LENGTH or raw[0] != 1 or raw[2:4] != _SHA2_256:
        raise CidInvalid(value=raw.hex()[:80], reason="CIDv1 over sha2-256 expected")
    try:
        codec = Codec(raw[1])
    except ValueError:
        raise CidInvalid(value=raw.hex(), reason="raw or dag-pb expected") from None
    return Cid(codec=codec, digest=raw[4:])

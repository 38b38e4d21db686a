"""The text of an API key: `fk_<prefix>_<secret>`.

The prefix (40 random bits, base 32) is public and names the key in lists and logs; the secret is 256
random bits, base64url. Only the SHA-256 of the whole text is stored: with that many random bits a slow
hash would add nothing.
"""

import base64
import re
from typing import Final

from apps.accounts.data import KeyText
from apps.kernel.hashing import sha256

PREFIX_BYTES: Final = 5
SECRET_BYTES: Final = 32

_FORM: Final = re.compile(r"fk_[a-z2-7]{8}_[A-Za-z0-9_-]{43}")


def make_key_text(prefix_bytes: bytes, secret_bytes: bytes) -> KeyText:
    """Build a key's text from 5 and 32 random bytes."""
    if len(prefix_bytes) != PREFIX_BYTES or len(secret_bytes) != SECRET_BYTES:
        raise ValueError(f"{PREFIX_BYTES} and {SECRET_BYTES} random bytes expected")
    prefix = base64.b32encode(prefix_bytes).decode().lower()
    tail = base64.urlsafe_b64encode(secret_bytes).decode().rstrip("=")
    secret = f"fk_{prefix}_{tail}"
    return KeyText(prefix=prefix, sha256=compute_key_hash(secret), secret=secret)


def compute_key_hash(secret: str) -> str:
    """The 64 hex digits a key is stored and found by."""
    return sha256(secret.encode()).hex()


def is_key_form(text: str) -> bool:
    """Whether a text could be a key at all; anything else is refused without a look-up."""
    return _FORM.fullmatch(text) is not None

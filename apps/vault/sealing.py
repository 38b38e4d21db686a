"""How what must not be read in a dump of the tables is kept: sealed under keys of SECRET_KEY.

A key is derived per purpose (HKDF-SHA-256, RFC 5869), so what was sealed for one purpose opens for no
other. Sealed with SECRET_KEY, opened with it or any of SECRET_KEY_FALLBACKS.
"""

import base64
from functools import lru_cache
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from apps.vault.errors import SecretUnreadable

_KEY_BYTES: Final = 32
_SALT: Final = b"forekeep sealing 1"


def seal(text: str, purpose: str) -> str:
    """The sealed form of a text (ASCII, about 4/3 of its length and 100 more)."""
    return _box(purpose).encrypt(text.encode()).decode("ascii")


def unseal(token: str, purpose: str) -> str:
    """The text again; raise SecretUnreadable where no key of this purpose opens it."""
    try:
        return _box(purpose).decrypt(token.encode()).decode()
    except (InvalidToken, UnicodeError):
        raise SecretUnreadable() from None


def reseal(token: str, purpose: str) -> str:
    """The same text sealed with SECRET_KEY as it is now; raise SecretUnreadable."""
    return seal(unseal(token, purpose), purpose)


def _box(purpose: str) -> MultiFernet:
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return MultiFernet([Fernet(_derive(key, purpose)) for key in keys])


@lru_cache(maxsize=1_024)
def _derive(key: str, purpose: str) -> bytes:
    derivation = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=_SALT, info=purpose.encode())
    return base64.urlsafe_b64encode(derivation.derive(key.encode()))

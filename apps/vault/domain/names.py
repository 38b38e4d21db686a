"""What a secret may be called, and what it may be."""

import re
from typing import Final

from apps.kernel.reading import is_clean
from apps.vault.errors import SecretNameInvalid, SecretValueInvalid

NAME_MAX: Final = 64
VALUE_MAX: Final = 8_192
NAME_PATTERN: Final = r"[A-Za-z][A-Za-z0-9_-]{0,63}"
_NAME: Final = re.compile(NAME_PATTERN)


def is_name(text: object) -> bool:
    """Whether this is a text a secret may be called by."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None


def require_name(text: object, pointer: str = "/name") -> str:
    """The name; raise SecretNameInvalid."""
    if not isinstance(text, str) or not is_name(text):
        reason = f"a letter, then at most {NAME_MAX - 1} letters, digits, _ and - are expected"
        raise SecretNameInvalid(pointer=pointer, reason=reason)
    return text


def require_value(value: object, pointer: str = "/value") -> str:
    """The value; raise SecretValueInvalid, which does not repeat it."""
    if not isinstance(value, str) or not 1 <= len(value) <= VALUE_MAX or not is_clean(value):
        raise SecretValueInvalid(
            pointer=pointer, reason=f"a text of 1 to {VALUE_MAX} characters without NUL is expected"
        )
    return value

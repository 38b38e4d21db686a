"""Names and slugs of projects."""

import re
from typing import Final

from apps.accounts.data import NAME_MAX, SLUG_MAX
from apps.accounts.errors import ProjectNameInvalid

_SLUG: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_NOT_SLUG: Final = re.compile(r"[^a-z0-9]+")


def require_name(text: str) -> str:
    """The name without surrounding blanks; raise ProjectNameInvalid for an empty or overlong one."""
    name = text.strip()
    if not name or len(name) > NAME_MAX or not name.isprintable():
        raise ProjectNameInvalid(pointer="/name", reason=f"1 to {NAME_MAX} printable characters expected")
    return name


def require_slug(text: str) -> str:
    """The slug; raise ProjectNameInvalid where it is not lower-case words joined by dashes."""
    if len(text) > SLUG_MAX or not _SLUG.fullmatch(text):
        reason = f"lower-case letters, digits and single dashes expected, at most {SLUG_MAX}"
        raise ProjectNameInvalid(pointer="/slug", reason=reason)
    return text


def make_slug(name: str) -> str:
    """A slug made from a name; raise ProjectNameInvalid where the name has no letter or digit for one."""
    return require_slug(_NOT_SLUG.sub("-", name.lower()).strip("-")[:SLUG_MAX].strip("-"))

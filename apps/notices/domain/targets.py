"""Where alerts may go: services with one public address, and mail through the operator's own server.

A URL of a schema that carries a host would let a project's member reach any machine the deployment reaches:
those are refused, as is every option that could. Tokens stay in the URL; only the schema is shown.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

from apps.notices.errors import TargetInvalid

#: apprise's schema → the service behind it
SERVICES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "tgram": "Telegram",
        "slack": "Slack",
        "discord": "Discord",
        "gchat": "Google Chat",
        "wxteams": "Webex",
        "pover": "Pushover",
        "pbul": "Pushbullet",
        "pagerduty": "PagerDuty",
        "opsgenie": "Opsgenie",
    }
)
MAIL: Final = "mailto"
#: what may be said behind the `?`: nothing that names a place, a file or a time to wait
_OPTIONS: Final = frozenset({"priority", "silent", "thread", "topic", "region", "sound"})
_OPTION: Final = re.compile(r"[A-Za-z0-9_\-]{0,40}")
_MAIL: Final = re.compile(r"[A-Za-z0-9._%+\-]{1,64}@[A-Za-z0-9\-]{1,63}(\.[A-Za-z0-9\-]{1,63})+")
_CHAT: Final = re.compile(r"-?[0-9]{1,20}|@[A-Za-z0-9_]{1,64}")
_MAX: Final = 1_000


def require_target(url: str) -> str:
    """The schema of an allowed target; raise TargetInvalid for any other."""
    if len(url) > _MAX or not url.isascii() or not url.isprintable() or " " in url:
        raise TargetInvalid(pointer="/url", reason=f"at most {_MAX} printable ASCII characters are expected")
    schema, colon, rest = url.partition(":")
    schema = schema.lower()
    if schema == MAIL and colon and not rest.startswith("//"):
        if not is_mail_address(rest):
            raise TargetInvalid(pointer="/url", reason="mailto:somebody@example.com is expected")
        return MAIL
    if schema not in SERVICES or not rest.startswith("//"):
        known = ", ".join([*(f"{name}://" for name in SERVICES), "mailto:address"])
        raise TargetInvalid(pointer="/url", reason=f"one of these is expected: {known}")
    try:
        options = parse_qsl(urlsplit(url).query, keep_blank_values=True, max_num_fields=8)
    except ValueError:
        raise TargetInvalid(pointer="/url", reason="it cannot be read") from None
    for name, value in options:
        if name not in _OPTIONS or not _OPTION.fullmatch(value):
            allowed = ", ".join(sorted(_OPTIONS))
            raise TargetInvalid(pointer="/url", reason=f"of options only these are taken: {allowed}")
    return schema


def is_mail_address(text: str) -> bool:
    """Whether a text is one plain mail address."""
    return _MAIL.fullmatch(text) is not None and len(text) <= 200


def is_chat(text: str) -> bool:
    """Whether a text is a Telegram chat's number or a channel's name."""
    return _CHAT.fullmatch(text) is not None


def mail_url(server_url: str, address: str) -> str:
    """The operator's mail URL with this one receiver."""
    joint = "&" if "?" in server_url else "?"
    return f"{server_url}{joint}to={quote(address, safe='')}"


def telegram_url(token: str, chat: str) -> str:
    """The operator's bot, writing to this chat. Raises TargetInvalid for what is no chat."""
    if not is_chat(chat):
        raise TargetInvalid(pointer="/chat_id", reason="a chat's number or @channel is expected")
    return f"tgram://{token}/{quote(chat, safe='@-')}"

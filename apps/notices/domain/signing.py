"""Standard Webhooks: the secret's form, and the three headers of a message."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook

SECRET_BYTES: Final = 32
_PREFIX: Final = "whsec_"


def make_secret(random: bytes) -> str:
    """`whsec_` and the bytes in base64."""
    return _PREFIX + base64.b64encode(random).decode()


def sign_headers(message_id: str, body: str, secrets: Sequence[str], now: datetime) -> dict[str, str]:
    """The headers of a message signed with every secret, the newest first. The time is the sending's."""
    at = now.astimezone(UTC)
    signatures = [Webhook(secret).sign(message_id, at, body) for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }

"""The examples the API page shows of keepers' messages; signatures and keys are shortened."""

from typing import Any, Final

from drf_spectacular.utils import OpenApiExample

_SIGNED: Final[dict[str, Any]] = {
    "keeper": "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
    "version": "0.1.0",
    "nonce": 1_795_680_000_000_000,
    "timestamp": 1_795_680_000,
    "signature": "0x1f2e…",
}

REGISTRATION: Final = [
    OpenApiExample(
        "A keeper joins",
        value={
            **_SIGNED,
            "name": "keeper-1",
            "bls_public_key": "0x0d1b…",
            "possession": "0x11c0…",
            "capabilities": ["chain:31337", "python"],
            "contact": {"email": "operator@example.org"},
        },
        request_only=True,
    )
]
CHECK_IN: Final = [OpenApiExample("A sign of life", value={**_SIGNED, "uptime": 3_600}, request_only=True)]
REASON: Final = [
    OpenApiExample("With why", value={"reason": "its disk is being replaced"}, request_only=True)
]

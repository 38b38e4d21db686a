"""The examples the API page shows."""

from typing import Any, Final

from drf_spectacular.utils import OpenApiExample

_TARGET: Final = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
_CID: Final = "bafkreigsq65x7hivvpofw3uyknrghakxis3o6ioi6pedt7cdjstq3dx6te"

PRICE_REPORT: Final[dict[str, Any]] = {
    "name": "Price report",
    "trigger_kind": "time",
    "schedule": {"kind": "cron", "expression": "0 7 * * MON-FRI", "zone": "America/New_York"},
    "missed_policy": "one",
    "script": {"cid": _CID, "language": "python"},
    "inputs": {"stocks.csv": _CID},
    "params": {"symbol": "MSFT"},
    "arguments": {"kind": "dynamic"},
    "action": {"chain_id": 31337, "target": _TARGET, "function": "report(bytes32,uint256)"},
}

PIPELINE: Final[dict[str, Any]] = {
    "name": "Pipeline",
    "trigger_kind": "manual",
    "steps": [
        {"key": "load", "script_source": "print('{\"rows\": 3}')"},
        {
            "key": "publish",
            "parents": [{"step": "load", "kind": "data"}],
            "script_source": "import json, sys\nprint(json.dumps(json.load(sys.stdin)['parents']['load']))",
            "limits": {"deadline_seconds": 20, "memory_mb": 128},
        },
    ],
}

CREATE: Final = [
    OpenApiExample("A script decides what is reported", value=PRICE_REPORT, request_only=True),
    OpenApiExample("Two dependent steps", value=PIPELINE, request_only=True),
]
CHANGE: Final = [
    OpenApiExample(
        "Another interval", value={"schedule": {"kind": "interval", "seconds": 600}}, request_only=True
    ),
    OpenApiExample("No end any more", value={"expires_at": None, "max_fires": None}, request_only=True),
]
PREVIEW: Final = [
    OpenApiExample(
        "Around the change to summer time",
        value={
            "schedule": {"kind": "cron", "expression": "30 2 * * *", "zone": "Europe/Berlin"},
            "count": 3,
        },
        request_only=True,
    )
]

"""The examples the API page shows."""

from typing import Any, Final

from drf_spectacular.utils import OpenApiExample

from apps.gateway.rest.speculation import CUSTOM, OFF

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

_PRINT_PARENT: Final = "import json, sys\nprint(json.dumps(json.load(sys.stdin)['parents']))"
AHEAD: Final[dict[str, Any]] = {
    "name": "Ahead",
    "trigger_kind": "manual",
    "speculation": CUSTOM,
    "steps": [
        {"key": "load", "script_source": "print('{\"rows\": 3}')"},
        {"key": "mean", "parents": ["load"], "script_source": _PRINT_PARENT},
        {"key": "most", "parents": ["load"], "script_source": _PRINT_PARENT},
        {"key": "report", "parents": ["mean", "most"], "script_source": _PRINT_PARENT},
    ],
}

COUNTER: Final[dict[str, Any]] = {
    "name": "Every tenth run calls",
    "trigger_kind": "time",
    "schedule": {"kind": "interval", "seconds": 60},
    "script_source": (
        "import json, sys\n"
        "kept = json.load(sys.stdin)['storage']\n"
        "runs = kept.get('runs', 0) + 1\n"
        f"call = {{'target': '{_TARGET}', 'calldata': '0x12065fe0'}} if runs % 10 == 0 else {{}}\n"
        "print(json.dumps({'should_execute': bool(call), 'storage_updates': {'runs': runs}, **call}))"
    ),
    "action": {"chain_id": 31337, "custom": True, "targets": [_TARGET]},
}

DRILL: Final[dict[str, Any]] = {
    "name": "Fire drill",
    "trigger_kind": "manual",
    "steps": [
        {"key": "first", "script_source": "print('{\"rows\": 3}')", "drill": {"reject_proof": 1}},
        {"key": "second", "parents": ["first"], "script_source": _PRINT_PARENT},
    ],
}

CREATE: Final = [
    OpenApiExample("A script decides what is reported", value=PRICE_REPORT, request_only=True),
    OpenApiExample("Two dependent steps", value=PIPELINE, request_only=True),
    OpenApiExample("A diamond that runs as far ahead as it goes", value=AHEAD, request_only=True),
    OpenApiExample(
        "A script that keeps a count and says itself what is called", value=COUNTER, request_only=True
    ),
    OpenApiExample(
        "A drill: the first proof is rejected on purpose, which costs the keeper a share of its bond",
        value=DRILL,
        request_only=True,
    ),
]
CHANGE: Final = [
    OpenApiExample(
        "Another interval", value={"schedule": {"kind": "interval", "seconds": 600}}, request_only=True
    ),
    OpenApiExample("No end any more", value={"expires_at": None, "max_fires": None}, request_only=True),
    OpenApiExample("Nothing runs ahead", value={"speculation": OFF}, request_only=True),
    OpenApiExample("As far ahead as the project says", value={"speculation": None}, request_only=True),
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
FIRES: Final = [
    OpenApiExample(
        "Ten fires, in Tokyo's time too", value={"count": 10, "zone": "Asia/Tokyo"}, request_only=True
    )
]

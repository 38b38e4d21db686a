"""Documents as the API answers them: runs with their tasks, and a run's rollbacks."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

T0: Final = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
KEEPERS: Final = ("0x" + "a1" * 20, "0x" + "b2" * 20, "0x" + "c3" * 20)


def at(seconds: float) -> str:
    """A time so many seconds after the first run was opened."""
    return f"{T0 + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S.%f}Z"


def task(number: int, step: str, timeline: Mapping[str, float], **changes: Any) -> dict[str, Any]:
    """A task of a run; its status is the last state it entered."""
    status = max(timeline, key=lambda state: timeline[state])
    return {
        "id": f"task_{number:032x}",
        "run": "run_1",
        "step_key": step,
        "position": number % 100,
        "status": status,
        "depth": number % 100,
        "epoch": 1,
        "failures": 0,
        "timeline": {state: at(seconds) for state, seconds in sorted(timeline.items())},
        "performer": KEEPERS[0],
        "error": None,
        "output_cid": "bafkreigsq65x7hivvpofw3uyknrghakxis3o6ioi6pedt7cdjstq3dx6te",
        "package_cid": "bafkreigsq65x7hivvpofw3uyknrghakxis3o6ioi6pedt7cdjstq3dx6te",
        "parents": [],
        "attestation": {"committee": list(KEEPERS), "positive": 3, "required": 2, "verdict": "valid"},
        "settlement": {"proof_of_task": "0x11", "tx_hash": "0x33", "status": "confirmed"},
        **changes,
    }


def run(
    run_id: str,
    job: str,
    tasks: Sequence[Mapping[str, Any]],
    *,
    opened: float = 0.0,
    status: str = "confirmed",
) -> dict[str, Any]:
    """A run with its tasks."""
    ends = [
        str(moment) for each in tasks for state, moment in each["timeline"].items() if state == "confirmed"
    ]
    return {
        "id": run_id,
        "job": {"id": job, "name": job},
        "project": "proj_1",
        "status": status,
        "opened_at": at(opened),
        "finished_at": max(ends) if status == "confirmed" and ends else None,
        "tasks_total": len(tasks),
        "tasks": list(tasks),
    }


def rollback(root: Mapping[str, Any], others: Sequence[Mapping[str, Any]], **changes: Any) -> dict[str, Any]:
    """A rollback of a rejected proof and what stood on it, leaves first."""
    items = [(each, "rolled_back", "waiting_ancestors") for each in others]
    items.append((root, "failed", "submitted"))
    return {
        "id": "rbk_1",
        "run": "run_1",
        "root": root["id"],
        "reason": "proof_rejected",
        "size": len(items),
        "slashed_units": "100000",
        "slashed_keeper": KEEPERS[0],
        "items": [
            {"task": each["id"], "keeper": KEEPERS[n % 3], "target": target, "previous": previous}
            for n, (each, target, previous) in enumerate(items)
        ],
        **changes,
    }

"""What a keeper is told to do: one step of a job's definition, made concrete for one run."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def build_spec(
    step: Mapping[str, Any], *, task: str, due_at: datetime, deadline_seconds: int, action_gas_limit: int
) -> dict[str, Any]:
    """The task's specification as `apps/execution/data.py` describes it; parents are joined later."""
    action = step.get("action")
    limits = step.get("limits") or {}
    return {
        "task": task,
        "step": step["key"],
        "due_at": due_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "script": step.get("script"),
        "inputs": step.get("inputs") or {},
        "params": step.get("params"),
        "parents": {},
        "arguments": step.get("arguments") or {"kind": "none", "values": []},
        "action": {"gas_limit": action_gas_limit, **action} if action else None,
        "limits": {
            "deadline_seconds": limits.get("deadline_seconds", deadline_seconds),
            "memory_mb": limits.get("memory_mb", 512),
            "cpu_seconds": limits.get("cpu_seconds", limits.get("deadline_seconds", deadline_seconds)),
        },
    }

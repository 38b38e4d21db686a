"""What a keeper is told to do: one step of a job's definition, made concrete for one run."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from apps.jobs.data import format_instant

#: instructions of the trace a script's run is mapped to (`apps/proofs/domain/task_witness.py`)
TRACE_INSTRUCTIONS: Final = 7


def build_spec(
    step: Mapping[str, Any],
    *,
    task: str,
    due_at: datetime,
    deadline_seconds: int,
    action_gas_limit: int,
    circuits: Sequence[int] = (),
    trigger: Mapping[str, Any] | None = None,
    storage: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The task's specification as `apps/execution/data.py` describes it; parents are joined later.

    `circuits` are the sizes a proof may have, none where none is asked for. `trigger` is what the first steps
    of a run are told and keepers check (`build_trigger`), `storage` what the job keeps now, for its steps
    with a custom action.
    """
    action = step.get("action")
    limits = step.get("limits") or {}
    return {
        "task": task,
        "step": step["key"],
        **({"trigger": trigger} if trigger else {}),
        "due_at": due_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "script": step.get("script"),
        "inputs": step.get("inputs") or {},
        "params": step.get("params"),
        "parents": {},
        "awaits": {},
        "proof": {"circuit": choose_circuit(step, circuits)} if circuits else None,
        "arguments": step.get("arguments") or {"kind": "none", "values": []},
        "action": {"gas_limit": action_gas_limit, **action} if action else None,
        **({"storage": storage} if action and action.get("custom") else {}),
        "limits": {
            "deadline_seconds": limits.get("deadline_seconds", deadline_seconds),
            "memory_mb": limits.get("memory_mb", 512),
            "cpu_seconds": limits.get("cpu_seconds", limits.get("deadline_seconds", deadline_seconds)),
        },
    }


def build_trigger(
    *,
    kind: str,
    rule: Mapping[str, Any] | None,
    evidence: Mapping[str, Any],
    due_at: datetime,
    fired_at: datetime,
    expires_at: datetime | None,
) -> dict[str, Any]:
    """What fired: the job's rule, what was seen, and when; times in RFC 3339."""
    is_ruled = kind in ("time", "event", "condition")
    return {
        "kind": kind,
        "rule": rule if is_ruled else None,
        "evidence": dict(evidence),
        "due_at": format_instant(due_at),
        "fired_at": format_instant(fired_at),
        "expires_at": None if expires_at is None else format_instant(expires_at),
    }


def choose_circuit(step: Mapping[str, Any], circuits: Sequence[int]) -> int:
    """The smallest of these circuits whose half takes all that the step reads, else the largest.

    It reads its specification, its inputs and the outputs of its data parents. What reads more than the
    largest takes is refused when the job is made.
    """
    data_parents = sum(parent.get("kind", "data") == "data" for parent in step.get("parents", ()))
    needed = max(1 + len(step.get("inputs") or {}) + data_parents, TRACE_INSTRUCTIONS)
    return next((size for size in sorted(circuits) if size // 2 >= needed), max(circuits))

"""Doing a task's work: the same for the performer and for every attester.

Fetch the script, its inputs and its parents' outputs by CID, run it, read its output, derive the action. The
script gets one JSON document on its standard input: params, parents (step → output), due_at, task, the names
of its inputs, and where its action is custom what its job keeps (`storage`). A task's own failure is a
`Performed` with an error code; what only the outside world can cure is raised.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from apps.content.errors import CidInvalid, ContentMissing, ContentTampered, ContentTooLarge
from apps.execution.domain.action import Action, derive_action
from apps.jobs.domain.evidence import find_fault
from apps.kernel.errors import Invalid
from apps.kernel.hashing import canonical_json
from apps.storage.domain.updates import read_updates
from workers.keeper.errors import LanguageUnavailable, TaskFailed, WorkAborted
from workers.keeper.measures import Measures, measures_of
from workers.keeper.node import Node
from workers.keeper.output import OUTPUT_MAX_BYTES, canonical_output, read_output
from workers.keeper.patience import keep_trying
from workers.keeper.sandbox.data import (
    AbortHandle,
    FailureCode,
    SandboxRequest,
    SandboxResult,
    SandboxStatus,
)
from workers.keeper.task_spec import TaskSpec

SCRIPT_MAX_BYTES: Final = 256 * 1024
#: the trigger should not have fired
TRIGGER_UNMET: Final = "trigger_unmet"
INPUTS_MAX_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Performed:
    """What the work came to: an output with its action and what is to be kept, or an error code."""

    measures: Measures
    output: bytes = b""
    action: Action | None = None
    storage_updates: Mapping[str, Any] = field(default_factory=dict)
    error_code: str | None = None
    error_detail: str = ""


def perform(node: Node, spec: TaskSpec, handle: AbortHandle, *, until: float) -> Performed:
    """Do the work of a specification, trying outside failures again until the Unix time `until`.

    Raises LanguageUnavailable, WorkAborted, and the errors of `OUTSIDE` when the time is over.
    """
    if spec.script_cid is not None and spec.language not in node.executor.languages:
        raise LanguageUnavailable(language=spec.language, runs=list(node.executor.languages))
    measures = Measures()
    try:
        _require_trigger(node, spec)
        if spec.script_cid is None:
            output: dict[str, Any] = {"arguments": spec.argument_values}
            data = canonical_output(output)
        else:
            request = _build_request(node, spec, spec.script_cid, until)
            ran = _run(node, request, handle, until)
            measures = measures_of(
                cpu_seconds=ran.cpu_seconds,
                wall_seconds=ran.wall_seconds,
                peak_memory_bytes=ran.peak_memory_bytes,
            )
            _require_ok(ran)
            output, data = read_output(ran.stdout)
        action, updates = _derive(spec, output)
    except TaskFailed as failure:
        detail = failure.detail.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")
        return Performed(measures=measures, error_code=failure.code, error_detail=detail)
    return Performed(measures=measures, output=data, action=action, storage_updates=updates)


def fetch(node: Node, cid: str, *, what: str, until: float) -> bytes:
    """Content by CID; raise TaskFailed `<what>_missing`, `content_tampered`, `<what>_invalid`."""
    try:
        return keep_trying(lambda: node.store.get(cid), until=until, stopping=node.stopping)
    except ContentMissing:
        raise TaskFailed(f"{what}_missing", cid) from None
    except ContentTampered:
        raise TaskFailed("content_tampered", f"{what} {cid}") from None
    except (CidInvalid, ContentTooLarge) as exc:
        raise TaskFailed(f"{what}_invalid", str(exc)) from None


def _require_trigger(node: Node, spec: TaskSpec) -> None:
    """Raise TaskFailed `trigger_unmet` where what was seen should have fired nothing."""
    if spec.trigger is None:
        return
    fault = find_fault(
        spec.trigger,
        datetime.now(UTC),
        time_tolerance_seconds=node.time_tolerance_seconds,
        expiry_tolerance_seconds=node.expiry_tolerance_seconds,
    )
    if fault:
        raise TaskFailed(TRIGGER_UNMET, fault)


def _build_request(node: Node, spec: TaskSpec, script_cid: str, until: float) -> SandboxRequest:
    script = fetch(node, script_cid, what="script", until=until)
    if len(script) > SCRIPT_MAX_BYTES:
        raise TaskFailed("script_too_large", f"{len(script)} bytes")
    inputs = {name: fetch(node, cid, what="input", until=until) for name, cid in spec.inputs.items()}
    if sum(map(len, inputs.values())) > INPUTS_MAX_BYTES:
        raise TaskFailed("inputs_too_large", f"more than {INPUTS_MAX_BYTES} bytes")
    document = {
        "params": spec.params,
        "parents": {step: _parent(node, cid, until) for step, cid in spec.parents.items()},
        "due_at": spec.due_at,
        "task": spec.task,
        "inputs": sorted(inputs),
    }
    if spec.trigger is not None:
        document["trigger"] = spec.trigger.get("evidence")
    if spec.storage is not None:
        document["storage"] = spec.storage.values
    return SandboxRequest(
        script=script,
        language=spec.language,
        stdin=canonical_json(document),
        inputs=inputs,
        memory_bytes=spec.memory_bytes,
        cpu_seconds=spec.cpu_seconds,
        deadline_seconds=spec.deadline_seconds,
        stdout_limit_bytes=OUTPUT_MAX_BYTES,
    )


def _parent(node: Node, cid: str, until: float) -> Any:
    try:
        return json.loads(fetch(node, cid, what="parent_output", until=until))
    except (ValueError, RecursionError):
        raise TaskFailed("parent_output_invalid", cid) from None


def _run(node: Node, request: SandboxRequest, handle: AbortHandle, until: float) -> SandboxResult:
    ran = keep_trying(lambda: node.executor.run(request, handle), until=until, stopping=node.stopping)
    if handle.is_aborted:
        raise WorkAborted()
    return ran


def _require_ok(ran: SandboxResult) -> None:
    if ran.status is not SandboxStatus.OK:
        raise TaskFailed(str(ran.code or FailureCode.SCRIPT_FAILED), ran.stderr_tail[-500:])


def _derive(spec: TaskSpec, output: Mapping[str, Any]) -> tuple[Action | None, dict[str, Any]]:
    try:
        updates = {} if spec.storage is None else read_updates(output, spec.storage)
        return derive_action(spec.raw, output), updates
    except Invalid as exc:
        raise TaskFailed(exc.code, f"{exc.pointer or ''} {exc}".strip()) from None

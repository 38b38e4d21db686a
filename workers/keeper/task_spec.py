"""The signed specification, read into a typed value and checked against what this node takes on.

The dispatcher's signature says that the specification is genuine, not that it is sensible: limits beyond
the sandbox, an unknown language or another chain are refused with `parameters_invalid` and a pointer.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from apps.execution.domain.action import is_custom
from apps.kernel.errors import Invalid
from apps.kernel.ids import from_wire
from apps.proofs.domain.statement import SIZES
from apps.storage.domain.updates import Snapshot, snapshot_from_json
from apps.storage.errors import StorageUpdatesInvalid
from workers.keeper.errors import ParametersInvalid
from workers.keeper.sandbox.data import LANGUAGES, PYTHON

ARGUMENT_KINDS: Final = ("none", "static", "dynamic")
DEADLINE_MAX_SECONDS: Final = 60
MEMORY_MIN_MB: Final = 64
MEMORY_MAX_MB: Final = 512
MAX_INPUTS: Final = 32
MAX_PARENTS: Final = 64
PARENT_KINDS: Final = ("data", "order")
_INPUT_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_ADDRESS: Final = re.compile(r"0x[0-9a-f]{40}")
_LEASE: Final = re.compile(r"[0-9a-f]{32}")
_AWAITED_MEMBERS: Final = frozenset({"task", "epoch", "lease", "keeper", "kind"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """One attempt of a parent that must have succeeded first; the script reads its output where `is_data`."""

    step: str
    task: str
    task_id: UUID
    epoch: int
    lease: UUID
    keeper: str
    is_data: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """What one task asks for. `raw` is the specification as it was signed.

    `parents` are outputs known when it was signed, `awaits` the parents that were under way then; no step
    is in both. `circuit` is the circuit that proves the task's statement, None where no proof is asked for.
    `trigger` is what fired the run, told to its first tasks.
    `storage` is what the job kept when the run was opened, None where its action is not custom.
    """

    raw: Mapping[str, Any]
    task: str
    due_at: str
    script_cid: str | None
    language: str
    inputs: Mapping[str, str]
    params: Any
    parents: Mapping[str, str]
    awaits: Mapping[str, Awaited]
    circuit: int | None
    storage: Snapshot | None
    trigger: Mapping[str, Any] | None
    argument_values: list[Any]
    deadline_seconds: float
    cpu_seconds: float
    memory_bytes: int


def read_spec(spec: Mapping[str, Any], *, task: str, chain_id: int) -> TaskSpec:
    """Read and check a specification of the task with this wire id; raise ParametersInvalid."""
    if spec.get("task") != task:
        raise _refused("/task", "another task's specification")
    script = _mapping_or_none(spec, "script")
    if script is not None and script.get("language") not in LANGUAGES:
        raise _refused("/script/language", f"one of {', '.join(LANGUAGES)} is expected")
    arguments = _mapping_or_none(spec, "arguments") or {"kind": "none", "values": []}
    action = _mapping_or_none(spec, "action")
    if action is not None and action.get("chain_id") != chain_id:
        raise _refused("/action/chain_id", f"this node works for chain {chain_id}")
    if script is None and arguments.get("kind") == "dynamic":
        raise _refused("/arguments/kind", "dynamic arguments need a script")
    if is_custom(action) and script is None:
        raise _refused("/action/custom", "a custom action needs a script")

    parents = _names(spec, "parents", MAX_PARENTS, None)
    deadline = _limit(spec, "deadline_seconds", DEADLINE_MAX_SECONDS, DEADLINE_MAX_SECONDS)
    return TaskSpec(
        raw=spec,
        task=task,
        due_at=_text(spec.get("due_at"), "/due_at"),
        script_cid=None if script is None else _text(script.get("cid"), "/script/cid"),
        language=PYTHON if script is None else script["language"],
        inputs=_names(spec, "inputs", MAX_INPUTS, _INPUT_NAME),
        params=spec.get("params"),
        parents=parents,
        awaits=_awaits(spec, task, parents),
        circuit=_circuit(spec),
        storage=_storage(spec) if is_custom(action) else None,
        trigger=_mapping_or_none(spec, "trigger"),
        argument_values=_values(arguments),
        deadline_seconds=deadline,
        cpu_seconds=_limit(spec, "cpu_seconds", deadline, DEADLINE_MAX_SECONDS),
        memory_bytes=int(
            _limit(spec, "memory_mb", MEMORY_MAX_MB, MEMORY_MAX_MB, MEMORY_MIN_MB) * 1024 * 1024
        ),
    )


def _mapping_or_none(spec: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    value = spec.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise _refused(f"/{name}", "an object is expected")
    return value


def _text(value: Any, pointer: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 200:
        raise _refused(pointer, "a text is expected")
    return value


def _names(
    spec: Mapping[str, Any], member: str, most: int, form: "re.Pattern[str] | None"
) -> Mapping[str, str]:
    found = _mapping_or_none(spec, member) or {}
    if len(found) > most:
        raise _refused(f"/{member}", f"at most {most} are taken")
    for name, cid in found.items():
        _text(cid, f"/{member}/{name}")
        if form is not None and not form.fullmatch(name):
            raise _refused(f"/{member}/{name}", "not a plain file name")
    return found


def _awaits(spec: Mapping[str, Any], task: str, parents: Mapping[str, str]) -> Mapping[str, Awaited]:
    found = _mapping_or_none(spec, "awaits") or {}
    if len(found) + len(parents) > MAX_PARENTS:
        raise _refused("/awaits", f"at most {MAX_PARENTS} parents are taken")
    awaits = {step: _awaited(step, found[step]) for step in sorted(found)}
    tasks = {each.task_id for each in awaits.values()}
    if len(tasks) < len(awaits) or any(each.task == task for each in awaits.values()):
        raise _refused("/awaits", "each step awaits another task, and none its own")
    for step in awaits:
        if step in parents:
            raise _refused(f"/awaits/{step}", "its output is among the parents")
    return awaits


def _awaited(step: str, given: Any) -> Awaited:
    pointer = f"/awaits/{_text(step, '/awaits')}"
    if not isinstance(given, Mapping) or given.keys() != _AWAITED_MEMBERS:
        raise _refused(pointer, f"an object with {', '.join(sorted(_AWAITED_MEMBERS))} is expected")
    if given["kind"] not in PARENT_KINDS:
        raise _refused(f"{pointer}/kind", f"one of {', '.join(PARENT_KINDS)} is expected")
    epoch = given["epoch"]
    if isinstance(epoch, bool) or not isinstance(epoch, int) or not 1 <= epoch < 1 << 63:
        raise _refused(f"{pointer}/epoch", "a number from 1 is expected")
    task = _text(given["task"], f"{pointer}/task")
    try:
        task_id = from_wire("task", task)
    except Invalid:
        raise _refused(f"{pointer}/task", "a task's id is expected") from None
    return Awaited(
        step=step,
        task=task,
        task_id=task_id,
        epoch=epoch,
        lease=UUID(hex=_matching(given["lease"], _LEASE, f"{pointer}/lease")),
        keeper=_matching(given["keeper"], _ADDRESS, f"{pointer}/keeper"),
        is_data=given["kind"] == "data",
    )


def _matching(value: Any, form: "re.Pattern[str]", pointer: str) -> str:
    text = _text(value, pointer)
    if not form.fullmatch(text):
        raise _refused(pointer, "not of the expected form")
    return text


def _circuit(spec: Mapping[str, Any]) -> int | None:
    proof = _mapping_or_none(spec, "proof")
    if proof is None:
        return None
    circuit = proof.get("circuit")
    if not isinstance(circuit, int) or circuit not in SIZES or proof.keys() != {"circuit"}:
        raise _refused("/proof/circuit", f"one of {', '.join(map(str, SIZES))} is expected")
    return circuit


def _storage(spec: Mapping[str, Any]) -> Snapshot:
    try:
        return snapshot_from_json(spec.get("storage"))
    except StorageUpdatesInvalid as refused:
        raise _refused("/storage", str(refused.fields["reason"])) from None


def _values(arguments: Mapping[str, Any]) -> list[Any]:
    values = arguments.get("values", [])
    if arguments.get("kind") not in ARGUMENT_KINDS:
        raise _refused("/arguments/kind", f"one of {', '.join(ARGUMENT_KINDS)} is expected")
    if not isinstance(values, list):
        raise _refused("/arguments/values", "a list is expected")
    return values


def _limit(spec: Mapping[str, Any], name: str, default: float, most: float, least: float = 0.01) -> float:
    value = (_mapping_or_none(spec, "limits") or {}).get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise _refused(f"/limits/{name}", f"a number from {least:g} to {most:g} is expected")
    return value


def _refused(pointer: str, reason: str) -> ParametersInvalid:
    return ParametersInvalid(pointer=pointer, reason=reason)

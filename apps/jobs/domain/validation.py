"""From JSON to a `JobDefinition`: every rule that needs no clock and no store.

What is refused raises its own coded error with a JSON pointer into the input. A job without `steps`
has one step, `main`, whose fields stand at the top level. What needs the present time is
`timing.start`, what needs the content store is the service's.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from apps.content.domain.cid import cid_of, parse_cid
from apps.content.errors import CidInvalid
from apps.jobs.domain.abi import canonical_entry, check_arguments, entry_of_function, parameter_count
from apps.jobs.domain.graph import check_graph
from apps.jobs.domain.scripts import require_program
from apps.jobs.domain.timing import read_fires, read_instant, read_missed, read_trigger
from apps.jobs.domain.values import (
    Action,
    Arguments,
    ArgumentsKind,
    Drill,
    EdgeKind,
    JobDefinition,
    Language,
    Limits,
    Parent,
    Script,
    StepDefinition,
)
from apps.jobs.errors import (
    AbiFunctionMismatch,
    ActionMissing,
    ArgumentInvalid,
    ArgumentsUnknown,
    ArgumentTooLarge,
    ChainUnknown,
    CpuInvalid,
    DeadlineInvalid,
    DrillInvalid,
    DuplicateEdge,
    EdgeUnknown,
    GasLimitInvalid,
    InputNameInvalid,
    MemoryInvalid,
    ScriptInvalid,
    ScriptLanguageUnknown,
    ScriptMissing,
    ScriptTooLarge,
    StepEmpty,
    StepKeyInvalid,
    TooManyReads,
    TooManySteps,
    ValueInvalid,
)
from apps.kernel.abi import AbiInvalid, compute_signature, require_address
from apps.kernel.hashing import canonical_json
from apps.kernel.reading import FieldInvalid, FieldMissing, Reading, is_clean, numbered, placed, require_plain
from apps.kernel.speculation import choice_from_json

STEP_FIELDS: Final = frozenset(
    {"parents", "script", "script_source", "inputs", "params", "arguments", "action", "limits", "drill"}
)
JOB_FIELDS: Final = frozenset(
    {
        "name",
        "trigger_kind",
        "schedule",
        "missed_policy",
        "missed_limit",
        "recurring",
        "max_fires",
        "expires_at",
        "speculation",
        "steps",
    }
)
MAX_STEPS: Final = 1_000
MAX_PARENTS: Final = 64
MAX_INPUTS: Final = 32
DEADLINE_MAX_SECONDS: Final = 60
MEMORY_MIN_MB: Final = 64
MEMORY_MAX_MB: Final = 512
GAS_LIMIT_MIN: Final = 21_000
GAS_LIMIT_MAX: Final = 5_000_000
#: an attempt is left after them
DRILLED_MAX: Final = 2

_STEP_KEY: Final = re.compile(r"^[a-z][a-z0-9_-]{0,63}$", re.ASCII)
_INPUT_NAME: Final = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$", re.ASCII)
_DIGITS: Final = re.compile(r"^[0-9]{1,78}$", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a deployment allows. `chain_ids` None means that any chain is taken.

    `read_max` is how many inputs and data parents of one step a proof can bind, None without proofs.
    """

    chain_ids: Collection[int] | None = None
    script_max_bytes: int = 262_144
    params_max_bytes: int = 65_536
    deadline_seconds: int = 30
    memory_mb: int = 256
    gas_limit: int = 200_000
    read_max: int | None = None


def definition_from_json(value: Any, bounds: Bounds = Bounds()) -> JobDefinition:
    """Parse a job; raise the coded error of the first part that is wrong, with its pointer."""
    reading = Reading(value, "", JOB_FIELDS | STEP_FIELDS)
    name = reading.text("name").strip()
    if not name:
        raise FieldInvalid(pointer="/name", reason="a name has at least one character")
    trigger_kind, schedule = read_trigger(reading)
    missed_policy, missed_limit = read_missed(reading)
    recurring, max_fires = read_fires(reading)
    sources: dict[str, bytes] = {}
    steps = _read_steps(reading, bounds, sources)

    return JobDefinition(
        name=name,
        trigger_kind=trigger_kind,
        schedule=schedule,
        steps=steps,
        missed_policy=missed_policy,
        missed_limit=missed_limit,
        recurring=recurring,
        max_fires=max_fires,
        expires_at=read_instant(reading, "expires_at"),
        speculation=choice_from_json(reading.get("speculation"), "/speculation"),
        sources=sources,
    )


def _read_steps(reading: Reading, bounds: Bounds, sources: dict[str, bytes]) -> tuple[StepDefinition, ...]:
    if not reading.has("steps"):
        alone = {name: reading.value[name] for name in STEP_FIELDS & set(reading.value)}
        steps: tuple[StepDefinition, ...] = (_read_step({"key": "main", **alone}, "", bounds, sources),)
        check_graph(steps, pointer="")
        return steps

    for name in sorted(STEP_FIELDS & set(reading.value)):
        raise FieldInvalid(pointer=reading.at(name), reason="with steps given, this belongs in a step")
    given = reading.items("steps")
    if not given:
        raise FieldMissing(pointer="/steps/0", field="steps")
    if len(given) > MAX_STEPS:
        raise TooManySteps(pointer="/steps", steps=len(given), limit=MAX_STEPS)
    steps = tuple(_read_step(step, where, bounds, sources) for where, step in numbered(given, "/steps"))
    check_graph(steps)
    return steps


def _read_step(value: Any, pointer: str, bounds: Bounds, sources: dict[str, bytes]) -> StepDefinition:
    reading = Reading(value, pointer, STEP_FIELDS | {"key"})
    key = reading.require("key")
    if not isinstance(key, str) or not _STEP_KEY.match(key):
        raise StepKeyInvalid(pointer=reading.at("key"), given=str(key)[:80])
    parents = _read_parents(reading)
    script = _read_script(reading, bounds, sources)
    inputs = _read_inputs(reading)
    _require_provable(reading, parents, inputs, bounds)
    params = _read_params(reading, bounds)
    action = _read_action(reading, bounds)
    if script is None and action is None:
        raise StepEmpty(pointer=pointer, step=key)

    return StepDefinition(
        key=key,
        parents=parents,
        script=script,
        inputs=inputs,
        params=params,
        arguments=_read_arguments(reading, script, action),
        action=action,
        limits=_read_limits(reading, bounds),
        drill=_read_drill(reading),
    )


def _read_parents(reading: Reading) -> tuple[Parent, ...]:
    given = reading.items("parents")
    if len(given) > MAX_PARENTS:
        raise FieldInvalid(pointer=reading.at("parents"), reason=f"at most {MAX_PARENTS} parents are allowed")
    parents: dict[str, Parent] = {}
    for where, value in numbered(given, reading.at("parents")):
        edge = Reading({"step": value} if isinstance(value, str) else value, where, {"step", "kind"})
        step, kind = edge.text("step"), edge.choice("kind", EdgeKind, EdgeUnknown, EdgeKind.DATA)
        if step in parents:
            raise DuplicateEdge(pointer=where, parent=step)
        parents[step] = Parent(step=step, kind=kind)
    return tuple(parents.values())


def _read_script(reading: Reading, bounds: Bounds, sources: dict[str, bytes]) -> Script | None:
    source = reading.get("script_source")
    if reading.has("script"):
        script = Reading(reading.value["script"], reading.at("script"), {"cid", "language"})
        language = script.choice("language", Language, ScriptLanguageUnknown, Language.PYTHON)
        if source is None:
            return Script(cid=_require_cid(script.require("cid"), script.at("cid")), language=str(language))
        if script.has("cid"):
            raise ScriptInvalid(pointer=script.at("cid"), reason="given both inline and by content id")
    if source is None:
        return None

    where = reading.at("script_source")
    if not isinstance(source, str) or not source.strip() or not is_clean(source):
        raise ScriptInvalid(pointer=where, reason="a text that is not empty is expected")
    data = source.encode()
    if len(data) > bounds.script_max_bytes:
        raise ScriptTooLarge(pointer=where, size_bytes=len(data), limit_bytes=bounds.script_max_bytes)
    cid = cid_of(data)
    if cid not in sources:
        require_program(source, where)
        sources[cid] = data
    return Script(cid=cid)


def _read_inputs(reading: Reading) -> dict[str, str]:
    given = reading.get("inputs", {})
    if not isinstance(given, Mapping) or len(given) > MAX_INPUTS:
        raise FieldInvalid(
            pointer=reading.at("inputs"),
            reason=f"an object of at most {MAX_INPUTS} file names and content ids is expected",
        )
    inputs = Reading(given, reading.at("inputs"), given)
    for name in given:
        if not isinstance(name, str) or not _INPUT_NAME.match(name):
            raise InputNameInvalid(pointer=inputs.at(str(name)[:128]), given=str(name)[:128])
    return {name: _require_cid(given[name], inputs.at(name)) for name in sorted(given)}


def _require_provable(
    reading: Reading, parents: tuple[Parent, ...], inputs: Mapping[str, str], bounds: Bounds
) -> None:
    """Raise TooManyReads, at the field that goes beyond, where no proof could bind all the step reads."""
    reads = len(inputs) + sum(parent.kind is EdgeKind.DATA for parent in parents)
    if bounds.read_max is not None and reads > bounds.read_max:
        field = "inputs" if len(inputs) > bounds.read_max else "parents"
        raise TooManyReads(
            pointer=reading.at(field),
            reason="inputs and data parents are bound by the step's proof",
            reads=reads,
            limit=bounds.read_max,
        )


def _read_params(reading: Reading, bounds: Bounds) -> Any:
    params, where = reading.value.get("params"), reading.at("params")
    require_plain(params, where)
    size = len(canonical_json(params))
    if size > bounds.params_max_bytes:
        raise ArgumentTooLarge(pointer=where, size_bytes=size, limit_bytes=bounds.params_max_bytes)
    return params


def _read_action(reading: Reading, bounds: Bounds) -> Action | None:
    if not reading.has("action"):
        return None
    action = Reading(
        reading.value["action"],
        reading.at("action"),
        {"chain_id", "target", "function", "abi", "gas_limit", "value_wei"},
    )
    chain_id = action.require("chain_id")
    if isinstance(chain_id, bool) or not isinstance(chain_id, int) or chain_id < 1:
        raise ChainUnknown(pointer=action.at("chain_id"), chain_id=str(chain_id)[:80])
    if bounds.chain_ids is not None and chain_id not in bounds.chain_ids:
        raise ChainUnknown(pointer=action.at("chain_id"), chain_id=chain_id, known=sorted(bounds.chain_ids))
    value_wei = action.get("value_wei", "0")
    if not isinstance(value_wei, str) or not _DIGITS.match(value_wei) or int(value_wei) != 0:
        raise ValueInvalid(
            pointer=action.at("value_wei"), reason='"0" is expected: settlement forwards no coin'
        )
    function, entry = _read_function(action)

    return Action(
        chain_id=chain_id,
        target=require_address(action.require("target"), action.at("target")),
        function=function,
        abi=entry,
        gas_limit=action.number(
            "gas_limit", bounds.gas_limit, GasLimitInvalid, low=GAS_LIMIT_MIN, high=GAS_LIMIT_MAX
        ),
    )


def _read_function(action: Reading) -> tuple[str, dict[str, Any]]:
    function = action.text("function", max_characters=256)
    try:
        entry = canonical_entry(action.get("abi", entry_of_function(function)), function)
    except (AbiInvalid, AbiFunctionMismatch) as exc:
        raise placed(exc, action.pointer) from None
    return compute_signature(entry), entry


def _read_arguments(reading: Reading, script: Script | None, action: Action | None) -> Arguments:
    given = Reading(reading.get("arguments", {}), reading.at("arguments"), {"kind", "values"})
    kind = given.choice("kind", ArgumentsKind, ArgumentsUnknown, ArgumentsKind.NONE)
    values = tuple(given.items("values"))
    if values and kind is not ArgumentsKind.STATIC:
        raise ArgumentInvalid(pointer=given.at("values"), reason="only static arguments have values")
    if kind is not ArgumentsKind.NONE and action is None:
        raise ActionMissing(pointer=given.at("kind"), arguments=str(kind))
    if kind is ArgumentsKind.DYNAMIC and script is None:
        raise ScriptMissing(pointer=given.at("kind"))
    if kind is ArgumentsKind.NONE and action is not None and script is None and parameter_count(action.abi):
        raise ArgumentInvalid(pointer=reading.at("arguments"), reason="the function takes arguments")

    if kind is ArgumentsKind.STATIC and action is not None:
        require_plain(values, given.at("values"))
        check_arguments(action.abi, values, given.at("values"))
    return Arguments(kind=kind, values=values)


def _read_limits(reading: Reading, bounds: Bounds) -> Limits:
    given = Reading(
        reading.get("limits", {}), reading.at("limits"), {"deadline_seconds", "memory_mb", "cpu_seconds"}
    )
    deadline = given.number(
        "deadline_seconds", bounds.deadline_seconds, DeadlineInvalid, low=1, high=DEADLINE_MAX_SECONDS
    )
    memory = given.number("memory_mb", bounds.memory_mb, MemoryInvalid, low=MEMORY_MIN_MB, high=MEMORY_MAX_MB)
    cpu = given.number("cpu_seconds", deadline, CpuInvalid, low=1, high=deadline)
    return Limits(deadline_seconds=deadline, memory_mb=memory, cpu_seconds=cpu)


def _read_drill(reading: Reading) -> Drill | None:
    if not reading.has("drill"):
        return None
    drill = Reading(reading.value["drill"], reading.at("drill"), {"reject_proof"})
    count = drill.number("reject_proof", 0, DrillInvalid, low=0, high=DRILLED_MAX)
    return Drill(reject_proof=count) if count else None


def _require_cid(value: Any, pointer: str) -> str:
    try:
        parse_cid(value)
    except CidInvalid as exc:
        raise placed(exc, pointer) from None
    return str(value)

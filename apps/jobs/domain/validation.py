"""From JSON to a `JobDefinition`: every rule that needs no clock and no store.

What is refused raises its own coded error with a JSON pointer into the input. A job without `steps`
has one step, `main`, whose fields stand at the top level. What needs the present time is
`timing.start`, what needs the content store is the service's.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from apps.content.domain.cid import cid_of, parse_cid
from apps.content.errors import CidInvalid
from apps.jobs.domain.actions import read_action, read_arguments
from apps.jobs.domain.graph import check_graph
from apps.jobs.domain.scripts import ScriptLimits, require_program
from apps.jobs.domain.timing import read_fires, read_instant, read_link, read_missed, read_trigger
from apps.jobs.domain.values import (
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
    ArgumentTooLarge,
    CpuInvalid,
    DeadlineInvalid,
    DrillInvalid,
    DuplicateEdge,
    EdgeUnknown,
    InputNameInvalid,
    MemoryInvalid,
    ScriptInvalid,
    ScriptLanguageUnknown,
    ScriptTooLarge,
    StepEmpty,
    StepKeyInvalid,
    TooManyReads,
    TooManySteps,
)
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
        "event",
        "condition",
        "link_job",
        "pause_after_failures",
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
#: an attempt is left after them
DRILLED_MAX: Final = 2

_STEP_KEY: Final = re.compile(r"^[a-z][a-z0-9_-]{0,63}$", re.ASCII)
_INPUT_NAME: Final = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a deployment allows. `chain_ids` None means that any chain is taken.
    `event_chain_ids` are the chains that can be watched, None any. `read_max` is how many inputs and data
    parents of one step a proof can bind, None without proofs.
    """

    chain_ids: Collection[int] | None = None
    script_max_bytes: int = 262_144
    script_limits: ScriptLimits = field(default_factory=ScriptLimits)
    params_max_bytes: int = 65_536
    deadline_seconds: int = 30
    memory_mb: int = 256
    gas_limit: int = 200_000
    read_max: int | None = None
    event_chain_ids: Collection[int] | None = None
    confirmations_max: int = 256
    pause_after_failures: int = 5


def definition_from_json(value: Any, bounds: Bounds = Bounds()) -> JobDefinition:
    """Parse a job; raise the coded error of the first part that is wrong, with its pointer."""
    reading = Reading(value, "", JOB_FIELDS | STEP_FIELDS)
    name = reading.text("name").strip()
    if not name:
        raise FieldInvalid(pointer="/name", reason="a name has at least one character")
    trigger = read_trigger(
        reading, event_chain_ids=bounds.event_chain_ids, confirmations_max=bounds.confirmations_max
    )
    missed_policy, missed_limit = read_missed(reading)
    recurring, max_fires = read_fires(reading)
    sources: dict[Script, bytes] = {}
    steps = _read_steps(reading, bounds, sources)

    return JobDefinition(
        name=name,
        trigger_kind=trigger.kind,
        schedule=trigger.schedule,
        event=trigger.event,
        condition=trigger.condition,
        steps=steps,
        missed_policy=missed_policy,
        missed_limit=missed_limit,
        recurring=recurring,
        max_fires=max_fires,
        expires_at=read_instant(reading, "expires_at"),
        link_job=read_link(reading),
        pause_after_failures=reading.number(
            "pause_after_failures", bounds.pause_after_failures, FieldInvalid, low=1, high=1_000
        ),
        speculation=choice_from_json(reading.get("speculation"), "/speculation"),
        sources={script.cid: data for script, data in sources.items()},
    )


def _read_steps(reading: Reading, bounds: Bounds, sources: dict[Script, bytes]) -> tuple[StepDefinition, ...]:
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


def _read_step(value: Any, pointer: str, bounds: Bounds, sources: dict[Script, bytes]) -> StepDefinition:
    reading = Reading(value, pointer, STEP_FIELDS | {"key"})
    key = reading.require("key")
    if not isinstance(key, str) or not _STEP_KEY.match(key):
        raise StepKeyInvalid(pointer=reading.at("key"), given=str(key)[:80])
    parents = _read_parents(reading)
    script = _read_script(reading, bounds, sources)
    inputs = _read_inputs(reading)
    _require_provable(reading, parents, inputs, bounds)
    params = _read_params(reading, bounds)
    action = read_action(reading, script, chain_ids=bounds.chain_ids, gas_limit=bounds.gas_limit)
    if script is None and action is None:
        raise StepEmpty(pointer=pointer, step=key)

    return StepDefinition(
        key=key,
        parents=parents,
        script=script,
        inputs=inputs,
        params=params,
        arguments=read_arguments(reading, script, action),
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


def _read_script(reading: Reading, bounds: Bounds, sources: dict[Script, bytes]) -> Script | None:
    source, language = reading.get("script_source"), Language.PYTHON
    if reading.has("script"):
        given = Reading(reading.value["script"], reading.at("script"), {"cid", "language"})
        language = given.choice("language", Language, ScriptLanguageUnknown, Language.PYTHON)
        if source is None:
            return Script(cid=_require_cid(given.require("cid"), given.at("cid")), language=str(language))
        if given.has("cid"):
            raise ScriptInvalid(pointer=given.at("cid"), reason="given both inline and by content id")
    if source is None:
        return None

    where = reading.at("script_source")
    if not isinstance(source, str) or not source.strip() or not is_clean(source):
        raise ScriptInvalid(pointer=where, reason="a text that is not empty is expected")
    data = source.encode()
    if len(data) > bounds.script_max_bytes:
        raise ScriptTooLarge(pointer=where, size_bytes=len(data), limit_bytes=bounds.script_max_bytes)
    script = Script(cid=cid_of(data), language=str(language))
    if script not in sources:
        require_program(source, where, language, bounds.script_limits)
        sources[script] = data
    return script


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

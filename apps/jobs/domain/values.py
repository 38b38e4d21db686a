"""The frozen values every rule about jobs reads: schedules, steps, the whole definition, fires.

`to_json` gives the canonical form that is stored, hashed and shown; `definition_from_json` reads it
back to an equal value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from apps.jobs.domain.instants import format_instant
from apps.kernel.hashing import canonical_json, sha256
from apps.kernel.ids import to_wire
from apps.kernel.speculation import Choice
from apps.triggers.data import Condition, EventTrigger, condition_to_json

#: the version of the stored form of a definition
FORMAT: Final = 1


class TriggerKind(StrEnum):
    """What opens a run."""

    #: a schedule
    TIME = "time"
    #: a log of a contract
    EVENT = "event"
    #: values of sources against limits
    CONDITION = "condition"
    #: a person or a program, by name
    MANUAL = "manual"


class FiringKind(StrEnum):
    """What made one firing."""

    #: the schedule's tick
    TIME = "time"
    #: a log
    EVENT = "event"
    #: a condition that was met
    CONDITION = "condition"
    #: another job's run that was confirmed
    LINK = "link"
    #: somebody, by name
    MANUAL = "manual"


class MissedPolicy(StrEnum):
    """What happens to fires that were missed while nothing swept, or while the job was paused."""

    #: they are dropped
    SKIP = "skip"
    #: the latest of them fires, once for all
    ONE = "one"
    #: the latest of them fire, up to the job's limit
    ALL = "all"


class Language(StrEnum):
    """What a script is written in."""

    #: CPython, as the keepers' sandboxes run it
    PYTHON = "python"
    #: ECMAScript modules, as Deno runs them
    JAVASCRIPT = "javascript"
    #: the same with types, which are stripped and not checked
    TYPESCRIPT = "typescript"


class EdgeKind(StrEnum):
    """Why a step depends on another."""

    #: the child reads the parent's output
    DATA = "data"
    #: the child only starts after the parent
    ORDER = "order"
    #: both share something scarce; never speculated across
    RESOURCE = "resource"


class ArgumentsKind(StrEnum):
    """Where the arguments of a step's action come from."""

    #: there are none, or the script decides
    NONE = "none"
    #: they are part of the definition
    STATIC = "static"
    #: the script computes them
    DYNAMIC = "dynamic"


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalSchedule:
    """Fires at `start_at` and every `seconds` after it. Without a start it is anchored at creation."""

    seconds: int
    start_at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        start = {} if self.start_at is None else {"start_at": format_instant(self.start_at)}
        return {"kind": "interval", "seconds": self.seconds, **start}


@dataclass(frozen=True, slots=True, kw_only=True)
class CronSchedule:
    """Fires when the five-field expression matches local time in an IANA zone."""

    expression: str
    zone: str = "UTC"

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return {"kind": "cron", "expression": self.expression, "zone": self.zone}


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecificSchedule:
    """Fires at each of these instants, ascending and distinct."""

    instants: tuple[datetime, ...]

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return {"kind": "specific", "instants": [format_instant(each) for each in self.instants]}


Schedule = IntervalSchedule | CronSchedule | SpecificSchedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """An edge to another step of the same job."""

    step: str
    kind: EdgeKind = EdgeKind.DATA

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return {"step": self.step, "kind": str(self.kind)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A program by content id."""

    cid: str
    language: str = "python"

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return {"cid": self.cid, "language": self.language}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """Where the action's arguments come from; `values` only where they are static."""

    kind: ArgumentsKind = ArgumentsKind.NONE
    values: tuple[Any, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return {"kind": str(self.kind), "values": list(self.values)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One call the settlement hub makes once the task is final. `target` is lower case."""

    chain_id: int
    target: str
    function: str
    abi: Mapping[str, Any]
    gas_limit: int
    value_wei: int = 0

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "chain_id": self.chain_id,
            "target": self.target,
            "function": self.function,
            "abi": dict(self.abi),
            "gas_limit": self.gas_limit,
            "value_wei": str(self.value_wei),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomAction:
    """A call that the step's script decides on as a whole: which of `targets`, and with what call data.

    The script says so in its output, and what it wants kept until the job's next run. `targets` are lower
    case and distinct.
    """

    chain_id: int
    targets: tuple[str, ...]
    gas_limit: int

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "chain_id": self.chain_id,
            "custom": True,
            "targets": list(self.targets),
            "gas_limit": self.gas_limit,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one execution of a step may use."""

    deadline_seconds: int = 30
    memory_mb: int = 256
    cpu_seconds: int = 30

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "deadline_seconds": self.deadline_seconds,
            "memory_mb": self.memory_mb,
            "cpu_seconds": self.cpu_seconds,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """A failure on purpose, so that a rollback can be seen.

    The proofs of the step's first `reject_proof` attempts are damaged after they were made and verified,
    so that the chain rejects them: each costs the keeper a share of its bond, and the attempt is lost.
    """

    reject_proof: int

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return {"reject_proof": self.reject_proof}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDefinition:
    """One step: what runs, on what, after what, and what it calls."""

    key: str
    parents: tuple[Parent, ...] = ()
    script: Script | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    params: Any = None
    arguments: Arguments = Arguments()
    action: Action | CustomAction | None = None
    limits: Limits = Limits()
    drill: Drill | None = None

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "key": self.key,
            "parents": [parent.to_json() for parent in self.parents],
            "script": self.script.to_json() if self.script else None,
            "inputs": dict(self.inputs),
            "params": self.params,
            "arguments": self.arguments.to_json(),
            "action": self.action.to_json() if self.action else None,
            "limits": self.limits.to_json(),
            "drill": self.drill.to_json() if self.drill else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDefinition:
    """Everything a person says about a job. `sources` are inline scripts by the CID they will have.

    How far it may run ahead (`speculation`) says nothing of what is computed, so that the steps' hash
    leaves it out.
    """

    name: str
    trigger_kind: TriggerKind
    schedule: Schedule | None
    steps: tuple[StepDefinition, ...]
    event: EventTrigger | None = None
    condition: Condition | None = None
    missed_policy: MissedPolicy = MissedPolicy.ONE
    missed_limit: int = 1
    recurring: bool = True
    max_fires: int | None = None
    expires_at: datetime | None = None
    link_job: UUID | None = None
    pause_after_failures: int = 5
    speculation: Choice = field(default_factory=Choice)
    sources: Mapping[str, bytes] = field(default_factory=dict, compare=False, repr=False)

    @property
    def trigger(self) -> Schedule | EventTrigger | Condition | None:
        """What opens runs by itself; None where only a name does."""
        return self.schedule or self.event or self.condition

    def to_json(self) -> dict[str, Any]:
        """The stored form of the whole, without inline sources."""
        return {
            "name": self.name,
            "trigger_kind": str(self.trigger_kind),
            "schedule": self.schedule.to_json() if self.schedule else None,
            "event": self.event.to_json() if self.event else None,
            "condition": condition_to_json(self.condition) if self.condition else None,
            "missed_policy": str(self.missed_policy),
            "missed_limit": self.missed_limit,
            "recurring": self.recurring,
            "max_fires": self.max_fires,
            "expires_at": format_instant(self.expires_at) if self.expires_at else None,
            "link_job": to_wire("job", self.link_job) if self.link_job else None,
            "pause_after_failures": self.pause_after_failures,
            "speculation": self.speculation.to_json(),
            "steps": [step.to_json() for step in self.steps],
        }

    def steps_json(self) -> dict[str, Any]:
        """What the row's `definition` holds: the versioned steps."""
        return {"format": FORMAT, "steps": [step.to_json() for step in self.steps]}

    def steps_hash(self) -> str:
        """SHA-256 (hex) of the canonical JSON of `steps_json()`."""
        return sha256(canonical_json(self.steps_json())).hex()

    def content_ids(self) -> tuple[str, ...]:
        """Every distinct CID the steps refer to, sorted."""
        scripts = {step.script.cid for step in self.steps if step.script}
        return tuple(sorted(scripts | {cid for step in self.steps for cid in step.inputs.values()}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """One firing to be: its key, unique within the job, and when it is due."""

    key: str
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Missed fires that were dropped: from the first one to just before `until`."""

    first: datetime
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Fires:
    """The ticks of a schedule up to a horizon, the next fire after them, and whether that was all.

    `taken` is the next fire the decision was made on; advancing the row is a compare-and-set on it.
    """

    ticks: tuple[Tick, ...]
    taken: datetime | None
    next_fire_at: datetime | None
    completed: bool
    skipped: Skipped | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a job's firings opened no run: a stable code, what they cost and what there was (units)."""

    reason: str
    needed_units: int
    available_units: int

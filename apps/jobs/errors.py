"""What can be wrong with a job, each with its own stable code.

Codes are part of the API: a client branches on them. `abi_invalid` is the kernel's,
`cid_invalid` the content app's.
"""

from apps.kernel.errors import Conflict, Invalid, NotFound


class JobNotFound(NotFound):
    """No such job in the caller's projects."""

    code = "job_not_found"
    title = "No such job"


class JobEnded(Conflict):
    """The job is completed, expired or deleted; nothing about it changes any more."""

    code = "job_ended"
    title = "The job has ended"


class JobMoved(Conflict):
    """The job's next fire is no longer the one that was taken; another worker was faster."""

    code = "job_moved"
    title = "The job has moved on"


class PriceUnknown(Conflict):
    """There is no gas price at hand. The job waits; it is never free."""

    code = "price_unknown"
    title = "The gas price is not known"


class TriggerUnknown(Invalid):
    """None of `time`, `event`, `condition` and `manual`."""

    code = "trigger_unknown"
    title = "The trigger is not known"


class ScheduleMissing(Invalid):
    """A time trigger without a schedule."""

    code = "schedule_missing"
    title = "The schedule is missing"


class ScheduleNotAllowed(Invalid):
    """A schedule beside a trigger that has none."""

    code = "schedule_not_allowed"
    title = "Only a time trigger has a schedule"


class TriggerFieldMissing(Invalid):
    """An event trigger without `event`, or a condition trigger without `condition`."""

    code = "trigger_field_missing"
    title = "What the trigger waits for is missing"


class TriggerFieldNotAllowed(Invalid):
    """`event` or `condition` beside a trigger of another kind."""

    code = "trigger_field_not_allowed"
    title = "This belongs to another kind of trigger"


class ScheduleUnknown(Invalid):
    """A schedule that is neither interval, cron nor specific."""

    code = "schedule_unknown"
    title = "The schedule's kind is not known"


class CronInvalid(Invalid):
    """An expression the cron engine refuses, or one that never matches."""

    code = "cron_invalid"
    title = "The cron expression is not valid"


class CronSixFields(Invalid):
    """Six fields: seconds are not supported; an interval schedule has them."""

    code = "cron_six_fields"
    title = "A cron expression has five fields"


class ZoneUnknown(Invalid):
    """Not the name of an IANA time zone."""

    code = "zone_unknown"
    title = "The time zone is not known"


class IntervalInvalid(Invalid):
    """Not a whole number of seconds within the bounds, or a bad start."""

    code = "interval_invalid"
    title = "The interval is not valid"


class IntervalLongerThanLife(Invalid):
    """The job would expire before the interval's first fire."""

    code = "interval_longer_than_life"
    title = "The interval is longer than the job's life"


class InstantsInvalid(Invalid):
    """Instants that are none, too many, repeated, without an offset or in the past."""

    code = "instants_invalid"
    title = "The instants are not valid"


class NeverFires(Invalid):
    """The schedule has no fire before the job expires."""

    code = "never_fires"
    title = "The job would never fire"


class MissedPolicyInvalid(Invalid):
    """Not `skip`, `one` or `all`, or a limit outside its bounds."""

    code = "missed_policy_invalid"
    title = "The policy for missed fires is not valid"


class MaxFiresInvalid(Invalid):
    """Not a positive number, or given for a job that fires once."""

    code = "max_fires_invalid"
    title = "The number of fires is not valid"


class ExpiresInPast(Invalid):
    """An expiry that is not in the future."""

    code = "expires_in_past"
    title = "The expiry is in the past"


class StepKeyInvalid(Invalid):
    """A step's key is lower-case letters, digits, `_` and `-`, at most 64, starting with a letter."""

    code = "step_key_invalid"
    title = "The step's key is not valid"


class StepDuplicate(Invalid):
    """Two steps of one job share a key."""

    code = "step_duplicate"
    title = "A step's key is used twice"


class StepEmpty(Invalid):
    """A step with neither a script nor an action does nothing."""

    code = "step_empty"
    title = "The step has neither a script nor an action"


class TooManySteps(Invalid):
    """More steps than a job may have."""

    code = "too_many_steps"
    title = "The job has too many steps"


class ParentUnknown(Invalid):
    """A parent that is not a step of this job."""

    code = "parent_unknown"
    title = "The parent is not a step of this job"


class SelfDependency(Invalid):
    """A step that depends on itself."""

    code = "self_dependency"
    title = "A step depends on itself"


class DuplicateEdge(Invalid):
    """The same parent twice."""

    code = "duplicate_edge"
    title = "The step names a parent twice"


class EdgeUnknown(Invalid):
    """An edge that is neither data, order nor resource."""

    code = "edge_unknown"
    title = "The edge's kind is not known"


class DependencyCycle(Invalid):
    """Steps that wait for each other; `cycle` names them in order, first repeated last."""

    code = "dependency_cycle"
    title = "The steps depend on each other in a cycle"


class AbiFunctionMismatch(Invalid):
    """The ABI entry describes another function than the action names."""

    code = "abi_function_mismatch"
    title = "The ABI entry is of another function"


class ChainUnknown(Invalid):
    """A chain this deployment does not settle on."""

    code = "chain_unknown"
    title = "The chain is not known"


class TargetsInvalid(Invalid):
    """A custom action's targets that are none, too many or named twice."""

    code = "action_targets_invalid"
    title = "The custom action's targets are not valid"


class ValueInvalid(Invalid):
    """Not a non-negative integer as text, or not zero: settlement forwards no coin."""

    code = "value_invalid"
    title = "The value to send is not valid"


class GasLimitInvalid(Invalid):
    """Outside what the hub can spend on one action."""

    code = "gas_limit_invalid"
    title = "The gas limit is not valid"


class ActionMissing(Invalid):
    """Arguments without an action to take them."""

    code = "action_missing"
    title = "The step has arguments and no action"


class ArgumentInvalid(Invalid):
    """A value that does not fit its parameter."""

    code = "argument_invalid"
    title = "An argument is not valid"


class ArgumentTooLarge(Invalid):
    """Parameters or call data beyond their limit in bytes."""

    code = "argument_too_large"
    title = "The arguments are too large"


class ArgumentsUnknown(Invalid):
    """Neither none, static nor dynamic."""

    code = "arguments_unknown"
    title = "The kind of arguments is not known"


class ScriptMissing(Invalid):
    """Dynamic arguments, and no script to compute them."""

    code = "script_missing"
    title = "The step needs a script"


class ScriptInvalid(Invalid):
    """An empty script, or one given both inline and by CID."""

    code = "script_invalid"
    title = "The script is not valid"


class ScriptSyntaxInvalid(Invalid):
    """A script that is no program of its language. Fields: language, line, column (from 1), reason."""

    code = "script_syntax_invalid"
    title = "The script is no program of its language"


class ScriptImportRefused(Invalid):
    """An inline script that imports another module. Fields: module, line, column (from 1)."""

    code = "script_import_refused"
    title = "A script is one file: nothing can be imported where it runs"


class ScriptTooComplex(Invalid):
    """Too many or too deep nodes of syntax, or too long a line. Fields: measure, found, limit."""

    code = "script_too_complex"
    title = "The script is too complex"


class ScriptLanguageUnknown(Invalid):
    """A language no sandbox runs."""

    code = "script_language_unknown"
    title = "The script's language is not known"


class ScriptTooLarge(Invalid):
    """A script beyond its limit in bytes."""

    code = "script_too_large"
    title = "The script is too large"


class InputNameInvalid(Invalid):
    """An input's name is a plain file name of at most 100 characters."""

    code = "input_name_invalid"
    title = "The input's name is not valid"


class InputMissing(Invalid):
    """A script or an input that the content store does not hold."""

    code = "input_missing"
    title = "The content is not in the store"


class DeadlineInvalid(Invalid):
    """A deadline outside its bounds."""

    code = "deadline_invalid"
    title = "The deadline is not valid"


class MemoryInvalid(Invalid):
    """A memory limit outside its bounds."""

    code = "memory_invalid"
    title = "The memory limit is not valid"


class CpuInvalid(Invalid):
    """A limit of CPU seconds outside its bounds or beyond the deadline."""

    code = "cpu_invalid"
    title = "The limit of CPU seconds is not valid"


class TooManyReads(Invalid):
    """More inputs and data parents than the proof of a step can bind. Fields: reads, limit."""

    code = "too_many_reads"
    title = "The step reads more than a proof can bind"


class DrillInvalid(Invalid):
    """A drill that rejects no whole number of proofs from 0 to 2."""

    code = "drill_invalid"
    title = "The drill is not valid"


class DrillNotAllowed(Invalid):
    """A drill in a project that allows none: it would cost keepers money."""

    code = "drill_not_allowed"
    title = "The project allows no drills"


class PlaceholderUnknown(Invalid):
    """An example names something that the deployment does not have."""

    code = "placeholder_unknown"
    title = "The example's placeholder stands for nothing"


class LinkUnknown(Invalid):
    """The linked job is not one of this project's, or it was deleted."""

    code = "link_unknown"
    title = "The linked job is not known"


class LinkCycle(Invalid):
    """Jobs that would fire each other without end; `cycle` names them in order."""

    code = "link_cycle"
    title = "The links of the jobs form a cycle"

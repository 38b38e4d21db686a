"""The public values of jobs: definitions, schedules, fires, and how a definition is read from JSON."""

from apps.jobs.domain.cost import CostEstimate, Prices, TaskCost, estimate
from apps.jobs.domain.due import Due, Patience, due, due_by_hand
from apps.jobs.domain.graph import compute_depths, topological_order
from apps.jobs.domain.instants import format_instant, manual_tick_key, parse_instant, time_tick_key
from apps.jobs.domain.schedule import next_fires
from apps.jobs.domain.states import JOB_TABLE, LIVE, JobStatus
from apps.jobs.domain.timing import schedule_from_json
from apps.jobs.domain.validation import Bounds, definition_from_json
from apps.jobs.domain.values import (
    Action,
    Arguments,
    ArgumentsKind,
    CronSchedule,
    Drill,
    EdgeKind,
    Fires,
    IntervalSchedule,
    JobDefinition,
    Limits,
    MissedPolicy,
    Parent,
    Refusal,
    Schedule,
    Script,
    Skipped,
    SpecificSchedule,
    StepDefinition,
    Tick,
    TriggerKind,
)

__all__ = [
    "JOB_TABLE",
    "LIVE",
    "Action",
    "Arguments",
    "ArgumentsKind",
    "Bounds",
    "CostEstimate",
    "CronSchedule",
    "Drill",
    "Due",
    "EdgeKind",
    "Fires",
    "IntervalSchedule",
    "JobDefinition",
    "JobStatus",
    "Limits",
    "MissedPolicy",
    "Parent",
    "Patience",
    "Prices",
    "Refusal",
    "Schedule",
    "Script",
    "Skipped",
    "SpecificSchedule",
    "StepDefinition",
    "TaskCost",
    "Tick",
    "TriggerKind",
    "compute_depths",
    "definition_from_json",
    "due",
    "due_by_hand",
    "estimate",
    "format_instant",
    "manual_tick_key",
    "next_fires",
    "parse_instant",
    "schedule_from_json",
    "time_tick_key",
    "topological_order",
]

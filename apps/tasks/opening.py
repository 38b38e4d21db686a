"""What one firing opens: a run, its tasks and its edges, with the project's money held for it.

Unique (job, tick) makes a firing happen at most once, whoever tries and however often.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.conf import settings

from apps.eventlog.data import EventDraft
from apps.eventlog.services import rows_create
from apps.eventlog.writing import rows_insert
from apps.jobs.data import FiringKind, format_instant
from apps.jobs.errors import PriceUnknown
from apps.jobs.models import Job
from apps.kernel.ids import new_id, to_wire
from apps.kernel.trace import new_trace
from apps.ledger.domain.postings import escrow_hold
from apps.ledger.services import transactions_post
from apps.storage.selectors import get_snapshots
from apps.tasks.data import RunStatus, TaskStatus
from apps.tasks.domain.depths import compute_depths
from apps.tasks.domain.spec import build_spec, build_trigger
from apps.tasks.models import RUN_FIELDS, TASK_FIELDS, Edge, Run, Task
from apps.tasks.moves import run_draft, time_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """One run to open: a locked job, the firing (by hand unless told otherwise), what was seen, its trace."""

    job: Job
    tick_key: str
    due_at: datetime
    fired_at: datetime | None = None
    kind: FiringKind = FiringKind.MANUAL
    evidence: Mapping[str, Any] = field(default_factory=dict)
    trace_id: str | None = None


def runs_open(openings: Sequence[Opening], *, now: datetime) -> list[Run]:
    """Open a run per opening and hold its estimated cost.

    Must run inside a transaction that holds the jobs' locks. Raises InsufficientFunds and PriceUnknown,
    for the whole set.
    """
    if any(opening.job.estimated_cost_units is None for opening in openings):
        raise PriceUnknown()
    runs: list[Run] = []
    tasks: list[Task] = []
    edges: list[Edge] = []
    kept = get_snapshots({opening.job.id: opening.job.definition for opening in openings})
    for opening in openings:
        run = _build_run(opening, now)
        own = _build_tasks(run, opening, now, storage=kept.get(opening.job.id))
        runs.append(run)
        tasks.extend(own.values())
        edges.extend(_build_edges(run, opening.job.definition["steps"], own))

    held = [run for run in runs if run.escrow_units]
    holds = [escrow_hold(run.project_id, run.id, run.escrow_units) for run in held]
    transactions_post([replace(hold, trace_id=run.trace_id) for run, hold in zip(held, holds, strict=True)])
    rows_create([*runs, *tasks], [*map(_run_opened, runs), *_tasks_discovered(runs, tasks)], now=now)
    rows_insert(Edge, edges, is_key_given=False)
    return runs


def _build_run(opening: Opening, now: datetime) -> Run:
    job = opening.job
    return Run(
        id=new_id(),
        job=job,
        project_id=job.project_id,
        tick_key=opening.tick_key,
        due_at=opening.due_at,
        status=RunStatus.OPEN,
        trace_id=opening.trace_id or new_trace().trace_id,
        opened_at=now,
        trigger={
            "kind": str(opening.kind),
            "evidence": dict(opening.evidence),
            "fired_at": format_instant(opening.fired_at or opening.due_at),
        },
        tasks_total=len(job.definition["steps"]),
        escrow_units=job.estimated_cost_units or 0,
    )


def _build_tasks(
    run: Run, opening: Opening, now: datetime, *, storage: dict[str, Any] | None
) -> dict[str, Task]:
    job, steps = opening.job, opening.job.definition["steps"]
    trigger = build_trigger(
        kind=str(opening.kind),
        rule=job.schedule or job.event or job.condition,
        evidence=opening.evidence,
        due_at=opening.due_at,
        fired_at=opening.fired_at or opening.due_at,
        expires_at=job.expires_at,
    )
    parents = {step["key"]: [parent["step"] for parent in step.get("parents", ())] for step in steps}
    depths = compute_depths(parents)
    tasks: dict[str, Task] = {}
    for position, step in enumerate(sorted(steps, key=lambda one: depths[one["key"]])):
        task_id = new_id()
        tasks[step["key"]] = Task(
            id=task_id,
            run=run,
            project_id=run.project_id,
            step_key=step["key"],
            position=position,
            depth=depths[step["key"]],
            status=TaskStatus.DISCOVERED,
            wake_at=now,
            spec=build_spec(
                step,
                task=to_wire("task", task_id),
                due_at=run.due_at,
                trigger=trigger if depths[step["key"]] == 0 else None,
                deadline_seconds=settings.FOREKEEP.execution.default_deadline_seconds,
                action_gas_limit=settings.FOREKEEP.settlement.action_gas_limit,
                circuits=settings.FOREKEEP.proofs.asked_circuits,
                storage=storage,
            ),
            timeline={str(TaskStatus.DISCOVERED): time_text(now)},
        )
    return tasks


def _build_edges(run: Run, steps: Sequence[dict[str, Any]], tasks: dict[str, Task]) -> list[Edge]:
    return [
        Edge(run=run, parent=tasks[parent["step"]], child=tasks[step["key"]], kind=parent["kind"])
        for step in steps
        for parent in step.get("parents", ())
    ]


def _run_opened(run: Run) -> EventDraft:
    return run_draft(run, "run.opened", run.get_json_fields(RUN_FIELDS))


def _tasks_discovered(runs: Sequence[Run], tasks: Sequence[Task]) -> list[EventDraft]:
    traces = {run.id: run.trace_id for run in runs}
    return [
        EventDraft(
            row=task,
            type="task.discovered",
            payload={"set": task.get_json_fields(TASK_FIELDS)},
            run_id=task.run_id,
            project_id=task.project_id,
            trace_id=traces[task.run_id],
        )
        for task in tasks
    ]

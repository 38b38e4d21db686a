"""Runs of dependent steps on a deployment that is up; import it after `Scratch.set_up_django`."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from apps.accounts.models import Project
from apps.content.store import open_store
from apps.jobs.data import Bounds, definition_from_json
from apps.jobs.models import Job
from apps.jobs.services import job_create
from apps.tasks.data import RunStatus
from apps.tasks.models import Edge, Run, Task
from apps.tasks.services import run_now
from bench.deployment import Scratch
from bench.errors import BenchFailed
from workers.pokes import poke

_COST_UNITS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRun:
    """From opening to the last confirmation, and from each parent's end to its child's start where it ran
    ahead on that parent alone."""

    seconds: float
    hops_seconds: Sequence[float]


def measure_run(scratch: Scratch, shape: Mapping[str, Sequence[str]], *, is_ahead: bool) -> MeasuredRun:
    """One run of a job of this shape, to its end. Raises BenchFailed unless it is confirmed."""
    run = run_now(job_id=_make_job(shape, is_ahead=is_ahead).id, project_ids=None)
    poke(["admit"])
    patience = 30 + 10 * len(shape)
    runs = Run.objects.filter(pk=run.pk)
    scratch.wait_for(
        lambda: runs.get().status != RunStatus.OPEN, patience, what=f"a run of {len(shape)} steps"
    )
    ended = runs.get()
    if ended.status != RunStatus.CONFIRMED:
        raise BenchFailed(f"{ended} ended as {ended.status}")
    tasks = {task.id: task for task in Task.objects.filter(run=run)}
    last = max(datetime.fromisoformat(task.timeline["confirmed"]) for task in tasks.values())
    return MeasuredRun(seconds=(last - run.opened_at).total_seconds(), hops_seconds=_hops(run, tasks))


def measure_rate(
    scratch: Scratch, shape: Mapping[str, Sequence[str]], count: int, *, is_ahead: bool
) -> float:
    """Tasks per second of `count` runs opened at once, to the last confirmation. Raises BenchFailed."""
    jobs = [_make_job(shape, is_ahead=is_ahead) for _ in range(count)]
    began = time.monotonic()
    opened = [run_now(job_id=job.id, project_ids=None).pk for job in jobs]
    poke(["admit"])
    runs = Run.objects.filter(pk__in=opened)
    tasks = count * len(shape)
    scratch.wait_for(
        lambda: not runs.filter(status=RunStatus.OPEN).exists(), 60 + 2 * tasks, what=f"{count} runs"
    )
    seconds = time.monotonic() - began
    if runs.filter(status=RunStatus.CONFIRMED).count() != count:
        raise BenchFailed(f"not all of {count} runs were confirmed")
    return tasks / seconds


def _hops(run: Run, tasks: Mapping[Any, Task]) -> list[float]:
    hops = []
    edges = list(Edge.objects.filter(run=run).values_list("parent_id", "child_id"))
    for parent, child in edges:
        is_alone = sum(below == child for _, below in edges) == 1
        if is_alone and tasks[child].is_ahead:
            ended = datetime.fromisoformat(str((tasks[parent].result or {})["finished_at"]))
            started = datetime.fromisoformat(str((tasks[child].result or {})["started_at"]))
            hops.append((started - ended).total_seconds())
    return hops


def _make_job(shape: Mapping[str, Sequence[str]], *, is_ahead: bool) -> Job:
    body = {
        "name": f"bench {len(shape)} {time.time()}",
        "trigger_kind": "manual",
        "speculation": {"enabled": is_ahead},
        "steps": [
            {"key": step, "script_source": "print('{}')", "parents": list(parents)}
            for step, parents in shape.items()
        ],
    }
    job = job_create(
        project_id=Project.objects.get(slug="demo").id,
        definition=definition_from_json(body, Bounds()),
        store=open_store(settings.FOREKEEP.content.url),
    )
    Job.objects.filter(pk=job.pk).update(estimated_cost_units=_COST_UNITS * len(shape))
    return job

"""What the pipeline bench does to a deployment that is up; import it after `Scratch.set_up_django`."""

import random
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import connection
from django.db.models import Min
from prometheus_client.parser import text_string_to_metric_families

from apps.accounts.models import Project
from apps.attestation.models import Round
from apps.content.store import open_store
from apps.eventlog.models import Event
from apps.eventlog.selectors import get_database_now
from apps.execution.models import Assignment
from apps.jobs.data import Bounds, definition_from_json
from apps.jobs.models import Job
from apps.jobs.services import job_create
from apps.keepers.models import Keeper
from apps.settlement.models import Batch
from apps.tasks.data import UNFINISHED, RunStatus, TaskStatus
from apps.tasks.models import Run, Task
from apps.tasks.services import run_now
from bench.deployment import Scratch
from bench.errors import BenchFailed
from project.metrics import metrics_text
from workers.pokes import poke

_COST_UNITS: Final = 1_000_000
#: between creating jobs and their tick
_LEAD_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What a run of the pipeline used, before or after."""

    control_messages: float
    leases: int
    calls: int
    sent_again: float
    batches: int
    events: int
    passes: Mapping[str, float]

    @property
    def execution_messages(self) -> float:
        """One per lease, one per round and member, and those that were sent again."""
        return self.leases + self.calls + self.sent_again


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """So many tasks through the whole life cycle. `cpu` is CPU seconds by process.

    `seconds` run from the first run opened to the last task confirmed, `middle_seconds` from the tenth to
    the ninetieth of a hundred confirmations. `passes` is how often each stage ran, and how many messages of
    each kind keepers sent.
    """

    tasks: int
    seconds: float
    middle_seconds: float
    control_messages: float
    execution_messages: float
    sent_again: float
    batches: int
    events: int
    passes: Mapping[str, float]
    cpu: Mapping[str, float]


def wait_for_keepers(scratch: Scratch, count: int) -> None:
    """Wait until the keepers are online and the examples the set-up brought have come to rest."""
    scratch.wait_for(lambda: Keeper.objects.filter(online=True).count() >= count, 60, what="keepers online")
    Job.objects.filter(status="active").update(status="paused")
    rest = Task.objects.filter(status__in=UNFINISHED)
    scratch.wait_for(lambda: not rest.exists(), 60, what="the example jobs at rest")


def make_job(steps: int, instants: list[datetime] | None = None) -> Job:
    """A job of independent steps, each with a script; started by hand, or at these instants."""
    project = Project.objects.get(slug="demo")
    trigger: dict[str, Any] = {"trigger_kind": "manual"}
    if instants:
        schedule = {"kind": "specific", "instants": [at.isoformat() for at in instants]}
        trigger = {"trigger_kind": "time", "schedule": schedule, "missed_policy": "all"}
    body = {
        "name": f"bench {steps} {time.time()}",
        "steps": [{"key": f"s{n}", "script_source": "print('{}')"} for n in range(steps)],
        **trigger,
    }
    job = job_create(
        project_id=project.id,
        definition=definition_from_json(body, Bounds()),
        store=open_store(settings.FOREKEEP.content.url),
    )
    Job.objects.filter(pk=job.pk).update(estimated_cost_units=_COST_UNITS * steps)
    return job


def measure_asked(scratch: Scratch, count: int) -> tuple[list[float], list[float]]:
    """Single-task runs asked for one after the other: seconds to the start, and to the confirmation."""
    job = make_job(1)
    started: list[float] = []
    confirmed: list[float] = []
    for _ in range(count):
        run = run_now(job_id=job.id, project_ids=None)
        poke(["admit"])
        runs = Run.objects.filter(pk=run.pk)
        scratch.wait_for(lambda runs=runs: runs.get().status != RunStatus.OPEN, 60, what="a run of one task")
        _take(runs.get(), run.opened_at, started, confirmed)
    return started, confirmed


def measure_due(scratch: Scratch, count: int) -> tuple[list[float], list[float]]:
    """Single-task runs of a time trigger, at instants that fall anywhere between two sweeps."""
    dice = random.Random(count)
    first = get_database_now() + timedelta(seconds=_LEAD_SECONDS)
    instants = [first + timedelta(seconds=n + dice.random() * 0.9) for n in range(count)]
    job = make_job(1, instants)
    ended = Run.objects.filter(job=job).exclude(status=RunStatus.OPEN)
    scratch.wait_for(lambda: ended.count() >= count, 60 + 2 * count, what="the runs of a time trigger")
    started: list[float] = []
    confirmed: list[float] = []
    for run in ended:
        _take(run, run.due_at, started, confirmed)
    return started, confirmed


def warm_up(scratch: Scratch, tasks: int) -> None:
    """Let every keeper be measured: until it is, it is given little at a time."""
    run = run_now(job_id=make_job(tasks).id, project_ids=None)
    poke(["admit"])
    scratch.wait_for(lambda: Run.objects.get(pk=run.pk).status != RunStatus.OPEN, 120, what="the warm-up")


def measure_throughput(scratch: Scratch, tasks: int, per_run: int, *, patience: float) -> Throughput:
    """Runs of `per_run` tasks, all due at one instant; from the first opened to the last confirmed.

    Raises BenchFailed unless each task is confirmed.
    """
    at = get_database_now() + timedelta(seconds=_LEAD_SECONDS + tasks / per_run * 0.05)
    jobs = [make_job(per_run, [at]) for _ in range(tasks // per_run)]
    runs = Run.objects.filter(job__in=jobs)
    before, cpu_before = _counts(), scratch.cpu_seconds()
    scratch.wait_for(lambda: runs.count() == len(jobs), 60, what="the fire stage")
    is_open = runs.filter(status=RunStatus.OPEN)
    try:
        scratch.wait_for(lambda: not is_open.exists(), patience, what=f"{tasks} tasks")
    except BenchFailed as exc:
        raise BenchFailed(f"{exc}; {_statuses(jobs)}") from None
    if set(_statuses(jobs)) != {TaskStatus.CONFIRMED}:
        raise BenchFailed(f"not all confirmed: {_statuses(jobs)}")

    after, cpu_after = _counts(), scratch.cpu_seconds()
    first = runs.aggregate(first=Min("opened_at"))["first"]
    timelines = Task.objects.filter(run__in=runs).values_list("timeline", flat=True)
    confirmed = sorted(_time(timeline["confirmed"]) for timeline in timelines)
    tenth = len(confirmed) // 10
    return Throughput(
        tasks=tasks,
        seconds=(confirmed[-1] - first).total_seconds(),
        middle_seconds=(confirmed[-1 - tenth] - confirmed[tenth]).total_seconds(),
        control_messages=after.control_messages - before.control_messages,
        execution_messages=after.execution_messages - before.execution_messages,
        sent_again=after.sent_again - before.sent_again,
        batches=after.batches - before.batches,
        events=after.events - before.events,
        passes={name: count - before.passes.get(name, 0.0) for name, count in after.passes.items()},
        cpu={name: seconds - cpu_before.get(name, 0.0) for name, seconds in cpu_after.items()},
    )


def _take(run: Run, since: datetime, started: list[float], confirmed: list[float]) -> None:
    if run.status != RunStatus.CONFIRMED:
        raise BenchFailed(f"{run} ended as {run.status}")
    task = Task.objects.get(run=run)
    result = task.result or {}
    started.append((_time(result["started_at"]) - since).total_seconds())
    confirmed.append((_time(task.timeline["confirmed"]) - since).total_seconds())


def _statuses(jobs: list[Job]) -> dict[str, int]:
    return dict(Counter(Task.objects.filter(run__job__in=jobs).values_list("status", flat=True)))


def _counts() -> Counts:
    samples: defaultdict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(metrics_text().decode()):
        for sample in family.samples:
            samples[sample.name] += sample.value
            for label in ("stage", "task"):
                samples[f"{sample.name}:{sample.labels.get(label, '')}"] += sample.value
    committees = Round.objects.values_list("committee", flat=True)
    size = len(next(iter(committees), []))
    connection.close_if_unusable_or_obsolete()
    return Counts(
        control_messages=samples["forekeep_celery_tasks_total"],
        leases=Assignment.objects.count(),
        calls=sum(map(len, committees)),
        sent_again=samples["forekeep_stage_rows_total:leases"]
        + size * samples["forekeep_stage_rows_total:rounds"],
        batches=Batch.objects.count(),
        events=Event.objects.count(),
        passes={
            name.rpartition(":")[2].removeprefix("workers.intake."): value
            for name, value in samples.items()
            if name.startswith(
                ("forekeep_stage_passes_total:", "forekeep_celery_tasks_total:workers.intake.")
            )
            and not name.endswith(":")
        },
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))

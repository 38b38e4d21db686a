"""Do ticks fire twice, or not at all, while schedulers are killed?

    python -m bench.ticks [--ticks 100000] [--jobs 200] [--schedulers 2]

Jobs that fire each second of a clock that runs faster, on one database; several processes lay out, mark and
take their ticks all at once, and one of them at random is killed with -9 again and again. In the end every
tick of every job is counted against the schedule. The limit is zero of both.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Final

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from django.db import OperationalError, connection  # noqa: E402

from apps.jobs.data import Patience  # noqa: E402
from apps.jobs.firings import jobs_look_ahead  # noqa: E402
from apps.jobs.models import Firing, Job  # noqa: E402
from bench.errors import BenchFailed, run_bench  # noqa: E402
from bench.figures import Figure, tell  # noqa: E402
from bench.pipeline import load_text  # noqa: E402
from tests.factories.accounts import make_project  # noqa: E402
from tests.factories.jobs import make_store, make_time_job  # noqa: E402
from tests.support.firing import fire_taken  # noqa: E402

START: Final = datetime(2030, 1, 1, tzinfo=UTC)
_PATIENCE: Final = Patience(grace_seconds=10**7, burst=200)
_LOOK_AHEAD: Final = timedelta(seconds=40)


def main() -> None:
    """Play the killer, or be one scheduler of it (`--child`)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ticks", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--schedulers", type=int, default=2)
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        connection.settings_dict["NAME"] = options.child
        schedule(START + timedelta(seconds=options.ticks // options.jobs))
        return
    play(options.ticks, options.jobs, options.schedulers)


def schedule(end: datetime) -> None:
    """One scheduler: as far as all ticks are laid out, on with the clock, until the end."""
    while True:
        try:
            behind = Job.objects.order_by("next_fire_at").values_list("next_fire_at", flat=True)[0]
            now = min(behind + timedelta(seconds=10), end)
            jobs_look_ahead(now=now, until=min(now + _LOOK_AHEAD, end), limit=100, patience=_PATIENCE)
            taken = fire_taken(now, limit=500, patience=_PATIENCE)
        except OperationalError:
            continue
        if behind > end and not taken:
            return


def play(ticks: int, jobs: int, schedulers: int) -> None:
    """Make the jobs, start the schedulers, kill until all is fired, count."""
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    name = str(connection.settings_dict["NAME"])
    project, store = make_project(), make_store()
    schedule_of = {"kind": "interval", "seconds": 1, "start_at": "2030-01-01T00:00:01Z"}
    for _ in range(jobs):
        make_time_job(
            project=project, store=store, missed_policy="all", missed_limit=1_000, schedule=schedule_of
        )
    per_job = ticks // jobs
    print(f"ticks: {per_job * jobs} of {jobs} jobs, {schedulers} schedulers; {load_text()}", flush=True)

    command = [
        sys.executable,
        "-m",
        "bench.ticks",
        "--child",
        name,
        "--ticks",
        str(ticks),
        "--jobs",
        str(jobs),
    ]
    dice, kills, began = random.Random(7), 0, time.monotonic()
    running = [subprocess.Popen(command) for _ in range(schedulers)]
    while any(process.poll() != 0 for process in running):
        time.sleep(0.3 + dice.random())
        if time.monotonic() - began > 1_800:
            raise BenchFailed("not over within half an hour")
        at = dice.randrange(schedulers)
        if running[at].poll() is None and dice.random() < 0.5:
            running[at].send_signal(signal.SIGKILL)
            running[at].wait()
            kills += 1
        if running[at].poll() not in (None, 0):
            running[at] = subprocess.Popen(command)
    seconds = time.monotonic() - began
    tell(count(per_job, kills, seconds))


def count(per_job: int, kills: int, seconds: float) -> list[Figure]:
    """What fired, against what should have."""
    expected = {START + timedelta(seconds=n) for n in range(1, per_job + 1)}
    missed = doubled = fired = 0
    for job in Job.objects.all():
        instants = list(Firing.objects.filter(job=job, status="opened").values_list("due_at", flat=True))
        fired += len(instants)
        missed += len(expected - set(instants))
        doubled += len(instants) - len(set(instants)) + max(0, job.fire_count - len(set(instants)))
    bench, limit = "ticks under kill -9", "the limit, 0"
    named = (
        ("ticks fired", fired, fired / seconds, "each second"),
        ("kills", kills, 0.0, ""),
        ("fired twice", doubled, float(doubled), limit),
        ("not fired", missed, float(missed), limit),
    )
    return [
        Figure(bench=bench, name=name, value=float(value), unit="", ratio=ratio, beside=beside)
        for name, value, ratio, beside in named
    ]


if __name__ == "__main__":
    run_bench(main)

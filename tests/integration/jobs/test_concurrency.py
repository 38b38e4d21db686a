"""Many workers at once, in real transactions: each tick once; edits do not overwrite each other."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection

from apps.jobs.data import Bounds
from apps.jobs.selectors import get_job
from apps.jobs.services import job_update
from apps.kernel.errors import PreconditionFailed
from tests.factories.accounts import make_project
from tests.factories.jobs import make_store, make_time_job
from tests.support.firing import fire_taken

pytestmark = pytest.mark.django_db(transaction=True)

WORKERS = 4


def in_threads(work, arguments):
    """Run `work` in as many threads as there are arguments, each with its own connection."""

    def run(argument):
        try:
            return work(argument)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(run, arguments))


def test_workers_that_sweep_at_once_fire_each_tick_once():
    project, store = make_project(), make_store()
    jobs = [make_time_job(project=project, store=store, seconds=20) for _ in range(12)]
    start = max(job.next_fire_at for job in jobs)

    def sweep_five_times(_):
        fired = []
        for turn in range(5):
            now = start + timedelta(seconds=20 * turn)
            taken = fire_taken(now, limit=5)
            fired += [(one.job.id, firing.key) for one in taken for firing in one.firings]
        return fired

    fired = Counter(tick for ticks in in_threads(sweep_five_times, range(WORKERS)) for tick in ticks)

    assert set(fired.values()) == {1}
    for job in jobs:
        assert get_job(job.id).fire_count == sum(1 for job_id, _ in fired if job_id == job.id)


def test_of_edits_based_on_the_same_version_one_wins():
    job, store = make_time_job(), make_store()

    def edit(name):
        try:
            changes = {"name": name}
            job_update(job_id=job.id, changes=changes, store=store, bounds=Bounds(), version=1)
        except PreconditionFailed:
            return None
        return name

    winners = [name for name in in_threads(edit, [f"name {n}" for n in range(WORKERS)]) if name]
    assert len(winners) == 1
    assert (get_job(job.id).name, get_job(job.id).version) == (winners[0], 2)

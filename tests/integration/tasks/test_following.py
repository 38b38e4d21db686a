"""Ended runs have consequences for their job: counted once, a pause after too many failures, a linked job."""

from datetime import timedelta

import pytest

from apps.eventlog.domain.replay import replay
from apps.eventlog.selectors import get_database_now, get_events
from apps.jobs.data import Bounds
from apps.jobs.errors import LinkCycle, LinkUnknown
from apps.jobs.models import Firing, Job
from apps.jobs.selectors import get_job
from apps.jobs.services import job_delete, job_pause, job_resume, job_update
from apps.jobs.writing import PUBLIC_FIELDS
from apps.kernel.outcome import Outcome
from apps.tasks.following import runs_follow
from apps.tasks.models import Run
from apps.tasks.services import run_now, runs_fire
from tests.factories.accounts import make_project
from tests.factories.jobs import make_job, make_store, make_time_job

pytestmark = pytest.mark.django_db


def priced(job):
    """The job, for nothing."""
    Job.objects.filter(pk=job.pk).update(estimated_cost_units=0)
    return job


def end(job, *statuses):
    """A run of the job for each of these endings, in order."""
    for status in statuses:
        run = run_now(job_id=job.id, project_ids=None)
        Run.objects.filter(pk=run.pk).update(status=status, finished_at=get_database_now())


def follow():
    """One pass of the stage."""
    return runs_follow(now=get_database_now(), limit=100)


def types_of(job):
    return [event.event_type for event in get_events(aggregate=("job", job.aggregate_id))]


def link(job, other):
    """Have the job fire the other."""
    changes = {"link_job": None if other is None else other.wire_id}
    return job_update(job_id=job.id, changes=changes, store=make_store(), bounds=Bounds())


def test_a_run_is_counted_once_however_often_the_stage_runs():
    job = priced(make_job(pause_after_failures=3))
    end(job, "failed")
    assert follow().taken == 1
    assert follow() == Outcome()
    assert get_job(job.id).failures_in_row == 1


def test_a_job_that_fails_again_and_again_is_paused_and_says_why():
    job = priced(make_time_job(pause_after_failures=3))
    end(job, "failed", "confirmed", "failed", "failed")
    follow()
    assert (get_job(job.id).status, get_job(job.id).failures_in_row) == ("active", 2)
    end(job, "cancelled", "failed")
    follow()
    row = get_job(job.id)
    assert (row.status, row.failures_in_row) == ("paused", 3)
    event = get_events(aggregate=("job", job.aggregate_id))[-1]
    assert (event.event_type, event.payload["reason"]) == ("job.paused", "failures_in_row")
    assert len(event.payload["failed"]) == 1
    assert replay(get_events(aggregate=("job", job.aggregate_id))) | {"estimated_cost_units": 0} == (
        row.get_json_fields(PUBLIC_FIELDS)
    )


def test_a_resumed_job_begins_to_count_anew():
    job = priced(make_time_job(pause_after_failures=1))
    end(job, "failed")
    follow()
    assert get_job(job.id).status == "paused"
    assert job_resume(job_id=job.id).failures_in_row == 0


def test_a_confirmed_run_fires_the_linked_job_once():
    project = make_project()
    second = priced(make_job(project=project))
    first = priced(make_job(project=project, link_job=second.wire_id))
    end(first, "confirmed", "failed", "cancelled")
    assert follow().pokes == {"fire"}
    follow()
    runs_fire(now=get_database_now() + timedelta(seconds=1), limit=10)
    run = Run.objects.get(job=second)
    confirmed = Run.objects.get(job=first, status="confirmed")
    assert run.tick_key == f"link:{confirmed.id.hex}"
    assert run.trigger["evidence"] == {"kind": "link", "job": first.wire_id, "run": str(confirmed)}


def test_a_linked_job_that_is_paused_keeps_why_it_did_not_fire_and_a_deleted_one_gets_nothing():
    project = make_project()
    second = make_job(project=project)
    first = priced(make_job(project=project, link_job=second.wire_id))
    job_pause(job_id=second.id)
    end(first, "confirmed")
    follow()
    assert [firing.reason for firing in Firing.objects.filter(job=second)] == ["job_paused"]
    job_delete(job_id=second.id)
    end(first, "confirmed")
    follow()
    assert Firing.objects.filter(job=second).count() == 1


def test_a_link_leads_to_a_job_of_the_same_project_that_is_there():
    with pytest.raises(LinkUnknown):
        make_job(link_job=make_job().wire_id)
    project = make_project()
    gone = job_delete(job_id=make_job(project=project).id)
    with pytest.raises(LinkUnknown):
        make_job(project=project, link_job=gone.wire_id)
    with pytest.raises(LinkUnknown):
        make_job(link_job="job_nonsense")


def test_links_that_come_back_are_refused_with_the_cycle():
    project = make_project()
    a, b, c = (make_job(project=project) for _ in range(3))
    link(a, b)
    link(b, c)
    with pytest.raises(LinkCycle) as refused:
        link(c, a)
    assert refused.value.cycle == [c.wire_id, a.wire_id, b.wire_id, c.wire_id]
    with pytest.raises(LinkCycle):
        link(c, c)
    link(b, None)
    assert link(c, a).link_job_id == a.id
    assert types_of(c) == ["job.created", "job.updated"]

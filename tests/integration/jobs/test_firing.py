"""Taking due jobs and advancing them: exactly one firing per tick in a real database."""

from datetime import timedelta

import pytest
from django.db import transaction

from apps.eventlog.selectors import get_database_now, get_events
from apps.jobs.data import Patience, Prices, next_fires
from apps.jobs.errors import JobEnded, JobNotFound
from apps.jobs.firings import FiringDraft, firings_add, firings_purge, get_next_due_at, jobs_look_ahead
from apps.jobs.models import Firing, Job
from apps.jobs.selectors import check, get_job, preview
from apps.jobs.services import (
    job_delete,
    job_mark_by_hand,
    job_pause,
    job_resume,
    job_take_by_hand,
    jobs_expire,
    jobs_reprice,
)
from apps.tasks.models import Run
from apps.tasks.services import runs_fire
from tests.factories.accounts import make_project
from tests.factories.jobs import make_job, make_time_job
from tests.factories.ledger import fund_project
from tests.support.firing import fire_jobs as fire
from tests.support.firing import fire_taken

pytestmark = pytest.mark.django_db


def types_of(job):
    return [event.event_type for event in get_events(aggregate=("job", job.aggregate_id))]


def test_a_job_fires_on_its_tick_and_not_before_and_not_again():
    job = make_time_job(seconds=60)
    at = job.next_fire_at
    assert fire(at - timedelta(milliseconds=1)) == {}
    assert fire(at) == {job.id: [f"time:{at.isoformat().replace('+00:00', 'Z')}"]}
    assert fire(at) == {}
    row = get_job(job.id)
    assert (row.fire_count, row.next_fire_at, row.last_fired_at) == (1, at + timedelta(seconds=60), at)
    assert row.version == 1
    assert types_of(job) == ["job.created", "job.scheduled", "job.fired"]


def test_a_paused_job_does_not_fire_on_its_tick():
    job = make_time_job()
    job_pause(job_id=job.id)
    assert fire(job.next_fire_at + timedelta(hours=1)) == {}


def test_a_deleted_job_does_not_fire_on_its_tick():
    job = make_time_job()
    job_delete(job_id=job.id)
    assert fire(job.next_fire_at) == {}


def test_the_longest_due_jobs_are_taken_first():
    late, later = make_time_job(seconds=60), make_time_job(seconds=40)
    now = late.next_fire_at + timedelta(seconds=5)
    assert set(fire(now, limit=1)) == {later.id}
    assert set(fire(now, limit=1)) == {late.id}


def test_many_due_jobs_are_fired_in_a_handful_of_statements(django_assert_max_num_queries):
    project = make_project()
    jobs = [make_time_job(project=project, seconds=60) for _ in range(60)]
    now = max(job.next_fire_at for job in jobs)
    with django_assert_max_num_queries(24):
        fired = fire(now)
    assert len(fired) == 60


def test_a_job_that_fires_once_is_completed_by_its_fire():
    job = make_time_job(recurring=False)
    fire(job.next_fire_at)
    row = get_job(job.id)
    assert (row.status, row.next_fire_at, row.fire_count) == ("completed", None, 1)
    assert types_of(job) == ["job.created", "job.scheduled", "job.fired", "job.completed"]
    assert fire(job.next_fire_at + timedelta(days=1)) == {}


def test_a_job_fires_no_more_often_than_it_may():
    job = make_time_job(seconds=10, max_fires=3)
    assert len(fire(job.next_fire_at + timedelta(seconds=55))[job.id]) == 3
    assert get_job(job.id).status == "completed"


def test_after_an_outage_the_missed_ticks_follow_the_policy_and_are_recorded():
    job = make_time_job(seconds=60, missed_policy="one")
    now = job.next_fire_at + timedelta(hours=1, seconds=30)
    fired = fire(now, patience=Patience(grace_seconds=0))
    assert len(fired[job.id]) == 1
    event = get_events(aggregate=("job", job.aggregate_id), event_type="job.scheduled")[-1]
    assert event.payload["skipped"]["first"].startswith(job.next_fire_at.strftime("%Y-%m-%dT%H:%M:%S"))


def test_a_pass_that_only_drops_ticks_still_moves_the_job_on():
    job = make_time_job(seconds=3600, missed_policy="skip")
    assert fire(job.next_fire_at + timedelta(seconds=1800)) == {}
    row = get_job(job.id)
    assert (row.fire_count, row.last_fired_at) == (0, None)
    assert row.next_fire_at == job.next_fire_at + timedelta(hours=1)
    assert types_of(job) == ["job.created", "job.skipped"]


def test_a_tick_is_laid_out_once_however_often_the_job_is_looked_at():
    job = make_time_job()
    now = job.next_fire_at
    assert jobs_look_ahead(now=now, until=now, limit=10) == 1
    Job.objects.filter(pk=job.pk).update(next_fire_at=now)
    assert jobs_look_ahead(now=now, until=now, limit=10) == 1
    assert Firing.objects.filter(job=job).count() == 1
    assert len(fire(now)[job.id]) == 1
    assert get_job(job.id).fire_count == 1


def test_ticks_are_laid_out_before_their_time_and_fire_at_it():
    job = make_time_job(seconds=10)
    first, now = job.next_fire_at, job.created_at
    jobs_look_ahead(now=now, until=first + timedelta(seconds=25), limit=10)
    assert get_job(job.id).next_fire_at == first + timedelta(seconds=30)
    assert get_next_due_at() == first
    assert fire(first - timedelta(milliseconds=1)) == {}
    assert fire(first) == {job.id: [f"time:{first.isoformat().replace('+00:00', 'Z')}"]}
    assert Firing.objects.get(job=job, status="opened").fired_at == first


def test_a_pause_takes_back_the_ticks_to_come_and_a_resume_lays_them_out_again():
    job = make_time_job(seconds=30)
    first = job.next_fire_at
    jobs_look_ahead(now=job.created_at, until=first + timedelta(seconds=30), limit=10)
    assert job_pause(job_id=job.id).next_fire_at == first
    assert not Firing.objects.filter(job=job).exists()
    assert fire(first + timedelta(seconds=1)) == {}
    job_resume(job_id=job.id)
    assert len(fire(first + timedelta(seconds=1))[job.id]) == 1


def test_an_expiry_waits_for_the_ticks_laid_out_before_it():
    job = make_time_job(seconds=60, expires_at=(get_database_now() + timedelta(seconds=90)).isoformat())
    jobs_look_ahead(now=job.created_at, until=job.next_fire_at, limit=10)
    assert jobs_expire(now=job.expires_at) == 0
    assert len(fire(job.expires_at)[job.id]) == 1
    assert jobs_expire(now=job.expires_at) == 1


def test_what_fired_of_itself_opens_a_run_once_with_what_was_seen():
    job, now = priced_manual(), get_database_now()
    seen = {"kind": "link", "job": "job_1", "run": "run_1"}
    draft = FiringDraft(job_id=job.id, key="link:1", kind="link", due_at=now, evidence=seen)
    assert firings_add([draft], now=now) == [job.id]
    firings_add([draft], now=now)
    runs_fire(now=now, limit=10)
    run = Run.objects.get(job=job)
    assert (run.tick_key, run.trigger["kind"], run.trigger["evidence"]) == ("link:1", "link", seen)
    firings_add([draft], now=now)
    runs_fire(now=now, limit=10)
    assert Run.objects.filter(job=job).count() == 1


def test_what_reaches_a_paused_job_is_kept_as_refused_and_an_ended_job_gets_nothing():
    paused, ended, now = make_job(), make_job(), get_database_now()
    job_pause(job_id=paused.id)
    job_delete(job_id=ended.id)
    drafts = [
        FiringDraft(job_id=job.id, key="link:2", kind="link", due_at=now, evidence={})
        for job in (paused, ended)
    ]
    assert firings_add(drafts, now=now) == []
    assert list(Firing.objects.values_list("job", "status", "reason")) == [
        (paused.id, "refused", "job_paused")
    ]


def test_a_job_that_fires_once_refuses_a_second_firing_of_the_same_moment():
    job, now = make_job(recurring=False), get_database_now()
    firings_add(
        [FiringDraft(job_id=job.id, key=f"link:{n}", kind="link", due_at=now, evidence={}) for n in range(2)],
        now=now,
    )
    (taken,) = fire_taken(now)
    assert [firing.key for firing in taken.firings] == ["link:0"]
    assert [(firing.key, reason) for firing, reason in taken.refused] == [("link:1", "fires_used_up")]
    assert get_job(job.id).status == "completed"
    assert fire(now) == {}


def test_old_firings_are_forgotten_and_their_ticks_do_not_fire_again():
    job = make_time_job(seconds=60)
    now = job.next_fire_at
    fire(now)
    assert firings_purge(now=now + timedelta(seconds=100), keep_seconds=101) == 0
    assert firings_purge(now=now + timedelta(seconds=102), keep_seconds=101) == 1
    assert fire(now) == {}


def test_a_job_whose_schedule_cannot_be_read_is_paused_and_holds_up_nobody():
    broken, good = make_time_job(), make_time_job()
    Job.objects.filter(pk=broken.pk).update(
        schedule={"kind": "cron", "expression": "0 0 * * *", "zone": "Atlantis/Poseidonis"}
    )
    fired = fire(max(broken.next_fire_at, good.next_fire_at))
    assert set(fired) == {good.id}
    assert get_job(broken.id).status == "paused"
    assert "Atlantis" in get_events(aggregate=("job", broken.aggregate_id))[-1].payload["reason"]


def test_a_manual_firing_of_a_manual_job_counts_and_completes_it():
    job, now = make_job(recurring=False), get_database_now()
    by_hand(job, now)
    assert (get_job(job.id).fire_count, get_job(job.id).status) == (1, "completed")
    with pytest.raises(JobEnded), transaction.atomic():
        job_take_by_hand(job_id=job.id, now=now)


def test_a_manual_firing_of_a_timed_job_leaves_its_schedule_alone_even_while_it_is_paused():
    job = make_time_job(max_fires=1)
    job_pause(job_id=job.id)
    now = get_database_now()
    by_hand(job, now)
    row = get_job(job.id)
    assert (row.status, row.fire_count, row.next_fire_at) == ("paused", 0, job.next_fire_at)
    assert row.last_fired_at == now


def test_an_expired_or_foreign_job_is_not_fired_by_hand():
    job = make_job(expires_at="2099-01-01T00:00:00Z")
    with pytest.raises(JobEnded), transaction.atomic():
        job_take_by_hand(job_id=job.id, now=job.expires_at)
    with pytest.raises(JobNotFound), transaction.atomic():
        job_take_by_hand(
            job_id=job.id,
            now=get_database_now(),
            project_ids=frozenset({make_project().id}),
        )


def test_the_preview_of_a_job_is_what_it_then_fires():
    job = make_time_job(schedule={"kind": "cron", "expression": "*/20 1-3 * * *", "zone": "Europe/Berlin"})
    promised = preview(job, 10, get_database_now())
    assert promised == next_fires(job.due.schedule, job.created_at, 10)
    fired = []
    for instant in promised:
        fired += fire(instant)[job.id]
    assert fired == [f"time:{each.isoformat().replace('+00:00', 'Z')}" for each in promised]


def test_a_preview_ends_where_the_job_does():
    now = get_database_now()
    end = (now + timedelta(seconds=150)).isoformat()
    assert len(preview(make_time_job(seconds=60, expires_at=end), 10, now)) == 2
    assert len(preview(make_time_job(seconds=60, max_fires=3), 10, now)) == 3
    assert len(preview(make_time_job(seconds=60, recurring=False), 10, now)) == 1
    assert preview(make_job(), 10, now) == ()
    assert preview(job_delete(job_id=make_time_job().id), 10, now) == ()
    assert len(preview(job_pause(job_id=make_time_job().id), 4, now)) == 4


def test_the_check_names_a_job_that_nothing_will_wake():
    job = make_time_job()
    assert list(check()) == []
    Job.objects.filter(pk=job.pk).update(next_fire_at=None)
    assert list(check()) == [f"{job.wire_id} is active and never fires"]


def test_a_pass_may_be_narrowed_to_some_jobs():
    one, other = make_time_job(), make_time_job()
    now = max(one.next_fire_at, other.next_fire_at)
    assert set(fire(now, ids=[other.id])) == {other.id}
    assert one.id != other.id


def test_a_job_created_without_a_gas_price_is_priced_once_there_is_one():
    job, ended = make_time_job(), job_delete(job_id=make_time_job().id)
    now = get_database_now()
    prices = Prices(
        offchain_base_units=1_000,
        offchain_cpu_second_units=0,
        executions=1,
        settlement_batch_gas=0,
        settlement_item_gas=0,
        settlement_batch_items=1,
        fee_multiplier_percent=120,
    )
    assert jobs_reprice(now=now, prices=prices, gas_price_wei=None) == 0
    assert jobs_reprice(now=now, prices=prices, gas_price_wei=10**9) == 1
    assert jobs_reprice(now=now, prices=prices, gas_price_wei=10**9) == 0
    assert get_job(job.id).estimated_cost_units == 1_200
    assert get_job(ended.id).estimated_cost_units is None
    assert types_of(job) == ["job.created", "job.priced"]


def fire_runs(job, now):
    """A pass of the stages that lay ticks out and open runs."""
    jobs_look_ahead(now=now, until=now, limit=10, ids=[job.id])
    return runs_fire(now=now, limit=10, ids=[job.id])


def by_hand(job, now):
    """A firing by name, without its run."""
    with transaction.atomic():
        job_mark_by_hand(job_take_by_hand(job_id=job.id, now=now), tick_key="manual:1", now=now)


def priced_manual():
    """A manual job that costs nothing."""
    job = make_job()
    Job.objects.filter(pk=job.pk).update(estimated_cost_units=0)
    job.refresh_from_db()
    return job


def priced(**fields):
    """A timed job that costs 100 units."""
    job = make_time_job(**fields)
    Job.objects.filter(pk=job.pk).update(estimated_cost_units=100)
    job.refresh_from_db()
    return job


def test_a_tick_that_cannot_be_paid_is_lost_uncounted_and_the_job_says_why():
    job = priced(seconds=60, max_fires=2)
    now = job.next_fire_at
    fund_project(job.project_id, 40)
    fire_runs(job, now)
    row = get_job(job.id)
    assert (row.fire_count, row.last_fired_at, row.status) == (0, None, "active")
    assert row.next_fire_at == now + timedelta(seconds=60)
    assert row.last_refusal == {
        "reason": "insufficient_funds",
        "needed_units": "100",
        "available_units": "40",
        "at": now.isoformat().replace("+00:00", "Z"),
    }
    assert types_of(job) == ["job.created", "job.scheduled", "job.fire_refused"]

    fund_project(job.project_id, 60)
    fire_runs(job, row.next_fire_at)
    row = get_job(job.id)
    assert (row.fire_count, row.last_refusal) == (1, None)


def test_a_job_that_fires_once_waits_for_a_tick_it_can_pay():
    job = priced(seconds=60, recurring=False)
    fire_runs(job, job.next_fire_at)
    row = get_job(job.id)
    assert (row.status, row.fire_count) == ("active", 0)
    assert row.next_fire_at == job.next_fire_at + timedelta(seconds=60)
    fund_project(job.project_id, 100)
    fire_runs(job, row.next_fire_at)
    row = get_job(job.id)
    assert (row.status, row.fire_count, row.next_fire_at) == ("completed", 1, None)


def test_a_job_whose_last_tick_cannot_be_paid_is_over():
    job = priced(schedule={"kind": "specific", "instants": ["2099-01-01T00:00:00Z"]})
    fire_runs(job, job.next_fire_at)
    row = get_job(job.id)
    assert (row.status, row.fire_count, row.next_fire_at) == ("completed", 0, None)
    assert row.last_refusal["reason"] == "insufficient_funds"
    assert types_of(job) == ["job.created", "job.scheduled", "job.fire_refused", "job.completed"]


def test_the_document_of_a_job_shows_its_last_refusal(api_client, project):
    job = priced(project=project, seconds=60)
    assert api_client.get(f"/api/v1/jobs/{job.wire_id}").json()["last_refusal"] is None
    fire_runs(job, job.next_fire_at)
    shown = api_client.get(f"/api/v1/jobs/{job.wire_id}").json()
    assert shown["last_refusal"] == get_job(job.id).last_refusal
    assert shown["fire_count"] == 0

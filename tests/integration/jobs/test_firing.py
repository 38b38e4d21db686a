"""Taking due jobs and advancing them: exactly one firing per tick in a real database."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import transaction

from apps.eventlog.errors import RowsMoved
from apps.eventlog.selectors import get_database_now, get_events
from apps.jobs.data import Patience, Prices, next_fires
from apps.jobs.errors import JobEnded, JobMoved, JobNotFound
from apps.jobs.models import Job
from apps.jobs.selectors import check, get_job, get_next_fire_at, preview
from apps.jobs.services import (
    job_delete,
    job_pause,
    job_take_by_hand,
    jobs_mark_fired,
    jobs_reprice,
    jobs_take_due,
)
from apps.tasks.services import runs_fire
from tests.factories.accounts import make_project
from tests.factories.jobs import make_job, make_time_job
from tests.factories.ledger import fund_project

pytestmark = pytest.mark.django_db


def fire(now, limit=100, patience=None):
    """One pass of the firing stage, without the runs: what was fired, by job."""
    with transaction.atomic():
        taken = jobs_take_due(now=now, limit=limit, patience=patience)
        jobs_mark_fired(fired=taken, now=now)
    return {job.id: [tick.key for tick in fires.ticks] for job, fires in taken}


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
    assert types_of(job) == ["job.created", "job.fired"]


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
    with django_assert_max_num_queries(10):
        fired = fire(now)
    assert len(fired) == 60


def test_a_job_that_fires_once_is_completed_by_its_fire():
    job = make_time_job(recurring=False)
    fire(job.next_fire_at)
    row = get_job(job.id)
    assert (row.status, row.next_fire_at, row.fire_count) == ("completed", None, 1)
    assert types_of(job) == ["job.created", "job.fired", "job.completed"]
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
    event = get_events(aggregate=("job", job.aggregate_id))[-1]
    assert event.payload["skipped"]["first"].startswith(job.next_fire_at.strftime("%Y-%m-%dT%H:%M:%S"))


def test_a_pass_that_only_drops_ticks_still_moves_the_job_on():
    job = make_time_job(seconds=3600, missed_policy="skip")
    assert fire(job.next_fire_at + timedelta(seconds=1800)) == {job.id: []}
    row = get_job(job.id)
    assert (row.fire_count, row.last_fired_at) == (0, None)
    assert row.next_fire_at == job.next_fire_at + timedelta(hours=1)
    assert types_of(job) == ["job.created", "job.skipped"]


def test_a_tick_that_was_taken_twice_advances_the_row_once():
    job = make_time_job()
    now = job.next_fire_at
    with transaction.atomic():
        first = jobs_take_due(now=now, limit=10)
    with transaction.atomic():
        second = jobs_take_due(now=now, limit=10)
    with transaction.atomic():
        jobs_mark_fired(fired=first, now=now)
    with pytest.raises(RowsMoved), transaction.atomic():
        jobs_mark_fired(fired=second, now=now)
    assert get_job(job.id).fire_count == 1


def test_a_row_that_has_moved_on_is_not_advanced():
    job = make_time_job()
    with transaction.atomic():
        taken = jobs_take_due(now=job.next_fire_at, limit=10)
    taken[0][0].next_fire_at = job.next_fire_at + timedelta(seconds=1)
    with pytest.raises(JobMoved):
        jobs_mark_fired(fired=taken, now=job.next_fire_at)


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
    job, request_id = make_job(recurring=False), UUID(int=77)
    now = get_database_now()
    with transaction.atomic():
        taken = job_take_by_hand(job_id=job.id, request_id=request_id, now=now)
        jobs_mark_fired(fired=[taken], now=now)
    assert taken[1].ticks[0].key == f"manual:{request_id.hex}"
    assert (get_job(job.id).fire_count, get_job(job.id).status) == (1, "completed")
    with pytest.raises(JobEnded), transaction.atomic():
        job_take_by_hand(job_id=job.id, request_id=UUID(int=78), now=now)


def test_a_manual_firing_of_a_timed_job_leaves_its_schedule_alone_even_while_it_is_paused():
    job = make_time_job(max_fires=1)
    job_pause(job_id=job.id)
    now = get_database_now()
    with transaction.atomic():
        taken = job_take_by_hand(job_id=job.id, request_id=UUID(int=1), now=now)
        jobs_mark_fired(fired=[taken], now=now)
    row = get_job(job.id)
    assert (row.status, row.fire_count, row.next_fire_at) == ("paused", 0, job.next_fire_at)
    assert row.last_fired_at == now


def test_an_expired_or_foreign_job_is_not_fired_by_hand():
    job = make_job(expires_at="2099-01-01T00:00:00Z")
    with pytest.raises(JobEnded), transaction.atomic():
        job_take_by_hand(job_id=job.id, request_id=UUID(int=1), now=job.expires_at)
    with pytest.raises(JobNotFound), transaction.atomic():
        job_take_by_hand(
            job_id=job.id,
            request_id=UUID(int=1),
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


def test_the_next_tick_of_all_jobs_is_known():
    assert get_next_fire_at() is None
    soon, paused = make_time_job(seconds=30), make_time_job(seconds=10)
    job_pause(job_id=paused.id)
    make_time_job(seconds=90)
    assert get_next_fire_at() == soon.next_fire_at


def test_the_check_names_a_job_that_nothing_will_wake():
    job = make_time_job()
    assert list(check()) == []
    Job.objects.filter(pk=job.pk).update(next_fire_at=None)
    assert list(check()) == [f"{job.wire_id} is active and never fires"]


def test_a_pass_may_be_narrowed_to_some_jobs():
    one, other = make_time_job(), make_time_job()
    now = max(one.next_fire_at, other.next_fire_at)
    with transaction.atomic():
        assert [job for job, _ in jobs_take_due(now=now, limit=10, ids=[other.id])] == [other]


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
    """One pass of the stage that opens runs."""
    return runs_fire(now=now, limit=10, ids=[job.id])


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
    assert types_of(job) == ["job.created", "job.fire_refused"]

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
    assert types_of(job) == ["job.created", "job.fire_refused", "job.completed"]


def test_the_document_of_a_job_shows_its_last_refusal(api_client, project):
    job = priced(project=project, seconds=60)
    assert api_client.get(f"/api/v1/jobs/{job.wire_id}").json()["last_refusal"] is None
    fire_runs(job, job.next_fire_at)
    shown = api_client.get(f"/api/v1/jobs/{job.wire_id}").json()
    assert shown["last_refusal"] == get_job(job.id).last_refusal
    assert shown["fire_count"] == 0

"""Jobs in a real database: created, edited, paused, resumed, ended; every change an event."""

from datetime import timedelta
from typing import Any

import pytest

from apps.accounts.errors import ProjectInactive
from apps.accounts.services import project_update
from apps.content.domain.cid import cid_of
from apps.eventlog.errors import SecretInPayload
from apps.eventlog.selectors import get_database_now, get_events
from apps.jobs.data import Bounds, Prices, definition_from_json
from apps.jobs.errors import (
    DrillNotAllowed,
    ExpiresInPast,
    InputMissing,
    JobEnded,
    JobNotFound,
    MaxFiresInvalid,
)
from apps.jobs.models import Job
from apps.jobs.selectors import get_definition, get_job, get_jobs
from apps.jobs.services import job_create, job_delete, job_pause, job_resume, job_update, jobs_expire
from apps.kernel.errors import PreconditionFailed
from apps.kernel.reading import FieldInvalid
from apps.kernel.speculation import Choice, Mode
from tests.factories.accounts import make_project
from tests.factories.jobs import (
    SCRIPT,
    drill_body,
    job_body,
    make_job,
    make_store,
    make_time_job,
    pipeline_body,
    time_body,
)

pytestmark = pytest.mark.django_db

BOUNDS = Bounds()


def edit(job, store=None, version=None, **changes):
    return job_update(
        job_id=job.id, changes=changes, store=store or make_store(), bounds=BOUNDS, version=version
    )


def types_of(job):
    return [event.event_type for event in get_events(aggregate=("job", job.aggregate_id))]


def move_clock(job, **columns):
    """Pretend that time has passed, or a price was known: what no service of this test would do."""
    Job.objects.filter(pk=job.pk).update(**columns)


class CountingStore:
    """A store that holds nothing but what is put, and counts what it is asked."""

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.asked: list[str] = []

    def put(self, data: bytes) -> str:
        self.held.add(cid_of(data))
        return cid_of(data)

    def get(self, cid: str) -> bytes:
        raise AssertionError

    def has(self, cid: str) -> bool:
        self.asked.append(cid)
        return cid in self.held


def test_a_created_job_is_active_and_knows_its_next_fire():
    job = make_time_job(seconds=60)
    row: Any = get_job(job.id)
    assert (row.status, row.version, row.fire_count) == ("active", 1, 0)
    assert timedelta(seconds=60) <= row.next_fire_at - row.created_at < timedelta(seconds=61)
    assert row.schedule["start_at"].endswith("Z")
    assert row.definition["steps"][0]["key"] == "main"
    assert types_of(row) == ["job.created"]


def test_an_inline_script_is_stored_and_named_by_its_cid():
    store = make_store()
    job = make_job(store=store, **job_body())
    cid = job.definition["steps"][0]["script"]["cid"]
    assert store.get(cid) == SCRIPT.encode()


def test_the_stored_row_reads_back_to_the_definition_it_was_created_from():
    body = pipeline_body(expires_at="2099-01-01T00:00:00Z", params=None)
    body.pop("params")
    assert get_definition(make_job(**body)) == definition_from_json(body)


def test_each_distinct_content_is_asked_for_once():
    store, shared, other = CountingStore(), cid_of(b"shared"), cid_of(b"other")
    store.held |= {shared, other}
    steps = [
        {"key": f"s{n}", "script_source": SCRIPT, "inputs": {"a.csv": shared, f"{n}.csv": other}}
        for n in range(10)
    ]
    make_job(store=store, **job_body(steps=steps))
    assert sorted(store.asked) == sorted([shared, other])


def test_an_input_the_store_does_not_hold_is_refused_and_nothing_is_created():
    body = job_body(steps=[{"key": "a", "script_source": SCRIPT, "inputs": {"x.csv": cid_of(b"nowhere")}}])
    with pytest.raises(InputMissing) as refused:
        make_job(**body)
    assert refused.value.pointer == "/steps/0/inputs/x.csv"
    assert not Job.objects.exists()


def test_a_script_the_store_does_not_hold_is_refused():
    body = job_body(script={"cid": cid_of(b"nowhere")})
    body.pop("script_source")
    with pytest.raises(InputMissing) as refused:
        make_job(**body)
    assert refused.value.pointer == "/steps/0/script/cid"


def test_a_secret_in_the_parameters_is_refused_before_it_is_stored():
    with pytest.raises(SecretInPayload):
        make_job(**job_body(params={"api_secret": "hunter2"}))
    assert not Job.objects.exists()


def test_a_project_that_is_switched_off_takes_no_job():
    project = make_project()
    project_update(project_id=project.id, is_active=False)
    with pytest.raises(ProjectInactive):
        make_job(project=project)


def test_a_cost_is_estimated_where_a_gas_price_is_at_hand():
    prices = Prices(
        offchain_base_units=1_000,
        offchain_cpu_second_units=0,
        executions=1,
        settlement_batch_gas=0,
        settlement_item_gas=1_000,
        settlement_batch_items=1,
        fee_multiplier_percent=120,
    )
    definition = definition_from_json(job_body())
    fields: dict[str, Any] = {
        "project_id": make_project().id,
        "definition": definition,
        "store": make_store(),
    }
    assert job_create(**fields, prices=prices, gas_price_wei=10**9).estimated_cost_units == 2_400
    assert job_create(**fields, prices=prices, gas_price_wei=None).estimated_cost_units is None


def test_an_edit_without_a_gas_price_keeps_the_price_while_the_steps_are_the_same():
    job = make_job()
    move_clock(job, estimated_cost_units=77)
    assert edit(job, name="renamed").estimated_cost_units == 77
    assert edit(job, params={"more": 1}).estimated_cost_units is None


def test_an_edit_moves_the_version_and_writes_one_event():
    job = edit(make_time_job(), name="renamed", max_fires=7)
    assert (job.name, job.max_fires, job.version) == ("renamed", 7, 2)
    assert types_of(job) == ["job.created", "job.updated"]


def test_an_edit_that_changes_nothing_writes_nothing():
    job = make_time_job(max_fires=7)
    assert edit(job, max_fires=7, name=job.name).version == 1
    assert types_of(job) == ["job.created"]


def test_an_edit_based_on_an_older_version_is_refused():
    job = make_time_job()
    edit(job, name="first", version=1)
    with pytest.raises(PreconditionFailed):
        edit(job, name="second", version=1)
    with pytest.raises(PreconditionFailed):
        job_pause(job_id=job.id, version=1)


def test_a_null_goes_back_to_the_default():
    job = edit(make_time_job(max_fires=7, expires_at="2099-01-01T00:00:00Z"), max_fires=None, expires_at=None)
    assert (job.max_fires, job.expires_at) == (None, None)


def test_a_new_schedule_starts_anew_and_another_edit_leaves_the_next_fire_alone():
    job = make_time_job(seconds=60)
    assert edit(job, name="other").next_fire_at == job.next_fire_at
    moved = edit(job, schedule={"kind": "interval", "seconds": 3600})
    assert moved.next_fire_at - get_database_now() > timedelta(seconds=3590)


def test_an_expiry_before_the_next_fire_takes_it_away_and_a_later_one_gives_it_back():
    job = make_time_job(seconds=3600)
    soon = (get_database_now() + timedelta(seconds=60)).isoformat()
    assert edit(job, expires_at=soon).next_fire_at is None
    assert edit(job, expires_at=None).next_fire_at == job.next_fire_at


def test_an_expiry_in_the_past_is_refused_on_an_edit_too():
    with pytest.raises(ExpiresInPast):
        edit(make_time_job(), expires_at="2020-01-01T00:00:00Z")


def test_a_job_cannot_be_limited_to_fewer_fires_than_it_has_had():
    job = make_time_job()
    move_clock(job, fire_count=3)
    with pytest.raises(MaxFiresInvalid):
        edit(job, max_fires=3)
    assert edit(job, max_fires=4).max_fires == 4


def test_a_timed_job_can_become_a_manual_one_and_back():
    job = make_time_job()
    manual = edit(job, trigger_kind="manual")
    assert (manual.schedule, manual.next_fire_at) == (None, None)
    timed = edit(job, trigger_kind="time", schedule={"kind": "cron", "expression": "@hourly"})
    assert timed.next_fire_at is not None


def test_the_fields_of_the_one_step_are_edited_at_the_top_and_a_script_is_replaced():
    store = make_store()
    job = make_job(store=store)
    edited = edit(job, store=store, params={"symbol": "MSFT"}, script_source="print('{}')")
    step = edited.definition["steps"][0]
    assert step["params"] == {"symbol": "MSFT"}
    assert store.get(step["script"]["cid"]) == b"print('{}')"
    with pytest.raises(FieldInvalid):
        edit(make_job(**pipeline_body()), params={"x": 1})


def test_pause_and_resume_are_events_and_again_they_are_nothing():
    job = make_time_job()
    assert job_pause(job_id=job.id).status == "paused"
    assert job_pause(job_id=job.id).version == 2
    assert job_resume(job_id=job.id).status == "active"
    assert job_resume(job_id=job.id).version == 3
    assert types_of(job) == ["job.created", "job.paused", "job.resumed"]


@pytest.mark.parametrize(("policy", "is_past"), [("skip", False), ("one", True), ("all", True)])
def test_what_a_pause_made_it_miss_follows_the_policy_on_resume(policy, is_past):
    job = make_time_job(missed_policy=policy)
    job_pause(job_id=job.id)
    move_clock(job, next_fire_at=get_database_now() - timedelta(hours=2))
    resumed: Any = job_resume(job_id=job.id)
    assert (resumed.next_fire_at < get_database_now()) is is_past


def test_a_job_whose_instants_passed_while_it_was_paused_is_completed_on_resume():
    at = (get_database_now() + timedelta(seconds=30)).isoformat()
    job = make_time_job(schedule={"kind": "specific", "instants": [at]}, missed_policy="skip")
    job_pause(job_id=job.id)
    past = get_database_now() - timedelta(hours=1)
    move_clock(job, next_fire_at=past, schedule={"kind": "specific", "instants": [past.isoformat()]})
    resumed = job_resume(job_id=job.id)
    assert (resumed.status, resumed.next_fire_at) == ("completed", None)


def test_a_job_that_has_expired_is_not_resumed():
    job = make_time_job()
    job_pause(job_id=job.id)
    move_clock(job, next_fire_at=None, expires_at=get_database_now() - timedelta(seconds=1))
    with pytest.raises(JobEnded):
        job_resume(job_id=job.id)


def test_a_deleted_job_keeps_its_history_and_leaves_the_lists():
    job = make_time_job()
    deleted = job_delete(job_id=job.id)
    assert (deleted.status, deleted.next_fire_at) == ("deleted", None)
    assert job_delete(job_id=job.id).version == deleted.version
    assert not get_jobs(None).exists()
    assert get_jobs(None, status="deleted").get() == job
    assert types_of(job) == ["job.created", "job.deleted"]
    for change in (job_pause, job_resume):
        with pytest.raises(JobEnded):
            change(job_id=job.id)
    with pytest.raises(JobEnded):
        edit(job, name="again")


def test_what_a_job_says_about_running_ahead_is_an_edit_like_any_other():
    job = make_job(**pipeline_body(speculation={"mode": "aggressive"}))
    assert job.speculation_choice == Choice(mode=Mode.AGGRESSIVE)
    assert get_definition(job).speculation == job.speculation_choice
    edited = edit(job, speculation={"enabled": False})
    assert (edited.speculation, edited.version) == ({"enabled": False}, 2)
    assert edited.definition_hash == job.definition_hash
    assert edit(job, speculation={"enabled": False, "mode": None}).version == 2
    assert edit(job, speculation=None).speculation_choice == Choice()


def test_a_drill_is_taken_where_the_project_allows_drills_and_read_by_its_step():
    project = make_project()
    project_update(project_id=project.id, allows_drills=True)
    job = make_job(project=project, **drill_body())
    assert [job.get_drill(step) for step in ("load", "clean", "publish", "gone")] == [0, 1, 0, 0]
    project_update(project_id=project.id, allows_drills=False)
    assert get_job(job.id).get_drill("clean") == 0
    assert edit(job, name="other").version == 2


def test_a_drill_is_refused_where_the_project_allows_none():
    job = make_job(**pipeline_body())
    for act in (lambda: make_job(**drill_body()), lambda: edit(job, steps=drill_body()["steps"])):
        with pytest.raises(DrillNotAllowed) as refused:
            act()
        assert (refused.value.pointer, refused.value.step) == ("/steps/1/drill", "clean")
    assert get_job(job.id).version == 1


def test_a_row_from_before_there_were_drills_has_none():
    job = make_job(**pipeline_body())
    steps = [{name: step[name] for name in step if name != "drill"} for step in job.definition["steps"]]
    move_clock(job, definition={**job.definition, "steps": steps})
    assert get_job(job.id).get_drill("clean") == 0
    assert get_definition(get_job(job.id)).steps == get_definition(job).steps


def test_a_job_of_another_project_is_not_found():
    job, foreign = make_job(), frozenset({make_project().id})
    for act in (job_pause, job_resume, job_delete):
        with pytest.raises(JobNotFound):
            act(job_id=job.id, project_ids=foreign)
    with pytest.raises(JobNotFound):
        get_job(job.id, foreign)


def test_jobs_past_their_expiry_are_ended_and_one_with_a_tick_before_it_is_left_to_fire():
    now = get_database_now()
    idle, paused, pending, alive = (make_time_job() for _ in range(4))
    job_pause(job_id=paused.id)
    move_clock(idle, next_fire_at=None, expires_at=now - timedelta(seconds=5))
    move_clock(paused, expires_at=now - timedelta(seconds=5), next_fire_at=now - timedelta(seconds=60))
    move_clock(pending, expires_at=now - timedelta(seconds=5), next_fire_at=now - timedelta(seconds=6))
    move_clock(alive, expires_at=now + timedelta(days=1))
    assert jobs_expire(now=now) == 2
    assert jobs_expire(now=now) == 0
    assert [get_job(job.id).status for job in (idle, paused, pending, alive)] == [
        "expired",
        "expired",
        "active",
        "active",
    ]
    assert types_of(idle) == ["job.created", "job.expired"]


def test_creating_and_editing_take_a_handful_of_statements(django_assert_max_num_queries):
    project, store = make_project(), make_store()
    definition = definition_from_json(time_body())
    with django_assert_max_num_queries(9):
        job = job_create(project_id=project.id, definition=definition, store=store)
    with django_assert_max_num_queries(9):
        edit(job, store=store, name="other")

"""GET /runs, /runs/{id} and its events: one shape, a fixed number of queries, nothing of other projects."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from apps.accounts.models import Project
from apps.kernel.ids import new_id, to_wire
from apps.progress.domain.frames import EventFacts, fold, frame_of
from apps.progress.streams.tail import StreamScope, _read
from tests.factories.accounts import make_key, make_operator_key, make_project
from tests.factories.spine import make_keepers, make_run

pytestmark = pytest.mark.django_db


def client_of(secret: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def detail(client: APIClient, run: Any) -> Any:
    response = client.get(f"/api/v1/runs/{to_wire('run', run.id)}")
    assert response.status_code == 200, response.content
    return response.json()


def test_a_confirmed_run_shows_every_stage_of_every_task(api_client: APIClient, project: Project):
    spine = make_run(project=project)

    run = detail(api_client, spine.run)

    assert run["status"] == "confirmed"
    assert run["task_counts"] == {"confirmed": 4}
    assert run["trace_id"] == spine.run.trace_id
    assert [task["step_key"] for task in run["tasks"]] == ["load", "clean", "aggregate", "publish"]
    task = run["tasks"][1]
    assert task["parents"] == [{"step": "load", "kind": "data"}]
    passed = {"waiting", "scheduled", "executing", "executed", "attested", "submitted", "confirmed"}
    assert passed <= task["timeline"].keys()
    assert task["assignments"][0]["keeper"] == task["performer"]
    assert task["assignments"][0]["score_card"]["runner_up"]["keeper"] != task["performer"]
    assert task["measures"]["compute_units"] == 12
    assert task["attestation"]["verdict"] == "valid"
    assert task["attestation"]["positive"] == len(task["attestation"]["votes"]) == 3
    assert task["performer"] not in task["attestation"]["committee"]
    assert task["settlement"]["status"] == "settled"
    assert task["settlement"]["block_number"] > 0
    assert task["settlement"]["fee_units"] == "402873"
    assert task["error"] is None


def test_a_failed_step_shows_its_error_and_what_it_cancelled(api_client: APIClient, project: Project):
    spine = make_run({"load": "failed"}, project=project, steps=("load", "publish"))

    first, second = detail(api_client, spine.run)["tasks"]

    assert first["error"] == {"code": "script_failed", "detail": "exit code 1"}
    assert first["assignments"][0]["end_reason"] == "script_failed"
    assert second["status"] == "cancelled"
    assert second["error"]["code"] == "ancestor_failed"


def test_what_is_not_there_yet_is_null(api_client: APIClient, project: Project):
    spine = make_run({}, project=project, steps=("load",))

    (task,) = detail(api_client, spine.run)["tasks"]

    for name in ("performer", "error", "output_cid", "package_cid", "measures", "attestation", "settlement"):
        assert task[name] is None, name
    assert task["assignments"] == []


def test_the_number_of_queries_does_not_grow_with_the_tasks(api_client: APIClient, project: Project):
    keepers = make_keepers()
    small = make_run(project=project, steps=("one", "two"), keepers=keepers)
    large = make_run(project=project, steps=[f"step{n}" for n in range(12)], keepers=keepers)
    detail(api_client, small.run)

    def queries(run: Any) -> int:
        with CaptureQueriesContext(connection) as captured:
            detail(api_client, run)
        return len(captured)

    assert 8 <= queries(small.run) == queries(large.run) <= 13


def test_the_list_takes_two_queries_however_many_runs(api_client: APIClient, project: Project):
    keepers = make_keepers()
    for _ in range(3):
        make_run({"load": "executing"}, project=project, keepers=keepers)
    api_client.get("/api/v1/runs")

    with CaptureQueriesContext(connection) as captured:
        body = api_client.get("/api/v1/runs").json()

    assert len(captured) == 2
    assert [run["task_counts"] for run in body["data"]] == [{"discovered": 3, "executing": 1}] * 3


def test_pages_of_runs_neither_skip_nor_repeat(api_client: APIClient, project: Project):
    keepers = make_keepers()
    made = [make_run({}, project=project, steps=("load",), keepers=keepers).run for _ in range(5)]

    first = api_client.get("/api/v1/runs?limit=2").json()
    make_run({}, project=project, steps=("load",), keepers=keepers)
    second = api_client.get(f"/api/v1/runs?limit=2&cursor={first['next_cursor']}").json()
    third = api_client.get(f"/api/v1/runs?limit=2&cursor={second['next_cursor']}").json()

    seen = [run["id"] for page in (first, second, third) for run in page["data"]]
    assert seen == [to_wire("run", run.id) for run in reversed(made)]
    assert (first["has_more"], third["has_more"], third["next_cursor"]) == (True, False, None)


def test_runs_are_filtered_by_job_and_status(api_client: APIClient, project: Project):
    keepers = make_keepers()
    done = make_run("confirmed", project=project, steps=("load",), keepers=keepers)
    going = make_run({}, project=project, steps=("load",), keepers=keepers)

    def ids(query: str) -> list[str]:
        return [run["id"] for run in api_client.get(f"/api/v1/runs?{query}").json()["data"]]

    assert ids(f"job={done.job.wire_id}") == [to_wire("run", done.run.id)]
    assert ids("status=open") == [to_wire("run", going.run.id)]
    assert ids(f"status=failed&job={done.job.wire_id}") == []


@pytest.mark.parametrize("query", ["status=fine", "job=x", "job=run_" + "0" * 32, "limit=0", "cursor=!"])
def test_a_filter_that_names_nothing_is_refused(query: str, api_client: APIClient):
    assert api_client.get(f"/api/v1/runs?{query}").status_code == 422


def test_foreign_runs_do_not_exist(api_client: APIClient):
    foreign = make_run({}, project=make_project(), steps=("load",))
    wire = to_wire("run", foreign.run.id)

    assert api_client.get("/api/v1/runs").json()["data"] == []
    for path in (f"/api/v1/runs/{wire}", f"/api/v1/runs/{wire}/events", f"/api/v1/runs/{wire}/stream"):
        response = api_client.get(path)
        assert response.status_code == 404, path
        assert response.json()["code"] == "run_not_found"
    unknown = api_client.get(f"/api/v1/runs/{to_wire('run', new_id())}").json()
    known = api_client.get(f"/api/v1/runs/{wire}").json()
    assert {**unknown, "trace_id": "", "detail": ""} == {**known, "trace_id": "", "detail": ""}


def test_an_operator_sees_the_runs_of_every_project():
    spine = make_run({}, project=make_project(), steps=("load",))
    client = client_of(make_operator_key().secret)

    assert detail(client, spine.run)["project"] == to_wire("proj", spine.run.project_id)


@pytest.mark.parametrize(
    ("path", "needed"),
    [
        ("/api/v1/runs", "runs:read"),
        ("/api/v1/tasks", "tasks:read"),
        ("/api/v1/events/stream", "events:read"),
    ],
)
def test_a_key_without_the_scope_is_refused(path: str, needed: str, project: Project):
    weak = client_of(make_key(project, "jobs:read").secret)

    response = weak.get(path)

    assert response.status_code == 403
    assert response.json()["code"] == "scope_missing"
    assert needed in response.json()["detail"]
    assert APIClient().get(path).status_code == 401


def test_the_events_of_a_run_come_oldest_first_in_pages(api_client: APIClient, project: Project):
    spine = make_run(project=project, steps=("load",))
    path = f"/api/v1/runs/{to_wire('run', spine.run.id)}/events"

    page = api_client.get(f"{path}?limit=3").json()
    rest = api_client.get(f"{path}?limit=100&cursor={page['next_cursor']}").json()

    numbers = [event["sequence_number"] for event in (*page["data"], *rest["data"])]
    assert numbers == sorted(set(numbers))
    assert page["data"][0]["type"] == "run.opened"
    assert rest["data"][-1]["type"] == "run.confirmed"
    assert {event["trace_id"] for event in rest["data"]} == {spine.run.trace_id}


@pytest.mark.parametrize(
    "statuses", ["confirmed", {"load": "failed"}, {"load": "executed"}, {"load": "aborted"}]
)
def test_the_frames_of_a_run_give_the_same_picture_as_its_rows(
    statuses: Any, api_client: APIClient, project: Project
):
    spine = make_run(statuses, project=project, steps=("load", "publish"))

    shown = detail(api_client, spine.run)
    events: list[EventFacts] = _read(StreamScope(run_id=spine.run.id), 0)
    picture = fold(frame_of(event) for event in events)

    assert picture[shown["id"]]["status"] == shown["status"]
    for task in shown["tasks"]:
        folded = picture[task["id"]]
        for name in ("status", "performer", "output_cid", "timeline", "epoch", "error"):
            assert (folded.get(name) or None) == (task[name] or None), (task["step_key"], name)
    assert events[-1].sequence <= shown["last_event"]

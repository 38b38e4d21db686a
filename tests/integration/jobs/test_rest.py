"""/jobs as a client sees them."""

from dataclasses import replace
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.content.domain.cid import cid_of
from apps.content.selectors import get_store
from apps.jobs.models import Job
from apps.jobs.services import job_delete, job_pause
from apps.kernel.ids import new_id, to_wire
from tests.factories.accounts import make_key, make_operator_key, make_project
from tests.factories.jobs import (
    SCRIPT,
    TARGET,
    drill_body,
    job_body,
    make_job,
    make_time_job,
    pipeline_body,
    report_step,
    time_body,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("deployment", "gas_price", "redis_url")]

URL = "/api/v1/jobs"


def client_with(secret):
    client = APIClient()
    client.default_format = "json"
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def problem(response):
    body = response.json()
    return response.status_code, body["code"], [error["pointer"] for error in body["errors"]]


def test_a_job_is_created_and_shown_where_the_answer_says(api_client, project):
    response = api_client.post(URL, time_body(name="every minute", **report_step()))
    body = response.json()
    assert response.status_code == 201, body
    assert response["Location"] == f"{URL}/{body['id']}"
    assert response["ETag"] == '"v1"'
    assert body["project"] == project.wire_id
    assert (body["status"], body["fire_count"], body["version"]) == ("active", 0, 1)
    assert body["next_fire_at"].endswith("Z")
    assert body["steps"][0]["action"]["target"] == TARGET
    assert body["created_by"].startswith("key:")
    assert body["trace_id"] == response["X-Trace-ID"].removeprefix("tgrx-frnt-").replace("-", "")
    assert api_client.get(response["Location"]).json() == body


def test_the_cost_is_estimated_with_the_gas_price_of_now_and_is_text(api_client, gas_price):
    body = time_body(**report_step())
    created = api_client.post(URL, body).json()
    estimated = api_client.post(f"{URL}/estimate", body).json()
    assert created["estimated_cost_units"] == estimated["total_units"]
    assert estimated["per_task"][0]["execution_gas"] == 200_000
    assert int(estimated["total_units"]) == int(estimated["per_task"][0]["fee_units"]) > 0
    gas_price(None)
    assert api_client.post(URL, body).json()["estimated_cost_units"] is None
    assert problem(api_client.post(f"{URL}/estimate", body))[:2] == (409, "price_unknown")


def test_the_path_of_the_seeds_answers_too(api_client):
    body = job_body()
    first = api_client.post("/api/jobs", body, HTTP_IDEMPOTENCY_KEY="k2")
    again = api_client.post("/api/jobs", body, HTTP_IDEMPOTENCY_KEY="k2")
    assert (first.status_code, first.json()) == (201, again.json())
    assert first["Location"].startswith(f"{URL}/job_")
    assert api_client.get("/api/jobs").status_code == 405


def test_an_inline_script_is_kept_by_its_cid(api_client):
    step = api_client.post(URL, job_body()).json()["steps"][0]
    assert "script_source" not in step
    assert get_store().get(step["script"]["cid"]) == SCRIPT.encode()


def test_an_uploaded_input_is_accepted_and_one_nobody_uploaded_is_not(api_client):
    known = get_store().put(b"rows")
    step: dict[str, Any] = {"key": "a", "script_source": SCRIPT, "inputs": {"a.csv": known}}
    assert api_client.post(URL, job_body(steps=[step])).status_code == 201
    step["inputs"]["b.csv"] = cid_of(b"never uploaded")
    refused = api_client.post(URL, job_body(steps=[step]))
    assert problem(refused) == (422, "input_missing", ["/steps/0/inputs/b.csv"])


@pytest.mark.parametrize(
    ("status", "code", "pointer", "fields"),
    [
        (
            422,
            "cron_invalid",
            "/schedule/expression",
            {"schedule": {"kind": "cron", "expression": "61 * * * *"}},
        ),
        (
            422,
            "zone_unknown",
            "/schedule/zone",
            {"schedule": {"kind": "cron", "expression": "@daily", "zone": "X"}},
        ),
        (422, "interval_invalid", "/schedule/seconds", {"schedule": {"kind": "interval", "seconds": -1}}),
        (422, "expires_in_past", "/expires_at", {"expires_at": "2020-01-01T00:00:00Z"}),
        (413, "script_too_large", "/script_source", {"script_source": "#" * 300_000}),
        (422, "script_language_unknown", "/script/language", {"script": {"language": "go"}}),
        (422, "argument_too_large", "/params", {"params": "x" * 70_000}),
        (422, "field_unknown", "/nmae", {"nmae": "x"}),
        (422, "secret_in_payload", None, {"params": {"password": "x"}}),
        (
            422,
            "chain_unknown",
            "/action/chain_id",
            report_step(action={"chain_id": 5, "target": TARGET, "function": "f()"}),
        ),
        (
            422,
            "address_checksum",
            "/action/target",
            report_step(
                action={
                    "chain_id": 31337,
                    "target": "0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
                    "function": "f()",
                }
            ),
        ),
        (
            422,
            "abi_invalid",
            "/action/function",
            report_step(action={"chain_id": 31337, "target": TARGET, "function": "f(uint7)"}),
        ),
    ],
)
def test_a_bad_job_is_refused_as_a_problem_with_a_pointer(api_client, status, code, pointer, fields):
    response = api_client.post(URL, time_body(**fields))
    assert response["Content-Type"] == "application/problem+json"
    assert problem(response) == (status, code, [pointer] if pointer else [])
    assert not Job.objects.exists()


@pytest.mark.parametrize("body", ["[]", '"x"', "null", "{", "[" * 100_000])
def test_a_body_that_is_no_job_is_refused(api_client, body):
    response = api_client.generic("POST", URL, body, content_type="application/json")
    assert response.status_code in (400, 422)
    assert response["Content-Type"] == "application/problem+json"


def test_the_same_idempotency_key_creates_one_job(api_client):
    body = job_body()
    first = api_client.post(URL, body, HTTP_IDEMPOTENCY_KEY="k1")
    again = api_client.post(URL, body, HTTP_IDEMPOTENCY_KEY="k1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again["Location"] == first["Location"]
    assert Job.objects.count() == 1
    assert problem(api_client.post(URL, job_body(), HTTP_IDEMPOTENCY_KEY="k1"))[1] == "idempotency_mismatch"


def test_lists_are_pages_newest_first_without_deleted_ones(api_client, project):
    jobs = [make_job(project=project) for _ in range(5)]
    job_delete(job_id=jobs[2].id)
    make_job()
    first = api_client.get(URL, {"limit": 3}).json()
    assert [row["id"] for row in first["data"]] == [jobs[n].wire_id for n in (4, 3, 1)]
    assert first["has_more"]
    rest = api_client.get(URL, {"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [row["id"] for row in rest["data"]] == [jobs[0].wire_id]
    assert not rest["has_more"]
    assert "steps" not in first["data"][0]


def test_lists_are_filtered_searched_and_turned_round(api_client, project):
    timed, manual = make_time_job(project=project, name="Price Report"), make_job(project=project)
    paused = job_pause(job_id=make_time_job(project=project).id)
    deleted = job_delete(job_id=make_time_job(project=project).id)

    def ids(**query):
        return [row["id"] for row in api_client.get(URL, query).json()["data"]]

    assert ids(status="paused") == [paused.wire_id]
    assert ids(status="deleted") == [deleted.wire_id]
    assert ids(trigger_kind="manual") == [manual.wire_id]
    assert ids(search="price rep") == [timed.wire_id]
    assert ids(ordering="created_at") == [timed.wire_id, manual.wire_id, paused.wire_id]
    for query in ({"status": "sleeping"}, {"ordering": "name"}, {"trigger_kind": "weather"}):
        assert problem(api_client.get(URL, query))[:2] == (422, "field_invalid")


def test_a_list_asks_a_fixed_number_of_questions(api_client, project, django_assert_max_num_queries):
    for _ in range(30):
        make_job(project=project)
    api_client.get(URL)
    with django_assert_max_num_queries(3):
        assert len(api_client.get(URL, {"limit": 30}).json()["data"]) == 30


def test_an_edit_needs_the_version_it_is_based_on_where_it_names_one(api_client, project):
    url = f"{URL}/{make_time_job(project=project).wire_id}"
    etag = api_client.get(url)["ETag"]
    edited = api_client.patch(url, {"name": "other"}, HTTP_IF_MATCH=etag)
    assert (edited.status_code, edited.json()["name"], edited["ETag"]) == (200, "other", '"v2"')
    assert problem(api_client.patch(url, {"name": "third"}, HTTP_IF_MATCH=etag))[:2] == (
        412,
        "precondition_failed",
    )
    assert problem(api_client.delete(url, HTTP_IF_MATCH=etag))[:2] == (412, "precondition_failed")
    assert problem(api_client.patch(url, {"colour": 1})) == (422, "field_unknown", ["/colour"])
    assert problem(api_client.patch(url, [1])) == (422, "field_invalid", [""])


def test_pause_resume_and_delete(api_client, project):
    url = f"{URL}/{make_time_job(project=project).wire_id}"
    assert api_client.post(f"{url}/pause").json()["status"] == "paused"
    assert api_client.post(f"{url}/resume").json()["status"] == "active"
    assert api_client.delete(url).status_code == 204
    assert api_client.delete(url).status_code == 204
    assert api_client.get(url).json()["status"] == "deleted"
    assert problem(api_client.post(f"{url}/pause"))[:2] == (409, "job_ended")
    assert problem(api_client.patch(url, {"name": "x"}))[:2] == (409, "job_ended")


def test_a_preview_shows_both_clocks(api_client, project):
    cron = {"kind": "cron", "expression": "30 2 * * *", "zone": "Europe/Berlin"}
    job = make_time_job(project=project, schedule=cron)
    shown = api_client.post(f"{URL}/{job.wire_id}/preview", {"count": 3}).json()
    assert shown["zone"] == "Europe/Berlin"
    assert len(shown["fires"]) == 3
    assert "T02:30:00+0" in shown["fires"][0]["local"]
    unsaved = api_client.post(f"{URL}/preview", {"schedule": cron, "count": 3}).json()
    assert unsaved == shown
    elsewhere = api_client.post(f"{URL}/preview", {"schedule": cron, "zone": "Asia/Kolkata"}).json()
    assert len(elsewhere["fires"]) == 5
    assert elsewhere["fires"][0]["local"].endswith("+05:30")


@pytest.mark.parametrize(
    ("code", "pointer", "body"),
    [
        ("field_missing", "/schedule", {}),
        (
            "cron_six_fields",
            "/schedule/expression",
            {"schedule": {"kind": "cron", "expression": "* * * * * *"}},
        ),
        ("field_invalid", "/count", {"schedule": {"kind": "interval", "seconds": 5}, "count": 101}),
        ("zone_unknown", "/zone", {"schedule": {"kind": "interval", "seconds": 5}, "zone": "X"}),
        ("field_unknown", "/when", {"when": 1}),
    ],
)
def test_a_preview_of_nonsense_is_refused(api_client, code, pointer, body):
    assert problem(api_client.post(f"{URL}/preview", body)) == (422, code, [pointer])


def test_another_tenants_job_is_not_there(api_client):
    url = f"{URL}/{make_time_job().wire_id}"
    absent = problem(api_client.get(f"{URL}/{to_wire('job', new_id())}"))
    assert absent == (404, "job_not_found", [])
    assert problem(api_client.get(url)) == absent
    assert problem(api_client.patch(url, {"name": "mine"})) == absent
    assert problem(api_client.delete(url)) == absent
    for action in ("pause", "resume", "preview"):
        assert problem(api_client.post(f"{url}/{action}", {})) == absent


def test_a_malformed_id_is_refused(api_client):
    assert problem(api_client.get(f"{URL}/job_xyz"))[:2] == (422, "id_malformed")


def test_a_key_that_may_only_read_changes_nothing(project):
    reader = client_with(make_key(project, "jobs:read").secret)
    url = f"{URL}/{make_time_job(project=project).wire_id}"
    assert reader.get(URL).status_code == reader.get(url).status_code == 200
    assert reader.post(f"{url}/preview", {}).status_code == 200
    assert reader.post(f"{URL}/preview", {"schedule": {"kind": "interval", "seconds": 5}}).status_code == 200
    for refused in (
        reader.post(URL, job_body()),
        reader.post("/api/jobs", job_body()),
        reader.patch(url, {"name": "x"}),
        reader.delete(url),
        reader.post(f"{url}/pause"),
        reader.post(f"{url}/resume"),
    ):
        assert problem(refused)[:2] == (403, "scope_missing")


def test_without_a_key_there_is_nothing():
    for response in (APIClient().get(URL), APIClient().post(URL, {}, format="json")):
        assert response.status_code == 401


def test_an_operator_names_the_project(project):
    operator = client_with(make_operator_key().secret)
    assert problem(operator.post(URL, job_body()))[:2] == (422, "project_needed")
    created = operator.post(URL, job_body(project=project.wire_id))
    assert created.json()["project"] == project.wire_id
    foreign = make_project()
    assert operator.get(URL, {"project": foreign.wire_id}).json()["data"] == []


def test_a_job_of_a_thousand_steps_is_taken_and_one_more_is_not(api_client):
    steps = [{"key": f"s{n}", "script_source": "print(1)"} for n in range(1000)]
    created = api_client.post(URL, job_body(steps=steps))
    assert created.status_code == 201
    assert len(created.json()["steps"]) == 1000
    steps.append({"key": "more", "script_source": "print(1)"})
    assert problem(api_client.post(URL, job_body(steps=steps))) == (422, "too_many_steps", ["/steps"])


def test_what_a_job_says_about_running_ahead_is_shown_listed_and_edited_on_its_version(api_client):
    said = {"mode": "custom", "max_depth": 20, "max_branches": 8}
    created = api_client.post(URL, pipeline_body(speculation=said))
    assert (created.status_code, created.json()["speculation"]) == (201, said)
    url = created["Location"]
    assert api_client.get(URL).json()["data"][0]["speculation"] == said
    off = {"enabled": False}
    edited = api_client.patch(url, {"speculation": off}, HTTP_IF_MATCH=created["ETag"])
    assert (edited.json()["speculation"], edited["ETag"]) == (off, '"v2"')
    stale = api_client.patch(url, {"speculation": None}, HTTP_IF_MATCH=created["ETag"])
    assert problem(stale)[:2] == (412, "precondition_failed")
    assert api_client.patch(url, {"speculation": None}).json()["speculation"] == {}
    deep = {"mode": "custom", "max_depth": 21, "max_branches": 8}
    refused = (422, "speculation_limits_invalid", ["/speculation/max_depth"])
    assert problem(api_client.patch(url, {"speculation": deep})) == refused
    assert problem(api_client.post(URL, pipeline_body(speculation=deep))) == refused


def test_a_drill_is_refused_until_an_operator_allows_drills(api_client, project):
    assert problem(api_client.post(URL, drill_body())) == (422, "drill_not_allowed", ["/steps/1/drill"])
    path = f"/api/v1/projects/{project.wire_id}"
    client_with(make_operator_key().secret).patch(path, {"allows_drills": True})
    created = api_client.post(URL, drill_body())
    assert [step["drill"] for step in created.json()["steps"]] == [None, {"reject_proof": 1}, None]
    too_often = drill_body()
    too_often["steps"][1]["drill"]["reject_proof"] = 3
    refused = problem(api_client.post(URL, too_often))
    assert refused == (422, "drill_invalid", ["/steps/1/drill/reject_proof"])


@pytest.mark.parametrize(
    ("code", "pointer", "parents"),
    [
        ("parent_unknown", "/steps/2/parents/0", ["lode"]),
        ("self_dependency", "/steps/2/parents/0", ["publish"]),
        ("duplicate_edge", "/steps/2/parents/1", ["load", {"step": "load", "kind": "order"}]),
        ("edge_unknown", "/steps/2/parents/0/kind", [{"step": "load", "kind": "magic"}]),
    ],
)
def test_an_edge_that_cannot_be_is_refused_when_made_and_when_edited(api_client, code, pointer, parents):
    body = pipeline_body()
    url = api_client.post(URL, body)["Location"]
    body["steps"][2]["parents"] = parents
    assert problem(api_client.post(URL, body)) == (422, code, [pointer])
    assert problem(api_client.patch(url, {"steps": body["steps"]})) == (422, code, [pointer])
    assert Job.objects.get().version == 1


def test_a_step_that_reads_more_than_a_proof_binds_is_refused(api_client, settings):
    proofs = replace(settings.FOREKEEP.proofs, is_required=True, sizes=("16",))
    settings.FOREKEEP = replace(settings.FOREKEEP, proofs=proofs)
    parents = [{"key": f"s{n}", "script_source": "print(1)"} for n in range(8)]
    join = {"key": "join", "script_source": "print(1)", "parents": [step["key"] for step in parents]}
    refused = api_client.post(URL, job_body(steps=[*parents, join]))
    assert problem(refused) == (422, "too_many_reads", ["/steps/8/parents"])
    join["parents"] = join["parents"][:7]
    assert api_client.post(URL, job_body(steps=[*parents, join])).status_code == 201


def test_a_cycle_is_named_in_the_answer(api_client):
    body = pipeline_body("a", "b", "c")
    body["steps"][0]["parents"] = ["c"]
    response = api_client.post(URL, body)
    assert problem(response) == (422, "dependency_cycle", ["/steps"])
    (error,) = response.json()["errors"]
    assert any(f"cycle: {a}, {b}, {c}, {a}" in error["detail"] for a, b, c in ("abc", "bca", "cab"))

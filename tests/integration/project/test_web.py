"""Health, metrics, trace, pages: what every deployment serves beside the API."""

import json
from dataclasses import replace

import pytest
import redis
from django.conf import settings
from django.core.cache import cache
from django.test import Client
from rest_framework.test import APIClient

from project.celery import app
from project.health import sweep_record
from tests.factories.accounts import make_key, make_operator_key, make_staff, make_user
from tests.support.logs import captured_lines

pytestmark = pytest.mark.django_db

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_healthz_asks_nothing(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        response = client.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_readyz_is_ready_when_everything_answers(client, redis_url):
    cache.clear()
    sweep_record()
    response = client.get("/readyz")
    assert response.status_code == 200, response.json()
    assert response.json()["checks"] == dict.fromkeys(
        ["database", "broker", "migrations", "sweep", "chain_events", "conditions"], "ok"
    )


def test_readyz_names_a_sweep_that_never_ran_or_is_old(client, redis_url):
    response = client.get("/readyz")
    assert (response.status_code, response.json()["checks"]["sweep"]) == (503, "no sweep has run yet")
    cache.set("last_sweep_at", 0.0)
    assert client.get("/readyz").json()["checks"]["sweep"].startswith("the last sweep ran ")


def test_readyz_names_a_broker_that_is_away(client, redis_url, monkeypatch):
    sweep_record()
    away = app.connection_for_write("redis://127.0.0.1:1/0")
    monkeypatch.setattr("project.health.app.connection_for_write", lambda **_options: away)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["checks"]["broker"].startswith("failed")
    assert response.json()["checks"]["database"] == "ok"


def test_readyz_names_migrations_that_are_missing(client, redis_url, monkeypatch):
    sweep_record()
    plan = "project.health.MigrationExecutor.migration_plan"
    monkeypatch.setattr(plan, lambda *_args: [("x", False)])
    checks = client.get("/readyz").json()["checks"]
    assert checks["migrations"] == "1 migrations are not applied"


def test_a_sweep_is_noted_also_while_redis_is_away(monkeypatch):
    def away(*_args, **_options):
        raise redis.ConnectionError("away")

    monkeypatch.setattr(cache, "set", away)
    sweep_record()


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"},
        {"X-Trace-ID": "tgrx-frnt-4bf92f35-77b3-4da6-a3ce-929d0e0e4736"},
    ],
)
def test_the_callers_trace_is_taken_over_and_echoed(client, headers):
    response = client.get("/healthz", headers=headers)
    assert response["X-Trace-ID"] == "tgrx-frnt-4bf92f35-77b3-4da6-a3ce-929d0e0e4736"
    assert response["traceparent"].split("-")[1] == TRACE_ID


def test_without_a_trace_each_request_gets_its_own(client):
    assert client.get("/healthz")["X-Trace-ID"] != client.get("/healthz")["X-Trace-ID"]


@pytest.mark.parametrize("header", ["nonsense", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "tgrx-frnt-x"])
def test_a_malformed_trace_is_replaced(client, header):
    response = client.get("/healthz", headers={"traceparent": header, "X-Trace-ID": header})
    assert len(response["traceparent"].split("-")[1]) == 32


def test_a_problem_carries_the_requests_trace(client):
    response = client.get("/api/v1/projects", headers={"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"})
    assert response.json()["trace_id"] == TRACE_ID


def test_metrics_are_for_the_operator_only(client, project, api_key):
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": f"Bearer {api_key.secret}"}).status_code == 401
    person = Client()
    person.force_login(make_user())
    assert person.get("/metrics").status_code == 401


@pytest.mark.parametrize("way", ["session", "key"])
def test_metrics_count_requests_by_route_and_never_by_id(client, project, api_client, way):
    api_client.get(f"/api/v1/projects/{project.wire_id}")
    if way == "session":
        client.force_login(make_staff())
        response = client.get("/metrics")
    else:
        headers = {"Authorization": f"Bearer {make_operator_key().secret}"}
        response = client.get("/metrics", headers=headers)
    text = response.content.decode()
    assert response.status_code == 200
    assert 'route="api/v1/projects/<str:project_id>"' in text
    assert "forekeep_http_request_seconds_bucket" in text
    assert project.id.hex not in text


def test_an_unknown_path_is_a_problem_for_programs_and_a_page_for_people(client):
    program = client.get("/api/v1/nowhere")
    assert (program.status_code, program["Content-Type"]) == (404, "application/problem+json")
    assert program.json()["code"] == "not_found"
    person = client.get("/nowhere", headers={"Accept": "text/html"})
    assert person.status_code == 404
    assert person["Content-Type"].startswith("text/html")
    assert person["X-Trace-ID"]


def test_the_code_of_a_problem_can_be_looked_up(client):
    body = client.get("/problems/idempotency_mismatch").json()
    assert (body["status"], body["title"]) == (422, "This Idempotency-Key belongs to another request")
    assert client.get("/problems/no_such_code").status_code == 404


def test_a_person_logs_in_and_out_on_pages_that_ask_nobody_outside(client):
    person = make_user(username="ada", password="correct horse battery")
    page = client.get("/login")
    assert page.status_code == 200
    assert b"http://" not in page.content.replace(b"http://www.w3.org", b"")
    assert b"https://" not in page.content
    wrong = client.post("/login", {"username": "ada", "password": "wrong"})
    assert b"do not match" in wrong.content
    form = {"username": "ada", "password": "correct horse battery", "next": "/healthz"}
    right = client.post("/login", form)
    assert (right.status_code, right["Location"]) == (302, "/healthz")
    assert client.session["_auth_user_id"] == str(person.pk)
    assert client.post("/logout").status_code == 302
    assert "_auth_user_id" not in client.session


def test_the_login_leads_nowhere_outside(client):
    make_user(username="ada", password="correct horse battery")
    answer = client.post(
        "/login", {"username": "ada", "password": "correct horse battery", "next": "https://evil.example/"}
    )
    assert answer["Location"] == "/"


def test_a_body_beyond_the_limit_is_413(api_client, monkeypatch):
    monkeypatch.setattr(settings, "DATA_UPLOAD_MAX_MEMORY_SIZE", 100)
    response = api_client.post("/api/v1/keys", {"name": "x" * 200, "scopes": ["jobs:read"]})
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


def test_no_secret_of_a_request_is_in_the_log(project):
    issued = make_key(project)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {issued.secret}")
    with captured_lines() as read:
        made = client.post("/api/v1/keys", {"name": "other", "scopes": ["jobs:read"]}).json()
        client.get(f"/api/v1/nowhere/{issued.secret}")
        client.get("/api/v1/projects", {"cursor": issued.secret})
        lines = read()
    assert len([line for line in lines if line["event"] == "request"]) == 3
    for secret in (issued.secret, made["secret"]):
        assert secret.partition("_")[2].partition("_")[2] not in json.dumps(lines)


def test_the_settings_tree_can_be_replaced_but_never_changed():
    changed = replace(settings.FOREKEEP.execution, acknowledge_seconds=1)
    assert changed.acknowledge_seconds == 1
    with pytest.raises(AttributeError):
        settings.FOREKEEP.execution.acknowledge_seconds = 1  # type: ignore[misc]


def test_addresses_people_try_lead_somewhere(client):
    assert client.get("/api/v1/").json()["docs"] == "/api/docs"
    for path, target in (
        ("/runs", "/"),
        ("/runs/", "/"),
        ("/jobs/", "/jobs"),
        ("/keepers/", "/keepers"),
        ("/favicon.ico", "/static/img/favicon.svg"),
    ):
        response = client.get(path)
        assert (response.status_code, response["Location"]) == (302, target)


def test_a_browser_reads_what_a_problem_means_as_a_page(client):
    page = client.get("/problems/insufficient_funds", headers={"Accept": "text/html,*/*"})
    assert page["Content-Type"].startswith("text/html")
    assert "The balance is too small" in page.content.decode()

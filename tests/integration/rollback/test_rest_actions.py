"""Replaying, previewing and stopping over REST: accepted, placed, idempotent, each refusal with its code."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.accounts.models import Project
from apps.kernel.ids import new_id, to_wire
from apps.rollback.models import DeadLetter, Rollback
from apps.rollback.rest.forms import CancelPreviewOut
from apps.tasks.models import Task
from tests.factories.accounts import make_project
from tests.factories.ahead import make_ahead
from tests.factories.ledger import fund_project
from tests.factories.spine import make_keepers
from tests.integration.rollback.rest_driving import (
    apart,
    fail_for_good,
    ids,
    make_cascade,
    make_failed,
    read,
    refusal,
)

pytestmark = pytest.mark.django_db


def test_a_stop_by_hand_is_a_rollback_that_slashes_nobody(api_client: APIClient, project: Project):
    run = make_ahead({"a": "executing", "b": "executing"}, bonds={"b": 1_000_000}, project=project)

    assert api_client.post(f"/api/v1/tasks/{run.tasks['b']}/cancel").status_code == 202

    shown = read(api_client, f"/rollbacks?run={run.run}")["data"][0]
    assert (shown["reason"], shown["recovery"], shown["is_retried"]) == ("manual", "give_up", False)
    assert (shown["slashed_units"], shown["slashed_keeper"], shown["victims"]) == ("0", None, {})
    assert shown["released_units"] == "1000000"
    assert not read(api_client, "/dead-letters")["data"]


def test_replaying_opens_the_run_again_and_says_where_it_is(api_client: APIClient, project: Project):
    run, row = make_failed(project)
    assert run.run.status == "failed"

    response = api_client.post(f"/api/v1/dead-letters/{row}/replay")

    assert response.status_code == 202, response.content
    assert response.headers["Location"] == f"/api/v1/runs/{run.run}"
    assert (response.json()["id"], response.json()["status"]) == (str(row), "waiting")
    assert response.json()["replayed_at"].endswith("Z")
    assert response.json()["is_waiting"] is False
    assert read(api_client, f"/runs/{run.run}")["status"] == "open"
    assert ids(api_client, "/dead-letters?waiting=true") == []


def test_replaying_again_is_no_second_attempt(api_client: APIClient, project: Project):
    run, row = make_failed(project)
    path = f"/api/v1/dead-letters/{row}/replay"

    first = api_client.post(path, headers={"Idempotency-Key": "once"})
    same = api_client.post(path, headers={"Idempotency-Key": "once"})
    again = api_client.post(path)

    assert (first.status_code, same.status_code, again.status_code) == (202, 202, 202)
    assert same.json() == first.json()
    assert same.headers["Location"] == first.headers["Location"]
    assert same.headers["Idempotency-Replayed"] == "true"
    assert again.json()["replayed_at"] == first.json()["replayed_at"]
    assert Task.objects.get(pk=run.tasks["a"].pk).failures == 0


def test_a_letter_of_an_earlier_attempt_is_not_replayed(api_client: APIClient, project: Project):
    make_cascade(project)
    row = DeadLetter.objects.get()

    response = api_client.post(f"/api/v1/dead-letters/{row}/replay")

    assert refusal(response) == (409, "retry_not_allowed")
    assert "it was tried again since" in response.json()["detail"]


def test_a_letter_of_a_stopped_run_is_not_replayed(api_client: APIClient, project: Project):
    run = make_ahead({"a": "executing", "b": "executing"}, steps=apart("a", "b"), project=project)
    row = fail_for_good(run, "a")
    assert api_client.post(f"/api/v1/runs/{run.run}/cancel").status_code == 202

    response = api_client.post(f"/api/v1/dead-letters/{row}/replay")

    assert refusal(response) == (409, "retry_not_allowed")


def test_a_run_that_cannot_be_paid_again_is_not_replayed(api_client: APIClient, project: Project):
    fund_project(project.id, 1_000)
    _, row = make_failed(project, escrow_units=1_000)
    make_ahead({"a": "executing"}, project=project, escrow_units=1_000)

    assert refusal(api_client.post(f"/api/v1/dead-letters/{row}/replay")) == (409, "insufficient_funds")
    many = api_client.post("/api/v1/dead-letters/replay", {}).json()

    assert many["count"] == 0
    (refused,) = many["refusals"]
    assert (refused["id"], refused["code"]) == (str(row), "insufficient_funds")
    assert (refused["facts"]["needed"], refused["facts"]["balance"]) == ("1000", "0")


def test_many_are_replayed_by_the_same_filters(api_client: APIClient, project: Project):
    keepers = make_keepers(3)
    made = [make_failed(project, keepers=keepers) for _ in range(4)]
    foreign, _ = make_failed(make_project(), keepers=keepers)

    def replay(**body: Any) -> Any:
        response = api_client.post("/api/v1/dead-letters/replay", body)
        assert response.status_code == 202, response.content
        return response.json()

    assert replay(run=str(made[0][0].run)) == {"count": 1, "refusals": []}
    assert replay(task=str(made[1][0].tasks["a"])) == {"count": 1, "refusals": []}
    assert replay(reason="proof_rejected") == {"count": 0, "refusals": []}
    assert replay(stage="submitted") == {"count": 0, "refusals": []}
    assert replay(stage="executing", reason="execution_failed") == {"count": 2, "refusals": []}
    assert api_client.post("/api/v1/dead-letters/replay").json() == {"count": 0, "refusals": []}
    assert {run.reload().run.status for run, _ in made} == {"open"}
    assert foreign.reload().run.status == "failed"


def test_a_replay_of_many_is_done_once_per_idempotency_key(api_client: APIClient, project: Project):
    make_failed(project)
    headers = {"Idempotency-Key": "all"}

    first = api_client.post("/api/v1/dead-letters/replay", {}, headers=headers)
    again = api_client.post("/api/v1/dead-letters/replay", {}, headers=headers)
    other = api_client.post("/api/v1/dead-letters/replay", {"stage": "executing"}, headers=headers)

    assert first.json() == again.json() == {"count": 1, "refusals": []}
    assert refusal(other) == (422, "idempotency_mismatch")


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"runs": "run_" + "0" * 32}, "/runs", "unknown"),
        ({"waiting": False}, "/waiting", "unknown"),
        ({"run": "x"}, "/run", "id_malformed"),
        ({"task": "run_" + "0" * 32}, "/task", "id_malformed"),
        ({"reason": "bad_luck"}, "/reason", "invalid_choice"),
        ({"stage": "asleep"}, "/stage", "invalid_choice"),
        ([], "", "invalid"),
    ],
)
def test_a_body_that_names_nothing_replays_nothing(
    body: Any, pointer: str, code: str, api_client: APIClient, project: Project
):
    _, row = make_failed(project)

    response = api_client.post("/api/v1/dead-letters/replay", body)

    assert refusal(response) == (422, "validation_failed")
    assert [(each["pointer"], each["code"]) for each in response.json()["errors"]] == [(pointer, code)]
    row.refresh_from_db()
    assert row.replayed_at is None


def test_a_preview_tells_what_the_stop_then_does(api_client: APIClient, project: Project):
    run = make_ahead(
        {"a": "confirmed", "b": "waiting_ancestors", "c": "executing", "d": "discovered"},
        bonds={"b": 2_000_000, "c": 4_000_000},
        project=project,
    )

    shown = read(api_client, f"/runs/{run.run}/cancel-preview")

    assert shown.keys() == CancelPreviewOut().fields.keys()
    assert shown["targets"] == {"aborted": 1, "cancelled": 1, "rolled_back": 1}
    assert sorted(shown["tasks"]) == [str(run.tasks[step]) for step in "bcd"]
    assert (shown["released_units"], shown["slashed_units"]) == ("6000000", "0")
    assert (shown["wasted_units"], shown["running"], shown["confirmed"]) == ("12", 1, 1)
    assert run.statuses()["c"] == "executing"
    api_client.post(f"/api/v1/runs/{run.run}/cancel")
    done = read(api_client, f"/rollbacks?run={run.run}")["data"]
    assert sum(rollback["size"] for rollback in done) == len(shown["tasks"])
    assert sum(int(rollback["released_units"]) for rollback in done) == 6_000_000


def test_a_task_is_previewed_and_stopped_with_what_stands_on_it(api_client: APIClient, project: Project):
    run = make_ahead({"a": "executing", "b": "executing", "c": "discovered"}, project=project)
    b = run.tasks["b"]

    assert read(api_client, f"/tasks/{b}/cancel-preview")["targets"] == {"aborted": 1, "cancelled": 1}
    response = api_client.post(f"/api/v1/tasks/{b}/cancel", headers={"Idempotency-Key": "b"})
    same = api_client.post(f"/api/v1/tasks/{b}/cancel", headers={"Idempotency-Key": "b"})
    again = api_client.post(f"/api/v1/tasks/{b}/cancel")

    assert response.status_code == 202, response.content
    assert response.headers["Location"] == f"/api/v1/tasks/{b}"
    assert (response.json()["id"], response.json()["status"]) == (str(b), "aborted")
    assert response.json()["error"]["code"] == "cancelled"
    assert same.json() == response.json() == again.json()
    assert run.statuses() == {"a": "executing", "b": "aborted", "c": "cancelled"}
    assert Rollback.objects.count() == 1


def test_each_refusal_to_stop_a_task_has_its_code(api_client: APIClient, project: Project):
    keepers = make_keepers(3)
    run = make_ahead({"a": "confirmed", "b": "submitted"}, project=project, keepers=keepers)
    failed, _ = make_failed(project, keepers=keepers)

    def stop(task: Any) -> tuple[int, str]:
        return refusal(api_client.post(f"/api/v1/tasks/{task}/cancel"))

    assert stop(run.tasks["a"]) == (409, "rollback_of_confirmed")
    assert stop(run.tasks["b"]) == (409, "rollback_too_late")
    assert stop(failed.tasks["a"]) == (409, "task_ended")
    assert stop(to_wire("task", new_id())) == (404, "task_not_found")
    assert refusal(api_client.post(f"/api/v1/runs/{run.run}/cancel")) == (409, "run_settling")

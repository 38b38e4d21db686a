"""GET /tasks, /tasks/{id}, its output and its package."""

import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.accounts.models import Project
from apps.content.services import content_put
from apps.tasks.models import Task
from tests.factories.accounts import make_project
from tests.factories.spine import make_run

pytestmark = pytest.mark.django_db


def set_content(task: Task, output: Any, package: Any) -> tuple[str, str]:
    """Store real content behind a made-up task."""
    cids = content_put(json.dumps(output).encode()), content_put(json.dumps(package).encode())
    Task.objects.filter(pk=task.pk).update(output_cid=cids[0], package_cid=cids[1])
    return cids


def test_tasks_are_listed_and_filtered(api_client: APIClient, project: Project):
    spine = make_run(
        {"load": "confirmed", "publish": "executing"}, project=project, steps=("load", "publish")
    )
    load, publish = spine.tasks["load"], spine.tasks["publish"]

    def ids(query: str) -> list[str]:
        return [task["id"] for task in api_client.get(f"/api/v1/tasks?{query}").json()["data"]]

    assert ids("") == [str(publish), str(load)]
    assert ids(f"run={spine.run}&status=confirmed") == [str(load)]
    assert ids(f"performer={publish.performer.upper().replace('0X', '0x')}") == [str(publish)]
    assert api_client.get("/api/v1/tasks?status=done").status_code == 422


def test_a_task_is_the_same_document_as_within_its_run(api_client: APIClient, project: Project):
    spine = make_run(project=project, steps=("load", "publish"))

    whole = api_client.get(f"/api/v1/runs/{spine.run}").json()["tasks"][1]

    assert api_client.get(f"/api/v1/tasks/{spine.tasks['publish']}").json() == whole


def test_output_and_package_are_the_json_that_was_stored(api_client: APIClient, project: Project):
    task = make_run("executed", project=project, steps=("load",)).tasks["load"]
    cid, _ = set_content(task, {"rows": 3}, {"task": "x"})

    output = api_client.get(f"/api/v1/tasks/{task}/output")

    assert output.json() == {"rows": 3}
    assert output.headers["X-Content-CID"] == cid
    assert api_client.get(f"/api/v1/tasks/{task}/package").json() == {"task": "x"}
    cached = api_client.get(f"/api/v1/tasks/{task}/output", headers={"If-None-Match": output.headers["ETag"]})
    assert cached.status_code == 304


def test_an_output_that_is_not_there_yet_is_a_conflict(api_client: APIClient, project: Project):
    task = make_run({}, project=project, steps=("load",)).tasks["load"]

    assert api_client.get(f"/api/v1/tasks/{task}/output").json()["code"] == "output_not_ready"
    assert api_client.get(f"/api/v1/tasks/{task}/package").status_code == 409


def test_foreign_tasks_do_not_exist(api_client: APIClient):
    task = make_run("executed", project=make_project(), steps=("load",)).tasks["load"]

    assert api_client.get("/api/v1/tasks").json()["data"] == []
    for part in ("", "/output", "/package"):
        assert api_client.get(f"/api/v1/tasks/{task}{part}").status_code == 404

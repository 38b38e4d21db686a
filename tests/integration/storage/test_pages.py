"""A custom job on the operator's pages, and the news of what it kept among those of its run."""

from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from rest_framework.test import APIClient

from apps.accounts.models import Project
from apps.eventlog.selectors import get_database_now
from apps.kernel.ids import to_wire
from apps.storage.data import StorageWrite
from apps.storage.services import storage_apply, storage_lock
from apps.tasks.models import Task
from apps.tasks.services import run_now
from tests.factories.jobs import make_job

pytestmark = pytest.mark.django_db

TARGETS = ["0x" + "11" * 20, "0x" + "22" * 20]


@pytest.fixture
def job(project: Project) -> Any:
    """A custom job that costs nothing."""
    found = make_job(project=project, action={"chain_id": 31337, "custom": True, "targets": TARGETS})
    type(found).objects.filter(pk=found.pk).update(estimated_cost_units=0)
    found.refresh_from_db()
    return found


def _keep(task: Task, job: Any, **updates: Any) -> None:
    write = StorageWrite(
        job_id=job.id, task_id=task.id, run_id=task.run_id, trace_id="a" * 32, versions={}, updates=updates
    )
    with transaction.atomic():
        storage_apply([write], storage_lock([job.id]), now=get_database_now())


def test_a_jobs_page_shows_which_contracts_its_script_may_call(project: Project, job: Any):
    client = Client()
    client.force_login(project.owner)
    page = client.get(f"/jobs/{job.wire_id}").content.decode()
    assert "may call" in page
    assert all(target in page for target in TARGETS)


def test_a_job_is_answered_with_its_custom_action(api_client: APIClient, job: Any):
    (step,) = api_client.get(f"/api/v1/jobs/{job.wire_id}").json()["steps"]
    assert step["action"] == {"chain_id": 31337, "custom": True, "targets": TARGETS, "gas_limit": 200_000}


def test_a_runs_news_tell_what_was_kept_and_what_was_not_without_the_values(
    project: Project, api_client: APIClient, job: Any
):
    run = run_now(job_id=job.id, project_ids=None)
    task = Task.objects.get(run=run)
    assert task.spec["storage"]["values"] == {}
    _keep(task, job, seen="a private thing", runs=1)
    _keep(task, job, runs=2)

    shown = api_client.get(f"/api/v1/runs/{run}/events?limit=100").json()["data"]
    told = {one["type"]: one["payload"] for one in shown if one["type"].startswith("job.")}
    assert told["job.storage_updated"]["keys"] == ["runs", "seen"]
    assert told["job.storage_conflict"]["task"] == to_wire("task", task.id)
    assert "a private thing" not in str(told)
    client = Client()
    client.force_login(project.owner)
    assert client.get(f"/runs/{run}").status_code == 200

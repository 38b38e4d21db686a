"""Starting and cancelling runs over REST: accepted, placed, idempotent, scoped."""

import pytest
from rest_framework.test import APIClient

from apps.accounts.models import Project
from apps.jobs.models import Job
from apps.kernel.ids import new_id, to_wire
from apps.tasks.models import Run
from tests.factories.accounts import make_key, make_project
from tests.factories.jobs import make_job
from tests.factories.spine import make_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(project: Project) -> Job:
    """A job whose run costs nothing."""
    made = make_job(project=project)
    Job.objects.filter(pk=made.pk).update(estimated_cost_units=0)
    return made


def test_run_now_opens_a_run_and_says_where_it_is(api_client: APIClient, job: Job):
    response = api_client.post(f"/api/v1/jobs/{job.wire_id}/run-now")

    assert response.status_code == 202, response.content
    run = Run.objects.get()
    assert response.headers["Location"] == f"/api/v1/runs/{to_wire('run', run.id)}"
    assert response.json()["id"] == to_wire("run", run.id)
    assert response.json()["tick_key"].startswith("manual:")
    assert api_client.get(response.headers["Location"]).status_code == 200


def test_the_request_s_trace_becomes_the_run_s(api_client: APIClient, job: Job):
    trace_id = "0af7651916cd43dd8448eb211c80319c"

    response = api_client.post(
        f"/api/v1/jobs/{job.wire_id}/run-now", headers={"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
    )

    assert response.json()["trace_id"] == trace_id


def test_the_same_idempotency_key_opens_one_run(api_client: APIClient, job: Job):
    path = f"/api/v1/jobs/{job.wire_id}/run-now"

    first = api_client.post(path, headers={"Idempotency-Key": "once"})
    again = api_client.post(path, headers={"Idempotency-Key": "once"})

    assert Run.objects.count() == 1
    assert again.status_code == 202
    assert again.json() == first.json()
    assert again.headers["Location"] == first.headers["Location"]


def test_a_foreign_or_unknown_job_cannot_be_run(api_client: APIClient):
    foreign = make_job(project=make_project())

    for wire in (foreign.wire_id, to_wire("job", new_id())):
        response = api_client.post(f"/api/v1/jobs/{wire}/run-now")
        assert response.status_code == 404
        assert response.json()["code"] == "job_not_found"
    assert not Run.objects.exists()


def test_running_and_cancelling_need_the_write_scope(project: Project, job: Job):
    reader = APIClient()
    reader.credentials(HTTP_AUTHORIZATION=f"Bearer {make_key(project, 'runs:read', 'jobs:write').secret}")
    spine = make_run({}, project=project, steps=("load",))

    assert reader.post(f"/api/v1/jobs/{job.wire_id}/run-now").status_code == 403
    assert reader.post(f"/api/v1/runs/{to_wire('run', spine.run.id)}/cancel").status_code == 403


def test_cancelling_stops_what_has_not_started(api_client: APIClient, project: Project):
    spine = make_run({"load": "executing"}, project=project, steps=("load", "publish"))

    response = api_client.post(f"/api/v1/runs/{to_wire('run', spine.run.id)}/cancel")

    assert response.status_code == 202
    assert response.json()["status"] == "cancelled"
    assert response.json()["task_counts"] == {"aborted": 1, "cancelled": 1}
    assert response.json()["cancel_requested_at"] is not None


def test_cancelling_what_has_ended_is_a_conflict(api_client: APIClient, project: Project):
    spine = make_run("confirmed", project=project, steps=("load",))

    response = api_client.post(f"/api/v1/runs/{to_wire('run', spine.run.id)}/cancel")

    assert response.status_code == 409
    assert response.json()["code"] == "run_ended"


def test_a_foreign_run_cannot_be_cancelled(api_client: APIClient):
    spine = make_run({}, project=make_project(), steps=("load",))

    response = api_client.post(f"/api/v1/runs/{to_wire('run', spine.run.id)}/cancel")

    assert response.status_code == 404
    assert spine.refresh().status == "open"

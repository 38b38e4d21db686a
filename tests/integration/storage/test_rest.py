"""What a job keeps, read and set through the API: pages, versions, refusals, nothing of other projects."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.accounts.data import IssuedKey
from apps.accounts.models import Project
from apps.eventlog.models import Event
from apps.jobs.models import Job
from apps.jobs.services import job_delete
from apps.storage.models import StoredValue
from apps.storage.services import storage_put
from tests.factories.accounts import make_key, make_project
from tests.factories.jobs import make_job

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(project: Project) -> Job:
    """A job of the caller's."""
    return make_job(project=project)


def _path(job: Job, key: str = "") -> str:
    return f"/api/v1/jobs/{job.wire_id}/storage" + (f"/{key}" if key else "")


def _put(client: APIClient, job: Job, key: str, body: Any, match: str | None = None) -> Any:
    headers = {} if match is None else {"If-Match": match}
    return client.put(_path(job, key), body, format="json", headers=headers)


def _client(key: IssuedKey) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key.secret}")
    return client


def test_values_are_listed_page_by_page_with_their_versions(api_client: APIClient, job: Job):
    for n in range(5):
        storage_put(job_id=job.id, key=f"k{n}", value={"n": n})
    first = api_client.get(_path(job) + "?limit=3").json()
    second = api_client.get(_path(job) + f"?limit=3&cursor={first['next_cursor']}").json()

    found = [*first["data"], *second["data"]]
    assert [(one["key"], one["value"]) for one in found] == [(f"k{n}", {"n": n}) for n in range(5)]
    assert [one["version"] for one in found] == sorted({one["version"] for one in found})
    assert (first["has_more"], second["has_more"]) == (True, False)


def test_a_value_is_set_read_changed_and_forgotten(api_client: APIClient, job: Job):
    made = _put(api_client, job, "runs", {"value": 1}, '"v0"')
    assert (made.status_code, made.json()["value"]) == (200, 1)
    shown = api_client.get(_path(job, "runs"))
    assert (shown.json(), shown.headers["ETag"]) == (made.json(), made.headers["ETag"])
    changed = _put(api_client, job, "runs", {"value": [None]}, made.headers["ETag"])
    assert changed.json()["value"] == [None]
    assert changed.json()["version"] > made.json()["version"]
    gone = api_client.delete(_path(job, "runs"), headers={"If-Match": changed.headers["ETag"]})
    assert gone.status_code == 204
    assert api_client.get(_path(job, "runs")).json()["code"] == "stored_value_not_found"

    events = Event.objects.filter(event_type="job.storage_updated").order_by("sequence_number")
    told = [(event.payload["keys"], event.payload["deleted"]) for event in events]
    assert told == [(["runs"], []), (["runs"], []), ([], ["runs"])]


@pytest.mark.parametrize("match", ['"v0"', '"v99"'])
def test_a_value_that_was_changed_meanwhile_is_not_written_over(api_client: APIClient, job: Job, match: str):
    storage_put(job_id=job.id, key="runs", value=1)
    assert _put(api_client, job, "runs", {"value": 2}, match).status_code == 412
    assert api_client.delete(_path(job, "runs"), headers={"If-Match": match}).status_code == 412
    assert StoredValue.objects.get().value == 1


@pytest.mark.parametrize(
    ("key", "body", "code", "pointer"),
    [
        ("a", {}, "field_missing", ["/value"]),
        ("a", {"value": None}, "field_missing", ["/value"]),
        ("a", [], "field_invalid", [""]),
        ("a", {"value": 1, "more": 1}, "field_unknown", ["/more"]),
        ("a", {"value": 2**53}, "storage_updates_invalid", ["/value"]),
        ("a", {"value": {"password": "x"}}, "storage_updates_invalid", ["/value"]),
        ("a", {"value": "x" * 5_000}, "storage_too_large", ["/value"]),
        ("a" * 65, {"value": 1}, "storage_updates_invalid", []),
        ("a%0A", {"value": 1}, "storage_updates_invalid", []),
        ("a%00", {"value": 1}, "storage_updates_invalid", []),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_code(
    api_client: APIClient, job: Job, key: str, body: Any, code: str, pointer: list[str]
):
    answer = _put(api_client, job, key, body)
    pointers = [error["pointer"] for error in answer.json()["errors"]]
    assert (answer.json()["code"], pointers, answer.status_code) == (code, pointer, 422)
    assert not StoredValue.objects.exists()


def test_a_job_keeps_only_so_many_keys_and_so_much_in_all(api_client: APIClient, job: Job):
    for n in range(64):
        storage_put(job_id=job.id, key=f"k{n}", value=n)
    assert _put(api_client, job, "one-more", {"value": 1}).json()["code"] == "storage_too_large"
    for n in range(8):
        storage_put(job_id=job.id, key=f"k{n}", value="x" * 4_000)
    assert _put(api_client, job, "k8", {"value": "x" * 4_000}).json()["code"] == "storage_too_large"


def test_what_is_not_there_cannot_be_forgotten(api_client: APIClient, job: Job):
    assert api_client.delete(_path(job, "runs")).status_code == 404


def test_another_projects_job_keeps_nothing_that_can_be_seen_or_set(job: Job):
    storage_put(job_id=job.id, key="runs", value=1)
    other = _client(make_key(make_project()))
    for answer in (
        other.get(_path(job)),
        other.get(_path(job, "runs")),
        _put(other, job, "runs", {"value": 2}),
        other.delete(_path(job, "runs")),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")
    assert StoredValue.objects.get().value == 1


def test_a_key_that_may_only_read_sets_nothing(project: Project, job: Job):
    reader = _client(make_key(project, "jobs:read"))
    assert reader.get(_path(job)).status_code == 200
    assert _put(reader, job, "runs", {"value": 2}).status_code == 403
    assert reader.delete(_path(job, "runs")).status_code == 403


def test_a_deleted_job_is_shown_with_what_it_kept_and_takes_nothing_more(api_client: APIClient, job: Job):
    storage_put(job_id=job.id, key="runs", value=1)
    job_delete(job_id=job.id)
    assert len(api_client.get(_path(job)).json()["data"]) == 1
    assert _put(api_client, job, "runs", {"value": 2}).json()["code"] == "job_ended"
    assert api_client.delete(_path(job, "runs")).json()["code"] == "job_ended"


def test_an_operator_looks_at_the_values_and_changes_none(admin_client: Any, job: Job):
    row = storage_put(job_id=job.id, key="runs", value=1)
    listed = admin_client.get("/admin/storage/storedvalue/")
    assert listed.status_code == 200
    assert "runs" in listed.content.decode()
    detail = admin_client.get(f"/admin/storage/storedvalue/{row.pk}/change/")
    assert detail.status_code == 200
    assert 'name="value"' not in detail.content.decode()

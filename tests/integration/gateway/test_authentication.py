"""Who is let in, and as whom."""

import pytest
from rest_framework.test import APIClient

from apps.accounts.data import Role
from apps.accounts.services import api_key_revoke, membership_set
from apps.eventlog.selectors import get_events
from tests.factories.accounts import make_key, make_operator_key, make_project, make_staff, make_user

pytestmark = pytest.mark.django_db


def client_of(secret: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def test_without_a_key_the_answer_is_401_and_says_how():
    response = APIClient().get("/api/v1/projects")
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="forekeep"'
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "unauthenticated"


@pytest.mark.parametrize(
    "headers",
    [
        {"HTTP_AUTHORIZATION": "Bearer nonsense"},
        {"HTTP_AUTHORIZATION": "Bearer fk_abcdefgh_" + "a" * 43},
        {"HTTP_AUTHORIZATION": "Basic bWU6aHVudGVyMg=="},
        {"HTTP_AUTHORIZATION": "Bearer"},
        {"HTTP_X_API_KEY": "fk_abcdefgh_" + "a" * 43},
    ],
)
def test_a_bad_key_is_401_whatever_is_wrong_with_it(headers):
    response = APIClient().get("/api/v1/projects", **headers)
    assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")
    assert "detail" not in response.json()


def test_both_headers_let_a_key_in(project, api_key):
    bearer = client_of(api_key.secret).get("/api/v1/projects")
    header = APIClient().get("/api/v1/projects", headers={"X-API-Key": api_key.secret})
    assert bearer.json() == header.json()
    assert [row["id"] for row in bearer.json()["data"]] == [project.wire_id]


def test_a_revoked_key_is_401(api_client, api_key):
    api_key_revoke(key_id=api_key.id)
    assert api_client.get("/api/v1/projects").status_code == 401


def test_a_key_without_the_scope_is_403_and_told_which(project):
    response = client_of(make_key(project, "jobs:read").secret).get("/api/v1/keys")
    assert (response.status_code, response.json()["code"]) == (403, "scope_missing")
    assert response.json()["detail"] == "needed: keys:read"


def test_reading_needs_less_than_changing(project):
    client = client_of(make_key(project, "keys:read").secret)
    assert client.get("/api/v1/keys").status_code == 200
    assert client.post("/api/v1/keys", {}).status_code == 403


def test_the_operators_key_sees_every_project(project):
    other = make_project()
    response = client_of(make_operator_key().secret).get("/api/v1/projects")
    assert {row["id"] for row in response.json()["data"]} == {project.wire_id, other.wire_id}


def test_a_logged_in_member_reads_their_projects_only(project):
    make_project()
    person = make_user()
    membership_set(project_id=project.id, user=person, role=Role.VIEWER)
    client = APIClient()
    client.force_login(person)
    assert [row["id"] for row in client.get("/api/v1/projects").json()["data"]] == [project.wire_id]


def test_a_viewer_changes_nothing(project):
    person = make_user()
    membership_set(project_id=project.id, user=person, role=Role.VIEWER)
    client = APIClient()
    client.force_login(person)
    assert client.patch(f"/api/v1/projects/{project.wire_id}", {"name": "Mine"}).status_code == 403


def test_a_role_in_one_project_gives_nothing_in_another(project):
    person = make_user()
    mine = make_project(owner=person)
    membership_set(project_id=project.id, user=person, role=Role.VIEWER)
    client = APIClient()
    client.force_login(person)
    assert client.patch(f"/api/v1/projects/{mine.wire_id}", {"name": "Mine"}).status_code == 200
    assert client.patch(f"/api/v1/projects/{project.wire_id}", {"name": "Mine"}).status_code == 404


def test_a_sessions_change_needs_the_csrf_token(project):
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(project.owner)
    path = f"/api/v1/projects/{project.wire_id}"
    assert client.get(path).status_code == 200
    refused = client.patch(path, {"name": "Mine"})
    assert (refused.status_code, refused.json()["code"]) == (403, "csrf_failed")
    client.get("/login")
    client.get("/admin/login/")
    token = client.cookies["csrftoken"].value if "csrftoken" in client.cookies else "a" * 32
    client.cookies["csrftoken"] = token
    assert client.patch(path, {"name": "Mine"}, headers={"X-CSRFToken": token}).status_code == 200


def test_a_key_needs_no_csrf_token(project, api_key):
    client = APIClient(enforce_csrf_checks=True)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {api_key.secret}")
    assert client.patch(f"/api/v1/projects/{project.wire_id}", {"name": "Mine"}).status_code == 200


def test_a_person_who_was_switched_off_is_nobody():
    staff = make_staff()
    client = APIClient()
    client.force_login(staff)
    staff.is_active = False
    staff.save()
    assert client.get("/api/v1/projects").status_code == 401


def test_the_events_a_request_causes_name_the_key(project, api_client, api_key):
    api_client.patch(f"/api/v1/projects/{project.wire_id}", {"name": "Renamed"})
    event = get_events(aggregate=("project", project.id.hex))[-1]
    assert event.metadata == {"user": f"fk_{api_key.prefix}", "ip": "127.0.0.1"}

"""/projects and /keys as a client sees them."""

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts.models import ApiKey, Project
from apps.accounts.services import authenticate
from apps.kernel.ids import new_id, to_wire
from tests.factories.accounts import make_key, make_operator_key, make_project, make_user
from tests.factories.ledger import fund_project

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator_client() -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {make_operator_key().secret}")
    return client


@pytest.fixture
def person_client() -> APIClient:
    client = APIClient()
    client.force_login(make_user())
    return client


def test_a_person_opens_a_project_and_is_told_where_it_is(person_client):
    owner_has_scope = make_project(owner=make_user())
    person_client.force_login(owner_has_scope.owner)
    response = person_client.post("/api/v1/projects", {"name": "Heat alarm"})
    assert response.status_code == 201
    body = response.json()
    assert response["Location"] == f"/api/v1/projects/{body['id']}"
    assert response["ETag"] == '"v1"'
    assert body["slug"] == "heat-alarm"
    assert person_client.get(response["Location"]).json() == body


def test_a_key_opens_no_project(api_client):
    response = api_client.post("/api/v1/projects", {"name": "x"})
    assert (response.status_code, response.json()["code"]) == (403, "scope_missing")


def test_a_foreign_project_and_one_that_does_not_exist_look_the_same(api_client):
    foreign = api_client.get(f"/api/v1/projects/{make_project().wire_id}")
    absent = api_client.get(f"/api/v1/projects/{to_wire('proj', new_id())}")
    assert foreign.status_code == absent.status_code == 404
    assert {**foreign.json(), "trace_id": ""} == {**absent.json(), "trace_id": ""}


@pytest.mark.parametrize("text", ["proj_1", "job_" + "0" * 32, "nonsense", "proj_" + "g" * 32])
def test_a_malformed_id_is_refused_as_such(api_client, text):
    response = api_client.get(f"/api/v1/projects/{text}")
    assert (response.status_code, response.json()["code"]) == (422, "id_malformed")


def test_an_edit_needs_the_version_it_was_based_on(project, api_client):
    path = f"/api/v1/projects/{project.wire_id}"
    etag = api_client.get(path)["ETag"]
    first = api_client.patch(path, {"name": "First"}, headers={"If-Match": etag})
    assert (first.status_code, first["ETag"]) == (200, '"v2"')
    second = api_client.patch(path, {"name": "Second"}, headers={"If-Match": etag})
    assert (second.status_code, second.json()["code"]) == (412, "precondition_failed")
    assert Project.objects.get(pk=project.pk).name == "First"


def test_what_a_project_says_about_running_ahead_is_shown_and_edited_on_its_version(project, api_client):
    path = f"/api/v1/projects/{project.wire_id}"
    first = api_client.get(path)
    assert (first.json()["speculation"], first.json()["allows_drills"]) == ({}, False)
    said = {"mode": "custom", "max_depth": 20, "max_branches": 8}
    edited = api_client.patch(path, {"speculation": said}, headers={"If-Match": first["ETag"]})
    assert (edited.status_code, edited.json()["speculation"], edited["ETag"]) == (200, said, '"v2"')
    stale = api_client.patch(path, {"speculation": None}, headers={"If-Match": first["ETag"]})
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    assert api_client.patch(path, {"name": "Other"}).json()["speculation"] == said
    assert api_client.patch(path, {"speculation": {"enabled": False}}).json()["speculation"] == {
        "enabled": False
    }
    assert api_client.patch(path, {"speculation": None}).json()["speculation"] == {}


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        ({"mode": "custom", "max_depth": 21, "max_branches": 8}, "/speculation/max_depth"),
        ({"mode": "custom", "max_depth": 3}, "/speculation/max_branches"),
        ({"mode": "balanced", "max_depth": 3}, "/speculation/max_depth"),
        ({"mode": "reckless"}, "/speculation/mode"),
        ({"enabled": "no"}, "/speculation/enabled"),
        ({"depth": 3}, "/speculation/depth"),
        ("off", "/speculation"),
    ],
)
def test_a_choice_that_is_not_on_offer_is_refused_with_its_code_and_place(project, api_client, said, pointer):
    response = api_client.patch(f"/api/v1/projects/{project.wire_id}", {"speculation": said, "name": "Other"})
    (error,) = response.json()["errors"]
    assert (response.status_code, error["code"], error["pointer"]) == (
        422,
        "speculation_limits_invalid",
        pointer,
    )
    assert Project.objects.get(pk=project.pk).event_sequence == 1


def test_drills_are_allowed_by_an_operator_and_forbidden_by_anybody(project, api_client, operator_client):
    path = f"/api/v1/projects/{project.wire_id}"
    refused = api_client.patch(path, {"allows_drills": True})
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    assert refused.json()["errors"][0]["pointer"] == "/allows_drills"
    assert operator_client.patch(path, {"allows_drills": True}).json()["allows_drills"] is True
    assert api_client.patch(path, {"allows_drills": False}).json()["allows_drills"] is False


def test_a_project_is_opened_with_what_it_says_about_running_ahead(person_client):
    person_client.force_login(make_project(owner=make_user()).owner)

    def open_project(**body):
        return person_client.post("/api/v1/projects", body, format="json")

    opened = open_project(name="Careful", speculation={"enabled": False})
    assert (opened.status_code, opened.json()["speculation"]) == (201, {"enabled": False})
    drilling = open_project(name="Drills", allows_drills=True)
    assert (drilling.status_code, drilling.json()["code"]) == (403, "scope_missing")


def test_a_key_is_issued_with_its_secret_shown_once(project, api_client):
    response = api_client.post("/api/v1/keys", {"name": "reader", "scopes": ["jobs:read", "runs:read"]})
    assert response.status_code == 201
    body = response.json()
    assert response["Cache-Control"] == "no-store"
    assert authenticate(body["secret"], now=timezone.now()).project_id == project.id
    shown = api_client.get(response["Location"])
    assert shown.status_code == 200
    assert "secret" not in shown.json()
    assert "sha256" not in shown.json()
    assert body["secret"] not in str(api_client.get("/api/v1/keys").json())


def test_a_key_cannot_issue_more_than_it_holds(project):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {make_key(project, 'keys:write').secret}")
    response = client.post("/api/v1/keys", {"name": "more", "scopes": ["keys:write", "jobs:write"]})
    assert (response.status_code, response.json()["code"]) == (403, "scopes_exceeded")
    assert response.json()["errors"][0]["pointer"] == "/scopes"


def test_only_the_operator_issues_an_operators_key(api_client, operator_client):
    body = {"name": "operator", "scopes": ["operator"], "is_operator": True}
    assert api_client.post("/api/v1/keys", body).json()["code"] == "scopes_exceeded"
    made = operator_client.post("/api/v1/keys", body)
    assert (made.status_code, made.json()["project"]) == (201, None)


def test_the_operator_names_the_project_of_a_key(project, operator_client):
    body = {"name": "reader", "scopes": ["jobs:read"]}
    assert operator_client.post("/api/v1/keys", body).json()["code"] == "project_needed"
    named = operator_client.post("/api/v1/keys", {**body, "project": project.wire_id})
    assert named.json()["project"] == project.wire_id
    queried = operator_client.post(f"/api/v1/keys?project={project.wire_id}", body)
    assert queried.json()["project"] == project.wire_id


def test_a_foreign_project_cannot_be_named(api_client):
    body = {"name": "reader", "scopes": ["jobs:read"], "project": make_project().wire_id}
    response = api_client.post("/api/v1/keys", body)
    assert (response.status_code, response.json()["code"]) == (404, "project_unknown")


def test_revoking_is_final_and_may_be_repeated(project, api_client):
    victim = make_key(project)
    path = f"/api/v1/keys/{to_wire('key', victim.id)}/revoke"
    first, second = api_client.post(path), api_client.post(path)
    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()
    assert first.json()["revoked_at"] is not None


def test_a_foreign_key_answers_404(api_client):
    foreign = make_key(make_project())
    path = f"/api/v1/keys/{to_wire('key', foreign.id)}"
    assert api_client.get(path).status_code == 404
    assert api_client.post(f"{path}/revoke").status_code == 404
    assert ApiKey.objects.get(pk=foreign.id).revoked_at is None


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/name"),
        ({"name": "x"}, "/scopes"),
        ({"name": "x", "scopes": []}, "/scopes"),
        ({"name": "x", "scopes": ["jobs:eat"]}, "/scopes/0"),
        ({"name": "x" * 121, "scopes": ["jobs:read"]}, "/name"),
        ({"name": "x", "scopes": ["jobs:read"], "rate_limit_per_minute": 0}, "/rate_limit_per_minute"),
        ({"name": "x", "scopes": ["jobs:read"], "expires_at": "soon"}, "/expires_at"),
        ({"name": "x", "scopes": ["jobs:read"], "expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"name": "x", "scopes": ["jobs:read"], "project": 7}, "/project"),
    ],
)
def test_a_bad_body_is_422_and_points_at_the_place(api_client, body, pointer):
    response = api_client.post("/api/v1/keys", body)
    assert response.status_code == 422
    assert pointer in [error["pointer"] for error in response.json()["errors"]]


@pytest.mark.parametrize("body", ["[]", '"text"', "3", "null"])
def test_a_body_that_is_no_object_is_422(api_client, body):
    response = api_client.post("/api/v1/keys", body, content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (422, "validation_failed")


def test_a_body_that_is_no_json_is_400(api_client):
    response = api_client.post("/api/v1/keys", "{", content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (400, "body_malformed")


def test_another_media_type_is_415(api_client):
    response = api_client.post("/api/v1/keys", "a,b", content_type="text/csv")
    assert (response.status_code, response.json()["code"]) == (415, "media_type_unsupported")


def test_a_method_that_is_not_there_is_405(api_client):
    response = api_client.delete("/api/v1/keys")
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert "POST" in response["Allow"]


def test_the_documents_of_projects_have_their_balances(api_client, project):
    fund_project(project.id, 2**60)
    one = api_client.get(f"/api/v1/projects/{project.wire_id}").json()
    (row,) = api_client.get("/api/v1/projects").json()["data"]
    assert one == row
    assert (one["prepaid_units"], one["escrow_units"]) == (str(2**60), "0")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ('{"name": "x",\n "slug" 1}', "Expecting ':' delimiter at line 2, column 9"),
        ('{"name": "x", "name": "y"}', "the name 'name' stands twice in one object"),
        ('{"name": NaN}', "NaN is not JSON"),
        (b'{"name": "\xff"}', "it is not UTF-8"),
    ],
)
def test_a_malformed_body_is_told_where_it_breaks_off(api_client, body, detail):
    response = api_client.post("/api/v1/keys", body, content_type="application/json")
    answer = response.json()
    assert (response.status_code, answer["code"], answer["detail"]) == (400, "body_malformed", detail)

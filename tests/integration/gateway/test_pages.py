"""Cursor pages neither skip nor repeat."""

import pytest
from rest_framework.test import APIClient

from tests.factories.accounts import make_key, make_operator_key

pytestmark = pytest.mark.django_db


def walk(client: APIClient, path: str, limit: int) -> list[str]:
    found: list[str] = []
    query: dict[str, str] = {"limit": str(limit)}
    while True:
        page = client.get(path, query).json()
        found += [row["id"] for row in page["data"]]
        assert page["has_more"] == (page["next_cursor"] is not None)
        if not page["has_more"]:
            return found
        query["cursor"] = page["next_cursor"]


@pytest.mark.parametrize("limit", [1, 3, 7, 8, 100])
def test_the_pages_together_are_the_whole_list_newest_first(project, api_client, limit):
    made = [make_key(project) for _ in range(7)]
    found = walk(api_client, "/api/v1/keys", limit)
    assert found[:7] == [f"key_{key.id.hex}" for key in reversed(made)]
    assert len(found) == len(set(found)) == 8


def test_a_row_added_meanwhile_changes_no_later_page(project, api_client):
    for _ in range(4):
        make_key(project)
    before = walk(api_client, "/api/v1/keys", 100)
    first = api_client.get("/api/v1/keys", {"limit": 2}).json()
    make_key(project)
    second = api_client.get("/api/v1/keys", {"limit": 100, "cursor": first["next_cursor"]}).json()
    assert [row["id"] for row in first["data"] + second["data"]] == before


def test_without_a_limit_a_page_has_twenty_rows(project, api_client):
    for _ in range(25):
        make_key(project)
    assert len(api_client.get("/api/v1/keys").json()["data"]) == 20


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "", "1.5", "9" * 30, "٣"])
def test_a_limit_out_of_bounds_is_refused(api_client, limit):
    response = api_client.get("/api/v1/keys", {"limit": limit})
    assert (response.status_code, response.json()["code"]) == (422, "limit_invalid")


@pytest.mark.parametrize("cursor", ["x", "é", "AAAA", "%00", "bm90IGFuIGlk", "=" * 50])
def test_a_cursor_that_was_not_given_out_is_refused(api_client, cursor):
    response = api_client.get("/api/v1/keys", {"cursor": cursor})
    assert (response.status_code, response.json()["code"]) == (422, "cursor_invalid")


def test_a_list_can_be_narrowed_to_one_project(project):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {make_operator_key().secret}")
    key = make_key(project)
    page = client.get("/api/v1/keys", {"project": project.wire_id}).json()
    assert [row["id"] for row in page["data"]] == [f"key_{key.id.hex}"]


def test_a_page_costs_one_query(project, api_client, django_assert_num_queries):
    for _ in range(10):
        make_key(project)
    api_client.get("/api/v1/keys")
    with django_assert_num_queries(1):
        api_client.get("/api/v1/keys")

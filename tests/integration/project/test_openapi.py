"""The OpenAPI document: valid, served offline, and honest about who needs a key."""

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema
from rest_framework.test import APIClient

from apps.kernel.ids import new_id

pytestmark = pytest.mark.django_db

#: Signed by the keeper itself (EIP-712), so they need no key.
SIGNED = ("/keeper/", "/api/v1/keepers/register", "/api/v1/keepers/checkin")
METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return SchemaGenerator().get_schema(request=None, public=True)


def operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in schema["paths"].items():
        for method in METHODS:
            if method in item:
                yield method, path, item[method]


def filled(path: str) -> str:
    """The path with an id in each place."""
    return re.sub(r"{[^}]+}", new_id().hex, path)


def test_the_schema_is_valid(schema):
    validate_schema(schema)


def test_every_operation_has_its_own_id_and_says_how_it_fails(schema):
    found = [operation["operationId"] for _, _, operation in operations(schema)]
    assert len(found) == len(set(found))
    for _, path, operation in operations(schema):
        assert "default" in operation["responses"], path


def test_every_mutating_route_says_that_it_needs_a_key(schema):
    for method, path, operation in operations(schema):
        if method == "get" or path.startswith(SIGNED):
            continue
        ways = [name for way in operation.get("security", []) for name in way]
        assert "apiKey" in ways, f"{method} {path}"


def test_every_route_answers_401_without_a_key(schema):
    client = APIClient()
    for method, path, _ in operations(schema):
        if path.startswith(SIGNED):
            continue
        response = getattr(client, method)(filled(path), {} if method != "get" else None)
        assert response.status_code == 401, f"{method} {path}: {response.status_code}"
        assert response.json()["code"] == "unauthenticated"


def test_a_new_version_of_the_same_code_gives_the_same_document(schema):
    assert SchemaGenerator().get_schema(request=None, public=True) == schema


def test_the_document_and_its_page_are_served_without_asking_anybody_outside(client):
    document = client.get("/api/schema")
    assert document.status_code == 200
    assert b"openapi: 3" in document.content
    page = client.get("/api/docs").content.decode()
    assert 'src="http' not in page
    assert 'href="http' not in page
    for asset in re.findall(r'(?:src|href)="(/static/[^"]+)"', page):
        with closing(client.get(asset)) as answer:
            assert answer.status_code == 200, asset


def test_every_operation_says_in_one_line_what_it_does(schema):
    for method, path, operation in operations(schema):
        summary = operation.get("summary", "")
        assert 5 < len(summary) <= 110, f"{method} {path}: {summary}"
        assert "\n" not in summary
        assert not summary.endswith((".", ";", ":"))


def test_every_operation_that_takes_a_body_shows_an_example(schema):
    for method, path, operation in operations(schema):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert content.get("examples"), f"{method} {path}"


def test_answers_are_shown_with_ids_and_amounts_of_the_right_form(schema):
    components = schema["components"]["schemas"]
    for name, prefix in (("JobOut", "job_"), ("ProjectOut", "proj_"), ("KeyOut", "key_")):
        assert components[name]["properties"]["id"]["example"].startswith(prefix)
    assert components["BalancesOut"]["properties"]["prepaid_units"]["example"].isdecimal()


def test_aliases_stand_beside_what_they_are_aliases_of(schema):
    tags = {tag for _, _, operation in operations(schema) for tag in operation["tags"]}
    assert {"api", "keeper"}.isdisjoint(tags)


def test_a_refused_method_of_the_document_is_a_problem_in_json():
    answer = APIClient().post("/api/schema")
    assert answer.status_code == 405
    assert answer["Content-Type"].startswith("application/problem+json")
    assert answer.json()["code"] == "method_not_allowed"


def test_the_page_leads_back_and_follows_the_chosen_colours(client):
    page = client.get("/api/docs").content.decode()
    assert '<a href="/">' in page
    assert "js/docs.js" in page

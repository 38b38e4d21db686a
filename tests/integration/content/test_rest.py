"""/content: bytes in, a CID out, and the same bytes back; every bad request gets its own answer."""

import os
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from rest_framework.test import APIClient

from apps.content.domain.cid import cid_of
from apps.content.errors import ContentStoreFull, ContentUnavailable
from apps.content.selectors import get_store
from tests.factories.accounts import make_key, make_project, make_user

pytestmark = pytest.mark.django_db

URL = "/api/v1/content"
BYTES = "application/octet-stream"


def client_of(*scopes: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {make_key(make_project(), *scopes).secret}")
    return client


@pytest.fixture
def client() -> APIClient:
    return client_of("content:read", "content:write")


def body_of(response) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content


def post(client: APIClient, data: bytes, content_type: str = BYTES):
    return client.generic("POST", URL, data, content_type=content_type)


@pytest.mark.parametrize("size", [0, 1, 262_144, 3_000_001, 8_388_608])
def test_what_was_uploaded_is_read_back(client: APIClient, size: int):
    data = os.urandom(size)
    answer = post(client, data)
    assert answer.status_code == 201, answer.content
    assert answer.json() == {"cid": cid_of(data), "size": size}
    assert answer["Location"] == f"{URL}/{cid_of(data)}"

    found = client.get(answer["Location"])
    assert found.status_code == 200
    assert body_of(found) == data
    assert found["Content-Type"] == BYTES
    assert found["ETag"] == f'"{cid_of(data)}"'
    assert "immutable" in found["Cache-Control"]
    assert found["X-Content-Type-Options"] == "nosniff"
    assert found["Content-Disposition"] == "attachment"


def test_uploading_again_gives_the_same_answer(client: APIClient):
    first, second = post(client, b"twice"), post(client, b"twice")
    assert (first.status_code, first.json()) == (second.status_code, second.json())


@pytest.mark.parametrize(
    "content_type", ["text/csv", "application/json", "application/x-www-form-urlencoded", ""]
)
def test_the_body_is_the_content_whatever_it_calls_itself(client: APIClient, content_type: str):
    answer = post(client, b'{"not": "read"', content_type)
    assert answer.json()["cid"] == cid_of(b'{"not": "read"')


def test_a_multipart_form_is_refused(client: APIClient):
    answer = client.post(URL, {"file": "x"}, format="multipart")
    assert (answer.status_code, answer.json()["code"]) == (415, "media_type_unsupported")


def test_one_byte_more_than_the_limit_is_refused(client: APIClient):
    answer = post(client, bytes(settings.FOREKEEP.content.upload_max_bytes + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "content_too_large")
    assert answer["Content-Type"] == "application/problem+json"


def test_a_content_nobody_put_is_404(client: APIClient):
    answer = client.get(f"{URL}/{cid_of(b'never put')}")
    assert (answer.status_code, answer.json()["code"]) == (404, "content_missing")


def test_text_that_is_no_cid_is_422(client: APIClient):
    answer = client.get(f"{URL}/QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPbdG")
    assert (answer.status_code, answer.json()["code"]) == (422, "cid_invalid")


def test_a_caller_that_has_it_already_is_told_so(client: APIClient):
    cid = post(client, b"known").json()["cid"]
    answer = client.get(f"{URL}/{cid}", headers={"If-None-Match": f'"{cid}"'})
    assert (answer.status_code, answer.content) == (304, b"")


@pytest.mark.parametrize("accept", ["*/*", BYTES, "text/html", "application/json", "image/png"])
def test_bytes_are_served_whatever_is_accepted(client: APIClient, accept: str):
    cid = post(client, b"any").json()["cid"]
    assert body_of(client.get(f"{URL}/{cid}", headers={"Accept": accept})) == b"any"


def test_head_answers_without_the_bytes(client: APIClient):
    cid = post(client, b"long enough").json()["cid"]
    answer = client.head(f"{URL}/{cid}")
    assert (answer.status_code, answer.content) == (200, b"")


def test_a_tampered_block_is_refused_and_not_served(client: APIClient):
    data = os.urandom(64)
    cid = post(client, data).json()["cid"]
    (path,) = Path(settings.FOREKEEP.home).glob(f"content/*/{cid}")
    path.write_bytes(data[::-1])
    answer = client.get(f"{URL}/{cid}")
    assert answer.json()["code"] == "content_tampered"
    assert answer.status_code == 409


@pytest.mark.parametrize(
    ("error", "code"), [(ContentStoreFull, "content_store_full"), (ContentUnavailable, "content_unavailable")]
)
def test_a_store_that_cannot_take_it_is_503(
    client: APIClient, monkeypatch: pytest.MonkeyPatch, error: type, code: str
):
    def refuse(data: bytes) -> str:
        raise error(reason="No space left on device")

    monkeypatch.setattr(get_store(), "put", refuse)
    answer = post(client, b"no room")
    assert (answer.status_code, answer.json()["code"]) == (503, code)
    assert answer["Retry-After"]


def test_without_a_key_nothing_is_read_or_written(client: APIClient):
    cid = post(client, b"kept").json()["cid"]
    assert post(APIClient(), b"x").status_code == 401
    assert APIClient().get(f"{URL}/{cid}").status_code == 401


def test_each_scope_opens_its_own_door():
    reader, writer = client_of("content:read"), client_of("content:write")
    cid = post(writer, b"scoped").json()["cid"]
    assert post(reader, b"scoped").json()["code"] == "scope_missing"
    assert writer.get(f"{URL}/{cid}").json()["code"] == "scope_missing"
    assert body_of(reader.get(f"{URL}/{cid}")) == b"scoped"


def test_a_person_with_a_session_needs_the_token_to_upload():
    owner = make_user()
    make_project(owner=owner)
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner)
    assert browser.generic("POST", URL, b"x", content_type=BYTES).status_code == 403

    token = "t" * 32
    browser.cookies["csrftoken"] = token
    for content_type in (BYTES, "application/x-www-form-urlencoded"):
        answer = browser.generic(
            "POST", URL, b"a=1", content_type=content_type, headers={"X-CSRFToken": token}
        )
        assert (answer.status_code, answer.json()["cid"]) == (201, cid_of(b"a=1"))

"""/webhooks, /deliveries and /alert-targets: the caller's own, secrets once, edits by version."""

import pytest
from rest_framework.test import APIClient

from apps.eventlog.selectors import get_database_now
from apps.notices.data import Answer
from apps.notices.services import deliveries_send
from tests.factories.accounts import make_key, make_operator_key, make_project
from tests.factories.notices import FakeSender, collect, happen

pytestmark = pytest.mark.django_db

BODY = {"url": "https://hooks.example.com/x", "event_types": ["run.*"]}


def client_of(key):
    client = APIClient()
    client.default_format = "json"
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key.secret}")
    return client


def test_a_webhook_is_made_shown_changed_and_taken_out(api_client):
    made = api_client.post("/api/v1/webhooks", BODY)
    assert made.status_code == 201, made.data
    assert made.data["secret"].startswith("whsec_")
    place = made.headers["Location"]

    shown = api_client.get(place)
    assert "secret" not in shown.data
    assert api_client.get("/api/v1/webhooks").data["data"] == [shown.data]
    changed = api_client.patch(place, {"event_types": []}, HTTP_IF_MATCH=shown.headers["ETag"])
    assert changed.data["event_types"] == []
    assert api_client.patch(place, {}, HTTP_IF_MATCH=shown.headers["ETag"]).status_code == 412
    rotated = api_client.post(f"{place}/rotate-secret")
    assert rotated.data["secret"] not in ("", made.data["secret"])
    assert api_client.delete(place).status_code == 204
    assert api_client.get(place).status_code == 404


def test_deliveries_are_listed_shown_with_their_tries_and_replayed(api_client, project):
    place = api_client.post("/api/v1/webhooks", BODY).headers["Location"]
    happen(project, "run.failed", "run.confirmed")
    collect()
    deliveries_send(now=get_database_now(), sender=FakeSender(Answer(status=200, text="hi")))

    found = api_client.get(f"{place}/deliveries?status=delivered&type=run.failed").data["data"]
    assert [row["event_type"] for row in found] == ["run.failed"]
    detail = api_client.get(f"/api/v1/deliveries/{found[0]['id']}").data
    assert detail["tries"][0]["answer"] == "hi"
    again = api_client.post(f"/api/v1/deliveries/{found[0]['id']}/replay")
    assert (again.status_code, again.data["status"]) == (202, "pending")
    many = api_client.post(f"{place}/replay", {"status": "delivered"})
    assert many.data == {"count": 1}
    assert api_client.post(f"{place}/test").data["event_type"] == "webhook.test"


def test_anothers_webhook_does_not_exist_and_a_reader_changes_nothing(api_client, project):
    place = api_client.post("/api/v1/webhooks", BODY).headers["Location"]
    stranger = client_of(make_key(make_project()))
    reader = client_of(make_key(project, "webhooks:read"))
    for client, code in ((stranger, 404), (reader, 403)):
        assert client.post(f"{place}/test").status_code == code
        assert client.delete(place).status_code == code
    assert stranger.get(f"{place}/deliveries").status_code == 404


def test_only_an_operator_is_told_of_what_belongs_to_no_project(api_client):
    body = {**BODY, "event_types": ["keeper.offline"], "is_operator": True}
    assert api_client.post("/api/v1/webhooks", body).status_code == 403
    assert client_of(make_operator_key()).post("/api/v1/webhooks", body).data["project"] is None


def test_an_alert_targets_address_is_never_shown(api_client):
    token = "123456789:AAabcdefghijklmnopqrstuvwxyz123456789"
    made = api_client.post("/api/v1/alert-targets", {"label": "x", "url": f"tgram://{token}/1231"})
    assert made.status_code == 201, made.data
    place = made.headers["Location"]
    shown = api_client.get(place)
    assert shown.data["schema"] == "tgram"
    assert token not in str(made.data) + str(shown.data)
    tried = api_client.post(f"{place}/test")
    assert tried.status_code == 202
    quiet = api_client.patch(place, {"is_active": False}, HTTP_IF_MATCH=shown.headers["ETag"])
    assert quiet.data["is_active"] is False
    assert api_client.delete(place).status_code == 204
    refused = api_client.post("/api/v1/alert-targets", {"label": "x", "url": "json://127.0.0.1"})
    assert (refused.status_code, refused.data["code"]) == (422, "alert_target_invalid")

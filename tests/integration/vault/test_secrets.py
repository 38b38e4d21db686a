"""Secrets through their services, the API and the operator's pages: nothing shows a value."""

import json

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.test import Client
from rest_framework.test import APIClient

from apps.accounts.errors import ProjectUnknown
from apps.eventlog.models import Event
from apps.eventlog.selectors import get_events
from apps.kernel.ids import new_id
from apps.vault.errors import SecretNotFound, SecretUnknown, SecretUnreadable
from apps.vault.models import Secret
from apps.vault.selectors import get_secret_values, get_secrets, require_secrets
from apps.vault.services import secret_delete, secret_put
from tests.factories.accounts import make_key, make_operator_key, make_project, make_staff
from tests.support.logs import captured_lines

pytestmark = pytest.mark.django_db

URL = "/api/v1/secrets"
VALUE = "s3cr3t-of-the-feed"
OTHER = "an0ther-of-the-feed"
NEW_KEY = "new-key-" * 5


def client_of(key):
    client = APIClient()
    client.default_format = "json"
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key.secret}")
    return client


def outcome(response):
    return response.status_code, response.json()["code"]


def test_a_secret_is_put_replaced_and_forgotten_with_events_that_name_it(project):
    secret, is_new = secret_put(project.id, "feed", VALUE)
    again, is_new_again = secret_put(project.id, "feed", OTHER)
    assert (is_new, is_new_again, again.id) == (True, False, secret.id)
    assert get_secret_values(project.id, ["feed", "feed"]) == {"feed": OTHER}
    secret_delete(project.id, "feed")
    with pytest.raises(SecretNotFound):
        secret_delete(project.id, "feed")
    events = get_events(aggregate=("secret", secret.id.hex))
    assert [event.event_type for event in events] == ["secret.created", "secret.replaced", "secret.deleted"]
    assert {event.payload["name"] for event in events} == {"feed"}
    assert {event.project_id for event in events} == {project.id}
    assert Secret.objects.get(pk=secret.id).sealed == ""


def test_a_forgotten_name_can_be_put_again_as_another_secret(project):
    first, _ = secret_put(project.id, "feed", VALUE)
    secret_delete(project.id, "feed")
    second, is_new = secret_put(project.id, "feed", OTHER)
    assert is_new
    assert first.id != second.id
    assert list(get_secrets([project.id])) == [second]


def test_the_database_itself_keeps_a_name_once_and_a_deleted_value_empty(project):
    secret, _ = secret_put(project.id, "feed", VALUE)
    with pytest.raises(IntegrityError), transaction.atomic():
        Secret.objects.filter(pk=secret.pk).update(deleted_at=secret.created_at)
    twin = Secret(
        project=project, name="feed", sealed="x", created_at=secret.created_at, updated_at=secret.created_at
    )
    with pytest.raises(IntegrityError), transaction.atomic():
        twin.save()


def test_a_name_that_is_not_there_is_named(project):
    secret_put(make_project().id, "feed", VALUE)
    secret_put(project.id, "other", VALUE)
    require_secrets(project.id, ["other"])
    for read in (require_secrets, get_secret_values):
        with pytest.raises(SecretUnknown) as caught:
            read(project.id, ["other", "feed"])
        assert caught.value.name == "feed"
    assert get_secret_values(project.id, []) == {}
    with pytest.raises(ProjectUnknown):
        secret_put(new_id(), "feed", VALUE)


def test_a_value_moved_to_another_row_opens_for_nobody(project):
    secret, _ = secret_put(project.id, "feed", VALUE)
    foreign, _ = secret_put(make_project().id, "feed", OTHER)
    Secret.objects.filter(pk=foreign.pk).update(sealed=Secret.objects.get(pk=secret.pk).sealed)
    with pytest.raises(SecretUnreadable):
        get_secret_values(foreign.project_id, ["feed"])


def test_the_deployments_key_is_changed_without_losing_a_secret(project, settings, capsys):
    secret_put(project.id, "feed", VALUE)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW_KEY, [settings.SECRET_KEY]
    call_command("secrets_reseal")
    assert capsys.readouterr().out == "1 secrets sealed anew\n"
    settings.SECRET_KEY_FALLBACKS = []
    assert get_secret_values(project.id, ["feed"]) == {"feed": VALUE}
    settings.SECRET_KEY = "lost-key" * 5
    with pytest.raises(SecretUnreadable):
        get_secret_values(project.id, ["feed"])


@pytest.mark.usefixtures("redis_url")
def test_no_answer_event_log_line_or_column_shows_a_value(api_client, project):
    with captured_lines() as lines:
        answers = [
            api_client.put(f"{URL}/feed", {"value": VALUE}),
            api_client.put(f"{URL}/feed", {"value": OTHER, "project": project.wire_id}),
            api_client.get(URL),
            api_client.put(f"{URL}/9feed", {"value": VALUE}),
            api_client.put(f"{URL}/feed", {"value": [VALUE]}),
            api_client.put(f"{URL}/feed", {"value": VALUE + "\0"}),
            api_client.put(f"{URL}/feed", [VALUE]),
            api_client.put(f"{URL}/feed", {}),
            api_client.put(f"{URL}/feed", {"value": VALUE, "project": 7}),
            api_client.delete(f"{URL}/feed"),
        ]
    assert [each.status_code for each in answers] == [201, 200, 200, 422, 422, 422, 422, 422, 422, 204]
    written = json.dumps([list(Event.objects.values_list("payload", "metadata")), lines()], default=str)
    shown = b"".join(each.content for each in answers).decode() + written
    shown += "".join(Secret.objects.values_list("sealed", flat=True))
    assert VALUE not in shown
    assert OTHER not in shown
    assert Event.objects.filter(aggregate_type="secret").count() == 3


@pytest.mark.usefixtures("redis_url")
def test_secrets_are_listed_by_name_in_pages(api_client, project):
    for name in ("a", "b", "c"):
        api_client.put(f"{URL}/{name}", {"value": VALUE})
    page = api_client.get(URL, {"limit": 2}).json()
    assert [row["name"] for row in page["data"]] == ["c", "b"]
    assert page["data"][0].keys() == {"id", "name", "project", "created_at", "updated_at"}
    assert page["data"][0]["id"].startswith("sec_")
    assert page["data"][0]["project"] == project.wire_id
    rest = api_client.get(URL, {"limit": 2, "cursor": page["next_cursor"]}).json()
    assert [row["name"] for row in rest["data"]] == ["a"]


@pytest.mark.usefixtures("redis_url")
def test_a_foreign_project_is_not_there_and_a_scope_is_needed(api_client, project):
    foreign = make_project()
    secret_put(foreign.id, "feed", VALUE)
    query = f"?project={foreign.wire_id}"
    assert outcome(api_client.put(f"{URL}/feed{query}", {"value": OTHER})) == (404, "project_unknown")
    assert outcome(api_client.delete(f"{URL}/feed{query}")) == (404, "project_unknown")
    assert outcome(api_client.get(f"{URL}{query}")) == (404, "project_unknown")
    assert outcome(api_client.delete(f"{URL}/feed")) == (404, "secret_not_found")
    assert api_client.get(URL).json()["data"] == []
    reader = client_of(make_key(project, "secrets:read"))
    assert reader.get(URL).status_code == 200
    assert outcome(reader.put(f"{URL}/feed", {"value": OTHER})) == (403, "scope_missing")
    assert outcome(client_of(make_key(project, "jobs:write")).get(URL)) == (403, "scope_missing")
    assert get_secret_values(foreign.id, ["feed"]) == {"feed": VALUE}


@pytest.mark.usefixtures("redis_url")
def test_an_operator_names_the_project(project):
    operator = client_of(make_operator_key())
    assert outcome(operator.put(f"{URL}/feed", {"value": VALUE})) == (422, "project_needed")
    assert operator.put(f"{URL}/feed?project={project.wire_id}", {"value": VALUE}).status_code == 201
    assert len(operator.get(URL).json()["data"]) == 1


def test_the_operators_page_shows_names_and_forgets_values(project):
    secret, _ = secret_put(project.id, "feed", VALUE)
    client = Client()
    client.force_login(make_staff())
    pages = [
        client.get("/admin/vault/secret/").content.decode(),
        client.get(f"/admin/vault/secret/{secret.pk}/change/").content.decode(),
    ]
    sealed = Secret.objects.get(pk=secret.pk).sealed
    for page in pages:
        assert "feed" in page
        assert VALUE not in page
        assert sealed not in page
    form = {"action": "forget", "_selected_action": [str(secret.pk)]}
    assert client.post("/admin/vault/secret/", form).status_code == 302
    assert not get_secrets([project.id]).exists()
    assert client.get("/admin/vault/secret/add/").status_code == 403

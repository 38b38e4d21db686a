"""The operator's pages: what they do goes through services, and no secret is on them."""

import pytest
from django.test import Client

from apps.accounts.models import ApiKey, Project
from apps.eventlog.selectors import get_events
from tests.factories.accounts import make_key, make_project, make_staff, make_user

pytestmark = pytest.mark.django_db

#: the members' part of a project's form, empty
ROWS = {f"memberships-{name}_FORMS": 0 for name in ("TOTAL", "INITIAL", "MIN_NUM", "MAX_NUM")}


@pytest.fixture
def staff_client() -> Client:
    client = Client()
    client.force_login(make_staff())
    return client


@pytest.mark.parametrize(
    "page",
    [
        "",
        "accounts/project/",
        "accounts/project/add/",
        "accounts/apikey/",
        "auth/user/",
        "auth/user/add/",
        "auth/group/",
        "django_celery_beat/periodictask/",
        "django_celery_beat/periodictask/add/",
        "django_celery_beat/crontabschedule/",
        "django_celery_beat/intervalschedule/add/",
    ],
)
def test_every_page_opens_and_asks_nobody_outside(staff_client, page):
    make_key(make_project())
    response = staff_client.get(f"/admin/{page}")
    assert response.status_code == 200
    text = response.content.decode()
    assert 'src="http' not in text
    assert 'rel="stylesheet" href="http' not in text


def test_a_person_without_rights_is_sent_to_the_login():
    client = Client()
    client.force_login(make_user())
    assert client.get("/admin/accounts/apikey/").status_code == 302


def test_a_project_opened_in_the_admin_has_its_event_and_member(staff_client):
    owner = make_user()
    form = {"name": "From admin", "slug": "from-admin", "owner": owner.pk}
    response = staff_client.post("/admin/accounts/project/add/", form | ROWS)
    assert response.status_code == 302
    project = Project.objects.get(slug="from-admin")
    (event,) = get_events(aggregate=("project", project.id.hex))
    assert event.event_type == "project.created"
    assert project.memberships.get().user == owner


def test_a_refused_project_is_not_written_around_the_service(staff_client):
    make_project(name="Taken")
    form = {"name": "Bad", "slug": "Not--A_slug", "owner": make_user().pk}
    response = staff_client.post("/admin/accounts/project/add/", form | ROWS, follow=True)
    assert response.status_code == 200
    assert not Project.objects.filter(name="Bad").exists()


def test_what_a_project_says_about_running_ahead_is_edited_through_the_service(staff_client):
    project = make_project()
    page = f"/admin/accounts/project/{project.id}/change/"
    assert "costs the keeper" in staff_client.get(page).content.decode()
    form = {"name": project.name, "speculation": '{"mode": "aggressive"}', "allows_drills": "on"} | ROWS
    assert staff_client.post(page, form).status_code == 302
    stored = Project.objects.get(pk=project.pk)
    assert (stored.speculation, stored.allows_drills) == ({"mode": "aggressive"}, True)
    event = list(get_events(aggregate=("project", project.id.hex)))[-1]
    assert event.payload["set"] == {"speculation": {"mode": "aggressive"}, "allows_drills": True}
    assert staff_client.post(page, form | {"speculation": ""}).status_code == 302
    assert Project.objects.get(pk=project.pk).speculation == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"mode": "custom", "max_depth": 21, "max_branches": 1}', "max_depth: custom takes 1 to 20"),
        ('"off"', "an object is expected"),
        ("{", "Enter a valid JSON"),
    ],
)
def test_a_choice_that_is_not_on_offer_is_refused_by_the_form(staff_client, text, words):
    project = make_project()
    page = f"/admin/accounts/project/{project.id}/change/"
    response = staff_client.post(page, {"name": "Other", "speculation": text} | ROWS)
    assert response.status_code == 200
    assert words in response.content.decode()
    assert Project.objects.get(pk=project.pk).event_sequence == 1


def test_switching_off_and_revoking_are_actions_with_events(staff_client):
    project = make_project()
    issued = make_key(project)
    revoke = {"action": "revoke", "_selected_action": [str(issued.id)]}
    staff_client.post("/admin/accounts/apikey/", revoke, follow=True)
    switch_off = {"action": "switch_off", "_selected_action": [str(project.id)]}
    staff_client.post("/admin/accounts/project/", switch_off, follow=True)
    assert ApiKey.objects.get(pk=issued.id).revoked_at is not None
    assert not Project.objects.get(pk=project.id).is_active
    assert [event.event_type for event in get_events(aggregate=("key", issued.id.hex))] == [
        "key.created",
        "key.revoked",
    ]


def test_a_keys_page_shows_neither_secret_nor_hash_and_cannot_be_edited(staff_client):
    issued = make_key(make_project())
    page = staff_client.get(f"/admin/accounts/apikey/{issued.id}/change/")
    assert page.status_code == 200
    text = page.content.decode()
    assert ApiKey.objects.get(pk=issued.id).sha256 not in text
    assert issued.secret not in text
    assert 'name="scopes"' not in text

"""The operator's pages: what they do goes through services, and no secret is on them."""

import pytest
from django.test import Client

from apps.accounts.models import ApiKey, Project
from apps.eventlog.selectors import get_events
from tests.factories.accounts import make_key, make_project, make_staff, make_user

pytestmark = pytest.mark.django_db


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
    rows = {
        "memberships-TOTAL_FORMS": 0,
        "memberships-INITIAL_FORMS": 0,
        "memberships-MIN_NUM_FORMS": 0,
        "memberships-MAX_NUM_FORMS": 0,
    }
    response = staff_client.post("/admin/accounts/project/add/", form | rows)
    assert response.status_code == 302
    project = Project.objects.get(slug="from-admin")
    (event,) = get_events(aggregate=("project", project.id.hex))
    assert event.event_type == "project.created"
    assert project.memberships.get().user == owner


def test_a_refused_project_is_not_written_around_the_service(staff_client):
    make_project(name="Taken")
    form = {"name": "Bad", "slug": "Not--A_slug", "owner": make_user().pk}
    rows = {f"memberships-{name}_FORMS": 0 for name in ("TOTAL", "INITIAL", "MIN_NUM", "MAX_NUM")}
    response = staff_client.post("/admin/accounts/project/add/", form | rows, follow=True)
    assert response.status_code == 200
    assert not Project.objects.filter(name="Bad").exists()


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

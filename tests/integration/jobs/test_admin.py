"""The operator's pages: looked at, paused and resumed through the services, never edited."""

import pytest
from django.urls import reverse

from apps.eventlog.selectors import get_events
from apps.jobs.selectors import get_job
from apps.jobs.services import job_delete
from tests.factories.accounts import make_staff
from tests.factories.jobs import make_time_job

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client):
    client.force_login(make_staff())
    return client


def act(operator, action, *jobs):
    data = {"action": action, "_selected_action": [str(job.pk) for job in jobs]}
    return operator.post(reverse("admin:jobs_job_changelist"), data, follow=True)


def test_jobs_are_listed_filtered_and_found(operator):
    job = make_time_job(name="findable")
    page = operator.get(reverse("admin:jobs_job_changelist"), {"q": "findable", "status__exact": "active"})
    assert page.status_code == 200
    assert job.name in page.content.decode()


def test_a_job_is_shown_with_its_history_and_cannot_be_edited(operator):
    job = make_time_job()
    url = reverse("admin:jobs_job_change", args=[job.pk])
    page = operator.get(url).content.decode()
    assert "1 events" in page
    assert 'name="_save"' not in page
    assert operator.post(url, {"name": "edited"}).status_code == 403
    assert operator.get(reverse("admin:jobs_job_delete", args=[job.pk])).status_code == 403
    assert operator.get(reverse("admin:jobs_job_add")).headers["Location"] == "/jobs/new"


def test_selected_jobs_are_paused_and_resumed_through_the_services(operator):
    jobs = [make_time_job(), make_time_job()]
    act(operator, "pause", *jobs)
    assert [get_job(job.id).status for job in jobs] == ["paused", "paused"]
    act(operator, "resume", *jobs)
    events = get_events(aggregate=("job", jobs[0].aggregate_id))
    assert [event.event_type for event in events] == ["job.created", "job.paused", "job.resumed"]


def test_what_cannot_be_paused_is_said_and_the_others_are(operator):
    ended, live = make_time_job(name="ended one"), make_time_job()
    job_delete(job_id=ended.id)
    page = act(operator, "pause", ended, live).content.decode()
    assert "ended one: The job has ended" in page
    assert get_job(live.id).status == "paused"

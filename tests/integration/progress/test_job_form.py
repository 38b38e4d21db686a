"""Jobs written in a form: created, changed, refused, previewed."""

import pytest
from django.test import Client

from apps.accounts.data import Role
from apps.accounts.models import Project
from apps.accounts.services import membership_set
from apps.jobs.models import Job
from apps.jobs.services import job_pause
from apps.jobs.terms import get_store
from apps.progress.domain.job_form import DEFAULTS
from tests.factories.accounts import make_project, make_staff, make_user
from tests.factories.jobs import make_job, make_time_job, pipeline_body
from tests.integration.progress.test_pages import Reading, login

pytestmark = pytest.mark.django_db

SCRIPT = "print('{}')\n"


@pytest.fixture
def owner(project: Project) -> Client:
    return login(project.owner)


def typed(project: Project, **fields: str) -> dict[str, str]:
    return {**DEFAULTS, "name": "typed", "project": project.slug, "script_source": SCRIPT, **fields}


def condition(**fields: str) -> dict[str, str]:
    return {
        "trigger_kind": "condition",
        "source_0_name": "eth",
        "source_0_kind": "static",
        "source_0_value": '{"price": "10"}',
        "leaf_0_route": "price",
        "leaf_0_is": "greater_than",
        "leaf_0_value": "5",
        **fields,
    }


def test_a_job_is_created_and_shown(project: Project, owner: Client):
    answer = owner.post("/jobs/new", typed(project, schedule_kind="cron"), follow=True)

    job = Job.objects.get(name="typed")
    assert answer.redirect_chain == [(f"/jobs/{job.wire_id}", 303)]
    assert job.schedule == {"kind": "cron", "expression": "*/5 * * * *", "zone": "UTC"}
    assert f"/jobs/{job.wire_id}/edit" in answer.content.decode()


def test_a_condition_is_created_and_said_in_words(project: Project, owner: Client):
    html = owner.post("/jobs/new", typed(project, **condition()), follow=True).content.decode()

    assert Job.objects.get(name="typed").condition["when"]["value"] == "5"
    assert "when eth price is above 5" in html


@pytest.mark.parametrize("kind", ["", "time-static", "event-dynamic", "condition-static", "custom", "none"])
def test_the_form_opens_for_every_kind_with_nothing_from_elsewhere(kind: str, owner: Client):
    response = owner.get(f"/jobs/new?kind={kind}")
    page = Reading(response.content.decode())

    assert response.status_code == 200
    assert page.inline == []
    assert len(page.ids) == len(set(page.ids))
    assert all("//" not in address for address in (*page.loaded, *page.linked))


def test_what_is_wrong_is_said_at_its_field_and_nothing_typed_is_lost(project: Project, owner: Client):
    given = typed(project, schedule_kind="cron", expression="never <ever>", params='{"kept": 1}')

    response = owner.post("/jobs/new", given)
    html = response.content.decode()

    assert response.status_code == 422
    assert 'id="e-expression"' in html
    assert "cron_invalid" in html
    assert "never &lt;ever&gt;" in html
    assert "&quot;kept&quot;: 1" in html
    assert not Job.objects.exists()


def test_json_that_is_none_is_said_at_its_field(project: Project, owner: Client):
    html = owner.post("/jobs/new", typed(project, params="{")).content.decode()

    assert 'id="e-params"' in html


def test_who_may_only_look_gets_no_form(project: Project):
    viewer = make_user()
    membership_set(project_id=project.id, user=viewer, role=Role.VIEWER)
    job = make_job(project=project)
    client = login(viewer)

    assert client.get("/jobs/new").status_code == 403
    assert client.get(f"/jobs/{job.wire_id}/edit").status_code == 403
    assert client.post("/jobs/new", typed(project)).status_code == 403
    assert client.post("/jobs/preview", typed(project)).status_code == 403
    assert "/jobs/new" not in client.get("/jobs").content.decode()


def test_another_s_project_and_job_do_not_exist(project: Project, owner: Client):
    foreign = make_project()
    job = make_job(project=foreign)

    assert owner.post("/jobs/new", typed(foreign)).status_code == 404
    assert owner.post("/jobs/preview", typed(foreign)).status_code == 404
    assert owner.get(f"/jobs/{job.wire_id}/edit").status_code == 404
    assert owner.get(f"/jobs/new?like={job.wire_id}").status_code == 404


def edit_form(client: Client, job: Job) -> dict[str, str]:
    """What a browser would send of the edit page unchanged."""
    context = client.get(f"/jobs/{job.wire_id}/edit").context
    fields = {name: each["value"] for name, each in context["fields"].items() if each["value"]}
    return {**fields, "project": job.project.slug, "version": context["version"]}


def test_a_job_saved_as_it_is_changes_nothing(project: Project, owner: Client):
    job = make_time_job(project=project, store=get_store())

    assert owner.post(f"/jobs/{job.wire_id}/edit", edit_form(owner, job)).status_code == 303
    job.refresh_from_db()
    assert job.version == 1


def test_a_job_is_changed(project: Project, owner: Client):
    job = make_time_job(project=project, store=get_store(), max_fires=9)
    form = edit_form(owner, job)

    owner.post(f"/jobs/{job.wire_id}/edit", {**form, "name": "renamed", "max_fires": ""})

    job.refresh_from_db()
    assert (job.name, job.max_fires) == ("renamed", None)


def test_a_job_of_several_steps_is_edited_as_json(project: Project, owner: Client):
    job = make_job(project=project, store=get_store(), **pipeline_body())
    form = edit_form(owner, job)

    assert form["use_whole"]
    owner.post(f"/jobs/{job.wire_id}/edit", {**form, "whole": form["whole"].replace(job.name, "renamed")})
    job.refresh_from_db()
    assert job.name == "renamed"
    assert len(job.definition["steps"]) == 3


def test_an_edit_of_what_has_changed_meanwhile_is_told_and_kept(project: Project, owner: Client):
    job = make_time_job(project=project, store=get_store())
    form = {**edit_form(owner, job), "name": "mine"}
    job_pause(job_id=job.id)

    response = owner.post(f"/jobs/{job.wire_id}/edit", form)
    again = {**form, "version": response.context["version"]}

    assert response.status_code == 412
    assert "while you were editing" in response.content.decode()
    assert 'value="mine"' in response.content.decode()
    assert owner.post(f"/jobs/{job.wire_id}/edit", again).status_code == 303


def test_the_preview_says_when_at_what_price_and_how_else(project: Project, owner: Client):
    given = typed(project, schedule_kind="cron", expression="0 9 * * *", zone="Europe/Vienna")

    html = owner.post("/jobs/preview", given).content.decode()

    assert "cron 0 9 * * * (Europe/Vienna)" in html
    assert html.count("09:00:00 CE") == 5
    assert "urllib.request" in html
    assert "curl -X POST" in html
    assert not Job.objects.exists()


def test_the_button_previews_without_a_script(project: Project, owner: Client):
    response = owner.post("/jobs/new", typed(project, do="preview"))

    assert response.status_code == 200
    assert "every 5 min" in response.content.decode()
    assert not Job.objects.exists()


def test_a_copy_begins_as_the_job_it_is_like(project: Project, owner: Client):
    job = make_time_job(project=project, name="first", store=get_store(), seconds=77)

    html = owner.get(f"/jobs/new?like={job.wire_id}").content.decode()

    assert 'value="first copy"' in html
    assert 'value="77"' in html


def test_the_admin_leads_to_the_form():
    job = make_job()
    staff = login(make_staff())

    assert staff.get("/admin/jobs/job/add/").headers["Location"] == "/jobs/new"
    assert f"/jobs/{job.wire_id}/edit" in staff.get("/admin/jobs/job/").content.decode()

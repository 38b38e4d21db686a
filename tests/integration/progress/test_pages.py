"""The pages: who may see what, what they say, and that nothing in them comes from elsewhere."""

from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.test import Client

from apps.accounts.data import Role
from apps.accounts.models import Project
from apps.accounts.services import membership_set, project_update
from apps.jobs.models import Job
from apps.kernel.ids import new_id, to_wire
from apps.kernel.speculation import Choice, Mode
from apps.tasks.models import Run
from tests.factories.accounts import make_project, make_staff, make_user
from tests.factories.jobs import drill_body, make_job, make_time_job, pipeline_body
from tests.factories.ledger import fund_project
from tests.factories.spine import make_keepers, make_run

pytestmark = pytest.mark.django_db


class Reading(HTMLParser):
    """What a page loads, links to and carries inline."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []
        self.inline: list[str] = []
        self.ids: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "script" and "src" not in given and given.get("type") != "application/json":
            self.inline.append(tag)
        if tag == "style":
            self.inline.append(tag)
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        if tag in ("a", "form"):
            self.linked.append(given.get("href") or given.get("action") or "")
        elif "src" in given or (tag == "link" and "href" in given):
            self.loaded.append(given.get("src") or given["href"])


def login(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def owner(project: Project) -> Client:
    return login(project.owner)


def every_page(project: Project) -> Iterator[str]:
    spine = make_run({"load": "confirmed", "clean": "failed"}, project=project)
    job = make_time_job(project=project)
    yield from ("/", "/jobs", "/keepers", "/login", f"/runs/{spine.run}", f"/jobs/{job.wire_id}")
    yield f"/runs/{to_wire('run', new_id())}"


def test_no_page_loads_or_carries_anything_but_our_own_files(project: Project, owner: Client):
    for path in every_page(project):
        client = Client() if path == "/login" else owner
        response = client.get(path, headers={"Accept": "text/html"})
        page = Reading(response.content.decode())

        assert response.headers["Content-Security-Policy"].startswith("default-src 'self';"), path
        assert page.inline == [], path
        assert page.loaded, path
        for address in (*page.loaded, *page.linked):
            assert urlsplit(address).netloc == "", (path, address)
        for address in page.loaded:
            assert finders.find(address.removeprefix(settings.STATIC_URL)), address
        assert len(page.ids) == len(set(page.ids)), path


def test_flower_is_linked_for_staff_only_and_only_where_it_is(
    project: Project, owner: Client, monkeypatch: pytest.MonkeyPatch
):
    staff = login(make_staff())
    assert "Flower" not in staff.get("/").content.decode()

    web = replace(settings.FOREKEEP.web, flower_url="http://127.0.0.1:5555/")
    monkeypatch.setattr(settings, "FOREKEEP", replace(settings.FOREKEEP, web=web))

    assert 'href="http://127.0.0.1:5555/"' in staff.get("/").content.decode()
    assert "Flower" not in owner.get("/").content.decode()


@pytest.mark.parametrize("path", ["/", "/jobs", "/keepers", "/runs/run_" + "0" * 32])
def test_a_page_needs_a_login(path: str):
    response = Client().get(path)

    assert response.status_code == 302
    assert response.headers["Location"].startswith("/login?next=")


def test_the_list_shows_the_member_s_runs_and_nobody_else_s(project: Project, owner: Client):
    own = make_run({}, project=project, steps=("load",))
    foreign = make_run({}, project=make_project(), steps=("load",))

    html = owner.get("/").content.decode()

    assert str(own.run) in html
    assert str(foreign.run) not in html


def test_an_empty_list_says_what_to_do_next(owner: Client):
    html = owner.get("/").content.decode()

    assert "Nothing has run yet" in html
    assert 'href="/jobs"' in html
    assert "/api/v1/jobs" in html


def test_a_person_without_a_project_is_told_so():
    html = login(make_user()).get("/").content.decode()

    assert "You are in no project yet" in html
    assert "runs.js" not in html


def test_the_project_switch_is_remembered(project: Project):
    other = make_project(owner=project.owner)
    here = make_run({}, project=project, steps=("load",))
    there = make_run({}, project=other, steps=("load",))
    client = login(project.owner)

    chosen = client.get(f"/?project={other.slug}").content.decode()
    later = client.get("/").content.decode()
    everything = client.get("/?project=all").content.decode()

    assert str(there.run) in chosen
    assert str(here.run) not in chosen
    assert str(here.run) not in later
    assert str(here.run) in everything
    assert str(there.run) in everything


def test_the_list_is_filtered_and_paged(project: Project, owner: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("apps.progress.pages.runs.PAGE_ROWS", 2)
    keepers = make_keepers()
    made = [make_run({}, project=project, steps=("load",), keepers=keepers).run for _ in range(3)]

    first = owner.get("/").content.decode()
    second = owner.get(f"/?before={made[1]}").content.decode()

    assert f"?before={made[1]}" in first
    assert str(made[0]) not in first
    assert str(made[0]) in second
    assert "No run like that" in owner.get("/?status=failed").content.decode()


def test_the_run_page_is_whole_without_scripts(project: Project, owner: Client):
    spine = make_run({"load": "confirmed", "clean": "failed"}, project=project)

    html = owner.get(f"/runs/{spine.run}").content.decode()

    for text in ("load", "clean", "publish", spine.run.trace_id, "The script ended with an error."):
        assert text in html
    assert "A step this one depends on failed" in html
    assert spine.tasks["load"].performer in html
    assert "<noscript>" in html


def test_what_a_script_printed_stays_text(project: Project, owner: Client):
    spine = make_run({}, project=project, steps=("load",))
    spine.to("load", "failed", detail='</script><script src="https://evil.example/x.js"></script>')

    page = Reading(owner.get(f"/runs/{spine.run}").content.decode())

    assert not [address for address in page.loaded if "evil" in address]


def test_a_foreign_or_malformed_run_is_a_page_that_does_not_exist(owner: Client):
    foreign = make_run({}, project=make_project(), steps=("load",))

    for wire in (str(foreign.run), "run_x", "task_" + "0" * 32):
        response = owner.get(f"/runs/{wire}", headers={"Accept": "text/html"})
        assert response.status_code == 404
        assert "nothing you may see" in response.content.decode()


def test_a_viewer_looks_and_changes_nothing(project: Project):
    spine = make_run({"load": "executing"}, project=project, steps=("load",))
    viewer = make_user()
    membership_set(project_id=project.id, user=viewer, role=Role.VIEWER)
    client = login(viewer)

    html = client.get(f"/runs/{spine.run}").content.decode()

    assert "Cancel run" not in html
    assert "Run again" not in html
    assert client.post(f"/runs/{spine.run}/cancel").status_code == 403
    assert client.post(f"/runs/{spine.run}/again").status_code == 403
    assert client.post(f"/jobs/{spine.job.wire_id}/pause").status_code == 403
    assert client.post(f"/jobs/{spine.job.wire_id}/run-now").status_code == 403
    assert spine.refresh().status == "open"


def test_cancelling_goes_back_to_the_run(project: Project, owner: Client):
    spine = make_run({"load": "executing"}, project=project, steps=("load",))

    response = owner.post(f"/runs/{spine.run}/cancel")

    assert (response.status_code, response.headers["Location"]) == (303, f"/runs/{spine.run}")
    assert spine.refresh().status == "cancelled"


def test_running_again_goes_to_the_new_run(project: Project, owner: Client):
    spine = make_run("confirmed", project=project, steps=("load",))
    Job.objects.filter(pk=spine.job.pk).update(estimated_cost_units=0)

    response = owner.post(f"/runs/{spine.run}/again")

    newest = Run.objects.order_by("-id").first()
    assert newest is not None
    assert newest.pk != spine.run.pk
    assert response.headers["Location"] == f"/runs/{newest}"


def test_a_refused_action_is_a_notice_with_its_trace(project: Project, owner: Client):
    spine = make_run("confirmed", project=project, steps=("load",))

    response = owner.post(f"/runs/{spine.run}/cancel", follow=True)

    html = response.content.decode()
    assert "The run has ended" in html
    assert "run_ended" in html


def test_forms_need_their_token(project: Project):
    spine = make_run({"load": "executing"}, project=project, steps=("load",))
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(project.owner)

    assert strict.post(f"/runs/{spine.run}/cancel").status_code == 403
    assert spine.refresh().status == "open"


def test_the_job_page_shows_the_next_five_fires_in_both_zones(project: Project, owner: Client):
    schedule = {"kind": "cron", "expression": "30 9 * * *", "zone": "Asia/Kolkata"}
    job = make_time_job(project=project, schedule=schedule)

    html = owner.get(f"/jobs/{job.wire_id}").content.decode()

    assert html.count("04:00:00</time>") >= 5
    assert html.count("09:30:00 IST") == 5
    assert f"/api/v1/jobs/{job.wire_id}/run-now" in html
    assert "cron 30 9 * * * (Asia/Kolkata)" in html


def test_jobs_are_paused_and_resumed_from_their_page(project: Project, owner: Client):
    job = make_time_job(project=project)

    owner.post(f"/jobs/{job.wire_id}/pause")
    paused = owner.get(f"/jobs/{job.wire_id}").content.decode()
    owner.post(f"/jobs/{job.wire_id}/resume")
    resumed = owner.get(f"/jobs/{job.wire_id}").content.decode()

    assert "if it is resumed now" in paused
    assert f"/jobs/{job.wire_id}/pause" in resumed


def test_the_job_page_says_how_far_it_runs_ahead_and_what_a_drill_costs(project: Project, owner: Client):
    project_update(project_id=project.id, allows_drills=True, speculation=Choice(mode=Mode.AGGRESSIVE))
    job = make_job(project=project, **drill_body())
    page = owner.get(f"/jobs/{job.wire_id}").content.decode()
    assert "aggressive: 10 deep, 8 wide, as the project says" in page
    assert "1 proof rejected on purpose" in page
    assert "share of the keeper" in page
    custom = make_job(project=project, **pipeline_body(speculation={"enabled": False}))
    page = owner.get(f"/jobs/{custom.wire_id}").content.decode()
    assert "<dd>off</dd>" in page
    assert "&quot;speculation&quot;: {" in page
    assert "rejected on purpose" not in page


def test_a_manual_job_says_how_it_fires(project: Project, owner: Client):
    job = make_job(project=project)

    html = owner.get(f"/jobs/{job.wire_id}").content.decode()

    assert "It fires by hand only" in html
    assert "It has not run yet" in html
    assert owner.get("/jobs").content.decode().count("by hand") == 1


def test_the_leaderboard_is_by_points_and_shows_who_is_online(owner: Client):
    keepers = make_keepers(3)

    html = owner.get("/keepers").content.decode()

    places = [html.index(keeper.address) for keeper in keepers]
    assert places == sorted(places)
    assert "2 of 3 online" in html
    assert "1 h 6 min ago" in html


def test_the_jobs_pages_show_the_balance_and_why_a_job_ran_nothing(project: Project, owner: Client):
    job = make_time_job(project=project)
    assert "no job can run" in owner.get("/jobs").content.decode()

    fund_project(project.id, 1_234)
    refusal = {
        "reason": "insufficient_funds",
        "needed_units": "390001",
        "available_units": "1234",
        "at": "2026-11-26T15:22:16.25Z",
    }
    Job.objects.filter(pk=job.pk).update(last_refusal=refusal)
    assert "1\u202f234 units" in owner.get("/jobs").content.decode()
    page = owner.get(f"/jobs/{job.wire_id}").content.decode()
    assert "1\u202f234 units" in page
    assert "it needed 390\u202f001 units and the project had 1\u202f234" in page
    assert "(insufficient_funds)" in page


def test_a_run_that_cannot_be_paid_says_what_it_needs_and_what_there_is(project: Project, owner: Client):
    job = make_job(project=project)
    Job.objects.filter(pk=job.pk).update(estimated_cost_units=390_001)
    page = owner.post(f"/jobs/{job.wire_id}/run-now", follow=True).content.decode()
    assert "balance 0; needed 390001. (insufficient_funds" in page

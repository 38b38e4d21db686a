"""Logging in, and the operator's pages, in a real browser."""

import pytest
from playwright.sync_api import Browser, expect

from apps.eventlog.models import Event
from apps.tasks.models import Task
from tests.browser.conftest import Server, Visit, watch
from tests.factories.accounts import make_staff
from tests.factories.jobs import make_time_job
from tests.factories.spine import make_keepers, make_run

pytestmark = pytest.mark.browser

#: what sticks out on the right, for the message of a failure
WIDEST = """() => [...document.querySelectorAll('body *')]
    .filter((one) => one.getBoundingClientRect().right > innerWidth + 1).slice(0, 12)
    .map((one) => `${one.tagName}.${one.className} `
        + `${Math.round(one.getBoundingClientRect().right)}`).join('\\n')"""


def test_a_person_logs_in_lands_where_they_wanted_and_logs_out(browser: Browser, server: Server):
    make_staff(username="ada", password="correct horse battery")
    context = browser.new_context()
    visit = watch(context.new_page(), server.url)
    page = visit.go("/keepers")

    page.get_by_label("User name").fill("ada")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("User name").fill("ada")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Keepers")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()

    assert visit.errors == []
    assert visit.foreign == []
    context.close()


def test_a_job_is_paused_resumed_and_its_command_copied(visit: Visit):
    job = make_time_job(name="every minute")
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = visit.go(f"/jobs/{job.wire_id}")

    page.get_by_role("button", name="Pause").click()
    expect(page.locator("h1 + .badge")).to_have_text("paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("h1 + .badge")).to_have_text("active")
    page.locator("[data-copy-from=curl-run]").click()
    expect(page.locator("[data-copy-from=curl-run]")).to_have_text("copied")
    assert f"/jobs/{job.wire_id}/run-now" in page.evaluate("navigator.clipboard.readText()")


def test_the_other_pages_open_without_a_fault(visit: Visit):
    make_run({"load": "executing"}, keepers=make_keepers())

    for path, heading in (("/", "Runs"), ("/jobs", "Jobs"), ("/keepers", "Keepers")):
        page = visit.go(path)
        expect(page.get_by_role("heading", level=1, name=heading)).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(6)


def test_the_admin_opens_on_the_queue(visit: Visit):
    make_run({"load": "executing"}, steps=("load", "publish"))

    page = visit.go("/admin/")

    expect(page.locator("table", has_text="The queue")).to_contain_text("executing")


def test_the_api_page_works_without_the_internet(visit: Visit):
    page = visit.go("/api/docs")

    expect(page.get_by_text("/api/v1/runs/{run_id}/stream")).to_be_visible()


@pytest.mark.parametrize("width", [400, 1400])
def test_no_page_of_the_admin_is_wider_than_its_window(width: int, visit: Visit):
    spine = make_run({"load": "confirmed"}, steps=("load",))
    visit.page.set_viewport_size({"width": width, "height": 900})
    Task.objects.update(result={"call_data": "0x" + "ab" * 700}, error_detail="x" * 300)
    task = Task.objects.get()
    event = Event.objects.filter(event_type="run.opened").first() or Event.objects.first()
    paths = (
        "",
        f"tasks/task/{task.pk}/change/",
        f"tasks/run/{task.run_id}/change/",
        f"jobs/job/{spine.job.pk}/change/",
        f"keepers/keeper/{task.performer}/change/",
        f"eventlog/event/{event.pk}/change/",
    )

    for path in paths:
        page = visit.go(f"/admin/{path}")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{path}: {wide} {page.evaluate(WIDEST)}"


def test_the_api_page_is_dark_where_the_others_are_and_leads_back(visit: Visit):
    visit.page.emulate_media(color_scheme="dark")
    page = visit.go("/api/docs")
    expect(page.get_by_text("Show one job with its steps", exact=True)).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(28, 32, 34)"
    page.get_by_role("link", name="Jobs", exact=True).click()
    expect(page.get_by_role("heading", level=1, name="Jobs")).to_be_visible()

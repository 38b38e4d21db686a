"""A job written in a real browser, with the preview that follows what is typed."""

import pytest
from playwright.sync_api import expect

from apps.jobs.models import Job
from tests.browser.conftest import Visit
from tests.factories.accounts import make_project

pytestmark = pytest.mark.browser


def test_the_next_fires_follow_the_cron_expression_and_the_job_is_created(visit: Visit):
    make_project()
    page = visit.go("/jobs/new")
    fires = page.locator("#preview .fires li")

    page.get_by_label("Name", exact=True).first.fill("nightly")
    page.get_by_label("Schedule", exact=True).select_option("cron")
    page.get_by_label("Cron expression").fill("0 9 * * *")
    expect(fires.first).to_contain_text("09:00:00")
    page.get_by_label("Cron expression").fill("30 17 * * *")
    expect(fires.first).to_contain_text("17:30:00")
    expect(fires).to_have_count(5)
    page.get_by_role("button", name="Create").click()

    expect(page.get_by_role("heading", level=1, name="nightly")).to_be_visible()
    assert Job.objects.get().schedule["expression"] == "30 17 * * *"


def test_a_condition_is_written_in_rows_and_created(visit: Visit):
    make_project()
    page = visit.go("/jobs/new")

    page.get_by_label("Name", exact=True).first.fill("above five")
    page.get_by_label("Fires by").select_option("condition")
    page.locator("#f-source_0_name").fill("eth")
    page.locator("#f-source_0_kind").select_option("static")
    page.locator("#f-source_0_value").fill('{"price": "10"}')
    page.locator("#f-leaf_0_route").fill("price")
    page.locator("#f-leaf_0_value").fill("5")
    expect(page.locator("#preview [data-trigger]")).to_have_text("when eth price is above 5")
    page.get_by_role("button", name="Create").click()

    expect(page.get_by_role("heading", level=1, name="above five")).to_be_visible()
    assert Job.objects.get().condition["when"]["value"] == "5"

"""Running ahead in a real browser: what is hatched, why, what was undone, and trying it again."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.factories.jobs import SCRIPT
from tests.factories.running_ahead import Story, make_story

pytestmark = pytest.mark.browser

DIAMOND = [
    {"key": "load", "script_source": SCRIPT, "parents": []},
    {"key": "prices", "script_source": SCRIPT, "parents": ["load"]},
    {"key": "weather", "script_source": SCRIPT, "parents": ["load"]},
    {"key": "join", "script_source": SCRIPT, "parents": ["prices", "weather"]},
]


def make_diamond() -> Story:
    """`load` is proved; the others run ahead of it."""
    story = make_story(DIAMOND, name="diamond")
    story.put("load", "proved")
    story.put("prices", "waiting_ancestors")
    story.put("weather", "executing")
    story.put("join", "scheduled")
    return story


def choose(visit: Visit, step: str) -> None:
    visit.page.get_by_role("button", name=step, exact=True).click()
    expect(visit.page.locator("#panel h2")).to_have_text(step)


def test_what_runs_ahead_is_hatched_and_says_so_in_words(visit: Visit):
    story = make_diamond()

    page = visit.go(f"/runs/{story.run}")

    expect(page.locator("#gantt .ahead")).to_have_count(3)
    expect(page.locator("#gantt pattern#ahead")).to_have_count(1)
    expect(page.locator(f"#row-{story.tasks['join']}")).to_contain_text("runs ahead, depth 2")
    expect(page.locator(f"#row-{story.tasks['load']}")).not_to_contain_text("runs ahead")
    expect(page.locator("#hits")).to_have_text("3 under way")
    expect(page.locator(".dag + .legend")).to_contain_text("hatched: runs ahead, not confirmed")


def test_the_panel_says_why_with_ten_checks_and_what_would_flip_each(visit: Visit):
    story = make_diamond()
    visit.go(f"/runs/{story.run}")

    choose(visit, "join")

    checks = visit.page.locator("#panel .checks li")
    expect(checks).to_have_count(10)
    expect(checks.nth(4)).to_contain_text("Is the unconfirmed path above it short enough? depth 2")
    expect(checks.nth(4)).to_contain_text("Allowed: at most 5. Would stop it:")
    expect(visit.page.locator("#panel")).to_contain_text("4\u202f000\u202f000 units, open")
    expect(visit.page.locator("#panel")).to_contain_text("load, prices, weather")


def test_a_refused_step_shows_the_check_that_is_not_met(visit: Visit):
    story = make_diamond()
    later = make_story(("first", "second"), name="later")
    later.put("first", "executing")
    later.put("second", "waiting")
    later.ask("second", max_depth=0)
    visit.go(f"/runs/{later.run}")

    choose(visit, "second")

    unmet = visit.page.locator("#panel .checks .is-unmet")
    expect(unmet).to_have_count(1)
    expect(unmet).to_contain_text("Would let it go on: 1 more of the path's ancestors are confirmed.")
    assert story.run.pk != later.run.pk


def test_a_finished_proof_says_what_it_waits_for_until_that_is_confirmed(visit: Visit):
    story = make_diamond()
    page = visit.go(f"/runs/{story.run}")
    expect(page.locator("#live")).to_have_text("Live")
    choose(visit, "prices")

    expect(page.locator("#panel .deferred")).to_have_text("Deferred: it is submitted once load is confirmed.")
    story.put("load", "confirmed")
    story.put("prices", "submitted")

    expect(page.locator("#panel .deferred")).to_have_count(0)
    expect(page.locator("#panel")).to_contain_text("On the chain")


def test_a_cascade_arrives_without_a_reload_and_leads_to_its_page(visit: Visit):
    story = make_diamond()
    page = visit.go(f"/runs/{story.run}")
    expect(page.locator("#live")).to_have_text("Live")
    choose(visit, "prices")

    rollback = story.fail("load", detail="pairing check failed")

    expect(page.locator(f"#row-{story.tasks['join']} .badge")).to_have_text("waiting")
    expect(page.locator("#slashed")).to_have_text("100\u202f000")
    expect(page.locator("#at-risk")).to_have_text("0")
    expect(page.locator("#panel .tries li")).to_have_count(1)
    expect(page.locator("#panel .tries")).to_contain_text("taken along by load")
    expect(page.locator("#gantt .past")).to_have_count(4)
    page.locator("#panel .tries").get_by_role("link", name="see the rollback").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("load failed")
    assert page.url.endswith(f"/rollbacks/{rollback}")


def test_a_step_that_failed_for_good_is_red_and_its_letter_is_replayed_after_asking(visit: Visit):
    story = make_diamond()
    story.fail("load", is_last=True)
    page = visit.go(f"/runs/{story.run}")
    choose(visit, "join")
    expect(page.locator("#panel")).to_contain_text("What took it along")
    expect(page.locator(f"#row-{story.tasks['prices']} .badge")).to_have_text("rolled back")

    visit.go("/dead-letters")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Replay").click()
    assert story.statuses()["load"] == "failed"
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Replay").click()

    expect(page.locator(".notice.success")).to_have_text("load is tried again.")
    expect(page.locator(f"#row-{story.tasks['load']} .badge")).to_have_text("waiting")


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_of_failures_is_wider_than_its_window(width: int, scheme: str, visit: Visit):
    story = make_diamond()
    rollback = story.fail("load", detail="x" * 300, is_last=True)
    visit.page.set_viewport_size({"width": width, "height": 900})
    visit.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")

    for path in (f"/runs/{story.run}", "/rollbacks", f"/rollbacks/{rollback}", "/dead-letters"):
        page = visit.go(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path

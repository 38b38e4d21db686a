"""The run page in a real browser: what it draws, that it moves, that it can be used without a mouse."""

import re

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, expect

from apps.execution.models import Assignment
from apps.jobs.models import Job
from apps.tasks.models import Run
from tests.browser.conftest import Server, Visit, log_in, watch
from tests.factories.accounts import make_staff
from tests.factories.jobs import SCRIPT
from tests.factories.spine import Spine, make_run
from tests.support.waiting import wait_until

pytestmark = pytest.mark.browser

DIAMOND = [
    {"key": "load", "script_source": SCRIPT, "parents": []},
    {"key": "prices", "script_source": SCRIPT, "parents": ["load"]},
    {"key": "weather", "script_source": SCRIPT, "parents": ["load"]},
    {"key": "join", "script_source": SCRIPT, "parents": ["prices", "weather"]},
]


def make_diamond() -> Spine:
    return make_run({"load": "confirmed", "prices": "executing"}, name="diamond", steps=DIAMOND)


def path_of(spine: Spine) -> str:
    return f"/runs/{spine.run}"


def inked_pixels(visit: Visit) -> int:
    """How many pixels of the graph are not background."""
    script = """() => [...document.querySelectorAll('#dag canvas')].reduce((sum, canvas) => {
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        let inked = 0;
        for (let at = 3; at < data.length; at += 4) inked += data[at] > 0 ? 1 : 0;
        return sum + inked;
    }, 0)"""
    return int(visit.page.evaluate(script))


def test_the_graph_the_time_line_the_panel_and_the_table_show_the_same_run(visit: Visit):
    spine = make_diamond()

    page = visit.go(path_of(spine))

    assert wait_until(lambda: inked_pixels(visit) > 10_000, timeout_seconds=20)
    expect(page.locator("#gantt .row")).to_have_count(4)
    assert page.locator("#gantt .seg.is-submitted").count() == 1
    expect(page.locator("#panel h2")).to_have_text("prices")
    expect(page.locator("#panel")).to_contain_text(spine.tasks["prices"].performer[:8])
    expect(page.locator(f"#row-{spine.tasks['load']} .badge")).to_have_text("confirmed")
    expect(page.locator("#confirmed")).to_have_text("1 of 4")
    expect(page.locator("#live")).to_have_text("Live")


def test_a_change_arrives_without_a_reload_with_its_details(visit: Visit):
    spine = make_diamond()
    page = visit.go(path_of(spine))
    expect(page.locator("#live")).to_have_text("Live")
    row = page.locator(f"#row-{spine.tasks['prices']}")
    expect(row.locator(".badge")).to_have_text("executing")

    spine.to("prices", "confirmed")

    expect(row.locator(".badge")).to_have_text("confirmed")
    expect(page.locator("#confirmed")).to_have_text("2 of 4")
    expect(page.locator("#announcer")).to_contain_text("prices is confirmed")
    expect(page.locator("#panel")).to_contain_text("3 for, 0 against")
    expect(page.locator("#panel")).to_contain_text("On the chain")


def test_the_page_says_so_when_the_run_is_over(visit: Visit):
    spine = make_run({"load": "submitted"}, steps=("load",))
    page = visit.go(path_of(spine))
    expect(page.locator("#live")).to_have_text("Live")
    expect(page.get_by_role("button", name="Cancel run")).to_be_visible()

    spine.to("load", "confirmed")

    expect(page.locator("#run-status")).to_have_text("confirmed")
    expect(page.locator("#live")).to_have_text("Finished")
    expect(page.get_by_role("button", name="Cancel run")).to_be_hidden()


def test_a_failure_is_explained_in_words(visit: Visit):
    spine = make_run({}, steps=("load", "publish"))
    page = visit.go(path_of(spine))
    expect(page.locator("#live")).to_have_text("Live")

    spine.to("load", "failed", code="script_timeout", detail="30 s")

    expect(page.locator("#panel .error")).to_contain_text("ran past its deadline")
    expect(page.locator("#panel .error pre")).to_have_text("30 s")
    expect(page.locator(f"#row-{spine.tasks['publish']} .badge")).to_have_text("cancelled")


def test_a_stream_that_breaks_off_is_taken_up_again_without_a_gap(visit: Visit, server: Server):
    spine = make_diamond()
    page = visit.go(path_of(spine))
    expect(page.locator("#live")).to_have_text("Live")

    server.stop()
    expect(page.locator("#live")).to_have_text("Reconnecting…")
    spine.to("prices", "executed")
    again = Server(server.port)
    again.start()

    try:
        expect(page.locator("#live")).to_have_text("Live")
        expect(page.locator(f"#row-{spine.tasks['prices']} .badge")).to_have_text("executed")
        page.goto("about:blank")
    finally:
        again.stop()
    visit.errors.clear()


def test_steps_are_chosen_with_the_keyboard_and_from_the_time_line(visit: Visit):
    spine = make_diamond()
    page = visit.go(path_of(spine))

    page.get_by_role("button", name="join", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#panel h2")).to_have_text("join")
    expect(page.locator("#panel")).to_contain_text("Waits for")
    assert page.url.endswith("#join")

    page.locator("#gantt .row").first.click()
    expect(page.locator("#panel h2")).to_have_text("load")


def test_dark_mode_follows_the_system_and_the_button_overrides_it(visit: Visit):
    spine = make_diamond()
    page = visit.go(path_of(spine))

    def background() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light = background()
    page.emulate_media(color_scheme="dark")
    dark = background()
    assert light != dark

    button = page.get_by_role("button", name="Theme")
    button.click()
    expect(button).to_contain_text("light")
    assert background() == light
    button.click()
    expect(button).to_contain_text("dark")
    page.emulate_media(color_scheme="light")
    page.reload()
    assert background() == dark


def test_cancelling_asks_first(visit: Visit):
    spine = make_diamond()
    page = visit.go(path_of(spine))

    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="Cancel run").click()
    assert spine.refresh().status == "open"

    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel run").click()
    expect(page.locator(".notice.success")).to_have_text(re.compile("being cancelled"))
    assert spine.refresh().status == "cancelled"


def test_a_finished_run_page_is_read_again_until_its_leases_are_over(visit: Visit):
    spine = make_diamond()
    page = visit.go(path_of(spine))
    expect(page.locator("#live")).to_have_text("Live")
    expect(page.locator("#panel")).to_contain_text("acknowledged")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Cancel run").click()

    expect(page.locator("#live")).to_have_text("Finished")
    expect(page.locator(".notice.success")).to_be_hidden()
    Assignment.objects.filter(status="acknowledged").update(status="revoked", ended_at=timezone.now())

    expect(page.locator("#panel")).to_contain_text("revoked")


@pytest.mark.parametrize("width", [400, 1280])
def test_independent_steps_are_drawn_large_enough_to_read(width: int, visit: Visit):
    steps = [{"key": f"market-{n}", "script_source": SCRIPT, "parents": []} for n in range(5)]
    spine = make_run({}, name="prices", steps=steps)
    visit.page.set_viewport_size({"width": width, "height": 900})

    page = visit.go(path_of(spine))

    expect(page.locator("#dag")).to_have_attribute("data-zoom", re.compile(r"^(0\.[67]|0\.[89]|1)"))


def test_running_again_opens_the_new_run(visit: Visit):
    spine = make_run("confirmed", steps=("load",))
    Job.objects.filter(pk=spine.job.pk).update(estimated_cost_units=0)
    page = visit.go(path_of(spine))

    page.get_by_role("button", name="Run again").click()

    expect(page.locator("#run-status")).to_have_text("open")
    assert page.url != visit.url + path_of(spine)
    assert Run.objects.count() == 2


def test_the_list_of_runs_moves_by_itself(visit: Visit):
    spine = make_run({}, steps=("load",))
    page = visit.go("/")
    expect(page.locator("#live")).to_have_text("Live")

    spine.to("load", "confirmed")

    expect(page.locator("#list tbody tr .badge").first).to_have_text("confirmed")


@pytest.mark.parametrize("width", [400, 1280])
def test_no_page_is_wider_than_its_window(width: int, visit: Visit):
    spine = make_diamond()
    visit.page.set_viewport_size({"width": width, "height": 900})

    for path in ("/", path_of(spine), "/jobs", f"/jobs/{spine.job.wire_id}", "/keepers"):
        page = visit.go(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_the_page_is_readable_without_scripts(browser: Browser, server: Server):
    spine = make_diamond()
    context = browser.new_context(java_script_enabled=False)
    log_in(context, server.url, make_staff())
    page = watch(context.new_page(), server.url).go(path_of(spine))

    expect(page.locator("noscript p, .notice").first).to_contain_text("Without JavaScript")
    expect(page.locator("#steps tbody tr")).to_have_count(4)
    expect(page.locator("#dag")).to_be_hidden()
    context.close()

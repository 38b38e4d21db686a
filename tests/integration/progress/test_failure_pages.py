"""The pages of rollbacks and dead letters, and what the run page says of running ahead."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.accounts.data import Role
from apps.accounts.models import Project
from apps.accounts.services import membership_set
from apps.kernel.ids import new_id, to_wire
from apps.progress.undone import find_ways
from apps.tasks.data import FailureReason
from apps.tasks.models import Run
from tests.factories.accounts import make_project, make_user
from tests.factories.jobs import SCRIPT
from tests.factories.running_ahead import Story, make_story
from tests.integration.progress.test_pages import Reading

pytestmark = pytest.mark.django_db

DIAMOND = [
    {"key": "load", "script_source": SCRIPT, "parents": []},
    {"key": "prices", "script_source": SCRIPT, "parents": ["load"]},
    {"key": "weather", "script_source": SCRIPT, "parents": ["load"]},
    {"key": "join", "script_source": SCRIPT, "parents": ["prices", "weather"]},
]


def login(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def owner(project: Project) -> Client:
    return login(project.owner)


def make_failed(project: Project, **failure: Any) -> Story:
    """A diamond that ran ahead of `load`, whose last try failed."""
    story = make_story(DIAMOND, project=project, name="market report")
    story.put("load", "proved")
    story.put("prices", "attested")
    story.put("weather", "executing")
    story.put("join", "scheduled")
    story.fail("load", detail="pairing check failed", **{"is_last": True, **failure})
    return story


def page_of(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, path
    return response.content.decode()


def test_no_page_of_failures_loads_or_carries_anything_but_our_own_files(project: Project, owner: Client):
    story = make_failed(project)

    for path in (
        f"/runs/{story.run}",
        "/rollbacks",
        f"/rollbacks/{story.letter('load').rollback}",
        "/dead-letters",
        "/dead-letters?show=all",
    ):
        response = owner.get(path)
        page = Reading(response.content.decode())
        assert response.headers["Content-Security-Policy"].startswith("default-src 'self';"), path
        assert page.inline == [], path
        assert {urlsplit(address).netloc for address in (*page.loaded, *page.linked)} == {""}, path
        assert len(page.ids) == len(set(page.ids)), path


@pytest.mark.parametrize("path", ["/rollbacks", "/rollbacks/rbk_" + "0" * 32, "/dead-letters"])
def test_a_page_of_failures_needs_a_login(path: str):
    response = Client().get(path)

    assert response.status_code == 302
    assert response.headers["Location"].startswith("/login?next=")


def test_a_rollback_is_told_from_its_root_to_each_victim_and_what_follows(project: Project, owner: Client):
    story = make_failed(project)

    html = page_of(owner, f"/rollbacks/{story.letter('load').rollback}")

    assert "load failed" in html
    assert "Its proof was refused where it is verified." in html
    assert "pairing check failed" in html
    assert "load → prices → join" in html
    assert html.index("the root") < html.index("load → prices<") < html.index("load → prices → join")
    assert "1\u202f000\u202f000" in html, "the root's bond"
    assert "−100\u202f000" in html, "the slash"
    assert html.count("50\u202f000") == 2, "half to the treasury, half to the one victim with compute"
    assert "Nothing: a person may replay its dead letter." in html


def test_the_list_shows_the_member_s_rollbacks_and_nobody_else_s(project: Project, owner: Client):
    own, foreign = make_failed(project), make_failed(make_project())

    html = page_of(owner, "/rollbacks")

    assert str(own.letter("load").rollback) in html
    assert str(foreign.letter("load").rollback) not in html
    assert owner.get(f"/rollbacks/{foreign.letter('load').rollback}").status_code == 404
    assert owner.get("/rollbacks/rbk_x").status_code == 404
    assert owner.get(f"/rollbacks/{to_wire('rbk', new_id())}").status_code == 404


def test_rollbacks_are_filtered_by_reason_and_paged(
    project: Project, owner: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("apps.progress.pages.failures.PAGE_ROWS", 1)
    first = make_failed(project).letter("load").rollback
    second = make_failed(project, reason=FailureReason.EXECUTION_FAILED).letter("load").rollback

    newest = page_of(owner, "/rollbacks")

    assert str(second) in newest
    assert str(first) not in newest
    assert f"?before={second}" in newest
    assert str(first) in page_of(owner, f"/rollbacks?before={second}")
    assert str(first) in page_of(owner, "/rollbacks?reason=proof_rejected")
    assert "No rollback like that" in page_of(owner, "/rollbacks?reason=timeout")


def test_empty_lists_say_what_they_are_for(owner: Client):
    assert "Nothing was rolled back" in page_of(owner, "/rollbacks")
    assert "No dead letter waits" in page_of(owner, "/dead-letters")


def test_a_signal_about_something_that_was_over_is_not_listed(project: Project, owner: Client):
    story = make_story(("load", "clean"), project=project)
    story.put("load", "executing")
    story.put("clean", "executing")
    story.signal("clean", FailureReason.EXECUTION_FAILED)
    story.fail("load", is_last=True)

    html = page_of(owner, "/rollbacks")

    assert html.count('href="/rollbacks/rbk_') == 1


def test_a_replay_opens_the_step_and_all_it_took_along_and_goes_to_the_run(project: Project, owner: Client):
    story = make_failed(project)
    letter = story.letter("load")
    assert "Replay</button>" in page_of(owner, "/dead-letters")

    response = owner.post(f"/dead-letters/{letter}/replay", follow=True)

    assert response.redirect_chain == [(f"/runs/{story.run}", 303)]
    assert "load is tried again." in response.content.decode()
    assert set(story.statuses().values()) == {"waiting"}
    assert "No dead letter waits" in page_of(owner, "/dead-letters")
    assert "replayed" in page_of(owner, "/dead-letters?show=all")


def test_a_refused_replay_is_a_notice(project: Project, owner: Client):
    story = make_failed(project)
    letter = story.letter("load")
    Run.objects.filter(pk=story.run.pk).update(cancel_requested_at=story.now)

    response = owner.post(f"/dead-letters/{letter}/replay", follow=True)

    assert response.redirect_chain == [("/dead-letters", 303)]
    assert "retry_not_allowed" in response.content.decode()
    assert story.statuses()["load"] == "failed"


def test_only_who_may_write_runs_replays(project: Project):
    story = make_failed(project)
    viewer = make_user()
    membership_set(project_id=project.id, user=viewer, role=Role.VIEWER)
    client = login(viewer)
    letter = story.letter("load")

    assert "Replay</button>" not in page_of(client, "/dead-letters")
    assert client.post(f"/dead-letters/{letter}/replay").status_code == 403
    assert login(make_user()).post(f"/dead-letters/{letter}/replay").status_code == 404
    assert client.get(f"/dead-letters/{letter}/replay").status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(project.owner)
    assert strict.post(f"/dead-letters/{letter}/replay").status_code == 403
    assert story.statuses()["load"] == "failed"


def test_what_was_tried_again_by_itself_does_not_wait(project: Project, owner: Client):
    make_failed(project, is_last=False)

    assert "No dead letter waits" in page_of(owner, "/dead-letters")
    assert "Replay</button>" not in page_of(owner, "/dead-letters?show=all")


def test_the_run_page_says_without_scripts_who_runs_ahead_what_it_was_worth_and_what_was_undone(
    project: Project, owner: Client
):
    story = make_story(DIAMOND, project=project)
    story.put("load", "confirmed")
    story.put("prices", "proved")
    story.put("join", "waiting")
    story.put("weather", "attested")
    story.fail("weather")
    story.put("weather", "executing")
    story.put("join", "executing")

    html = page_of(owner, f"/runs/{story.run}")

    assert "runs ahead, depth 1" in html
    assert 'id="hits">1 under way' in html
    assert 'id="at-risk">4\u202f000\u202f000<' in html
    assert 'id="slashed">100\u202f000<' in html
    assert 'id="saved">nothing so far' in html
    assert f"/rollbacks/{story.run.rollbacks.get()}" in html


def test_a_rollback_s_page_takes_as_many_queries_for_many_victims_as_for_few(project: Project, owner: Client):
    small = make_failed(project).letter("load").rollback
    wide = [{"key": "load", "script_source": SCRIPT, "parents": []}]
    wide += [{"key": f"step{n}", "script_source": SCRIPT, "parents": ["load"]} for n in range(6)]
    story = make_story(wide, project=project)
    story.put("load", "attested")
    for n in range(6):
        story.put(f"step{n}", "scheduled")
    large = story.fail("load", is_last=True)

    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            page_of(owner, path)
        return len(captured)

    queries("/rollbacks")
    assert queries(f"/rollbacks/{small}") == queries(f"/rollbacks/{large}")
    assert queries("/rollbacks") <= 7
    assert queries("/dead-letters") <= 7


def test_the_way_to_a_victim_is_the_longest_one_from_the_root():
    root, left, right, below, apart = (new_id() for _ in range(5))
    edges = [(root, left), (root, right), (left, right), (right, below)]

    ways = find_ways([root, left, right, below, apart], edges)

    assert ways[below] == (root, left, right, below)
    assert ways[root] == (root,)
    assert apart not in ways

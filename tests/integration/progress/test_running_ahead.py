"""What the API says of running ahead: decisions, attempts, bonds, proofs, rollbacks and what it was worth."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from apps.accounts.models import Project
from apps.speculation.domain.case import Check
from apps.tasks.data import FailureReason
from tests.factories.accounts import make_project
from tests.factories.running_ahead import Story, make_story
from tests.factories.spine import make_keepers, make_run
from tests.support.pictures import find_differences

pytestmark = pytest.mark.django_db


def detail(client: APIClient, story: Any) -> Any:
    response = client.get(f"/api/v1/runs/{story.run}")
    assert response.status_code == 200, response.content
    return response.json()


def step_of(run: Any, step: str) -> Any:
    return next(task for task in run["tasks"] if task["step_key"] == step)


def decision_of(client: APIClient, story: Story, step: str) -> Any:
    return client.get(f"/api/v1/tasks/{story.tasks[step]}/decision")


def make_chain(project: Project) -> Story:
    """`load` is attested, `clean` runs ahead of it and waits with its proof, `publish` runs ahead of both."""
    story = make_story(project=project)
    story.put("load", "proved")
    story.put("clean", "waiting_ancestors")
    story.put("publish", "executing")
    return story


def test_a_task_that_runs_ahead_says_so_with_its_depth_its_bond_and_what_it_stands_on(
    api_client: APIClient, project: Project
):
    story = make_chain(project)

    run = detail(api_client, story)

    load, publish = step_of(run, "load"), step_of(run, "publish")
    assert (load["is_ahead"], load["depth"], load["speculation"]["verdict"]) == (False, 0, "ready")
    assert (publish["is_ahead"], publish["depth"]) == (True, 2)
    assert publish["speculation"]["verdict"] == "ahead"
    assert publish["speculation"]["bond_units"] == "4000000"
    commitment = publish["speculation"]["commitment"]
    assert (commitment["status"], commitment["bond_units"]) == ("open", "4000000")
    assert commitment["ancestors"] == [
        {"task": str(story.tasks["load"]), "epoch": 1},
        {"task": str(story.tasks["clean"]), "epoch": 1},
    ]


def test_the_depth_counts_unconfirmed_ancestors_only(api_client: APIClient, project: Project):
    story = make_story(project=project)
    story.put("load", "confirmed")
    story.put("clean", "executing")
    story.put("publish", "scheduled")

    run = detail(api_client, story)

    assert [task["depth"] for task in run["tasks"]] == [0, 0, 1]
    assert api_client.get(f"/api/v1/tasks?run={story.run}").json()["data"][0]["depth"] == 1


def test_a_deferred_proof_says_what_it_waits_for(api_client: APIClient, project: Project):
    story = make_chain(project)

    proof = step_of(detail(api_client, story), "clean")["proof"]

    assert proof["status"] == "awaiting_ancestors"
    assert proof["waits_for"] == [str(story.tasks["load"])]
    assert proof["generated_at"].endswith("Z")
    assert proof["cost"]["wall_seconds"] == 1.31
    assert step_of(detail(api_client, story), "publish")["proof"] is None


def test_a_step_without_a_decision_has_none(api_client: APIClient, project: Project):
    spine = make_run("executing", project=project, steps=("load",))

    task = detail(api_client, spine)["tasks"][0]
    answer = api_client.get(f"/api/v1/tasks/{spine.tasks['load']}/decision")

    assert task["speculation"] is None
    assert answer.status_code == 404
    assert answer.json()["code"] == "decision_not_found"


def test_a_decision_has_ten_checks_each_with_what_was_seen_what_is_allowed_and_what_would_flip_it(
    api_client: APIClient, project: Project
):
    story = make_chain(project)

    body = decision_of(api_client, story, "publish").json()

    assert body["task"] == str(story.tasks["publish"])
    assert (body["verdict"], body["refusal"], body["depth"]) == ("ahead", None, 2)
    assert body["ancestors"] == [str(story.tasks["load"]), str(story.tasks["clean"])]
    assert [check["check"] for check in body["checks"]] == [str(check) for check in Check]
    assert all(check["met"] and check["flips"] and check["question"] for check in body["checks"])
    depth = body["checks"][4]
    assert (depth["observed"], depth["limit"]) == ({"depth": 2}, {"max_depth": 5})
    assert (depth["seen"], depth["allowed"]) == ("depth 2", "at most 5")


def test_a_refused_decision_names_its_first_refusal(api_client: APIClient, project: Project):
    story = make_story(project=project)
    story.put("load", "executing")
    story.put("clean", "waiting")
    story.ask("clean", max_depth=0)

    body = decision_of(api_client, story, "clean").json()
    task = step_of(detail(api_client, story), "clean")

    assert (body["verdict"], body["refusal"]) == ("wait", "depth")
    assert [check["check"] for check in body["checks"] if not check["met"]] == ["depth"]
    assert body["checks"][4]["flips"] == "1 more of the path's ancestors are confirmed"
    assert (task["speculation"]["verdict"], task["speculation"]["refusal"]) == ("wait", "depth")
    assert task["speculation"]["commitment"] is None


def test_a_foreign_task_s_decision_does_not_exist(api_client: APIClient):
    story = make_chain(make_project())

    answer = decision_of(api_client, story, "publish")

    assert answer.status_code == 404
    assert answer.json()["code"] == "task_not_found"


def test_a_task_that_is_tried_again_shows_every_attempt_with_its_bond_and_its_end(
    api_client: APIClient, project: Project
):
    story = make_chain(project)
    rollback = story.fail("load", detail="pairing check failed")
    story.put("load", "executing")

    run = detail(api_client, story)
    load, clean = step_of(run, "load"), step_of(run, "clean")

    assert load["status"] == "executing"
    assert [attempt["epoch"] for attempt in load["attempts"]] == [1, 3]
    first, second = load["attempts"]
    assert first["failure"]["reason"] == "proof_rejected"
    assert first["failure"]["detail"] == "pairing check failed"
    assert first["commitment"]["status"] == "failed"
    part = first["rollbacks"][0]
    assert (part["id"], part["is_root"], part["slashed_units"]) == (str(rollback), True, "100000")
    assert (second["failure"], second["rollbacks"]) == (None, [])
    (undone,) = clean["attempts"]
    assert undone["is_ahead"] is True
    assert (undone["rollbacks"][0]["root"], undone["rollbacks"][0]["is_root"]) == ("load", False)
    assert undone["rollbacks"][0]["released_units"] == "2000000"
    assert undone["commitment"]["status"] == "rolled_back"


def test_a_run_says_what_running_ahead_was_worth(api_client: APIClient, project: Project):
    story = make_chain(project)
    before = detail(api_client, story)["speculation"]
    story.fail("load")
    failed = detail(api_client, story)["speculation"]
    for step in ("load", "clean", "publish"):
        story.put(step, "attested")
    for step in ("load", "clean", "publish"):
        story.put(step, "confirmed")

    done = detail(api_client, story)["speculation"]

    assert (before["ran_ahead"], before["ran_ahead_ended"], before["hit_rate"]) == (2, 0, None)
    assert (before["at_risk_units"], before["deepest_depth"]) == (str(7_000_000), 2)
    assert (before["slashed_units"], before["saved_seconds"]) == ("0", None)
    assert (failed["ran_ahead_ended"], failed["ran_ahead_confirmed"], failed["hit_rate"]) == (2, 0, 0.0)
    assert (failed["at_risk_units"], failed["slashed_units"], failed["wasted_units"]) == ("0", "100000", "24")
    assert (done["ran_ahead"], done["ran_ahead_ended"], done["ran_ahead_confirmed"]) == (4, 4, 2)
    assert done["hit_rate"] == 0.5
    assert done["at_risk_units"] == "0"
    assert done["saved_seconds"] == pytest.approx(done["without_seconds"] - done["took_seconds"])


def test_a_run_in_which_nobody_ran_ahead_saved_nothing(api_client: APIClient, project: Project):
    spine = make_run("confirmed", project=project)

    figures = detail(api_client, spine)["speculation"]

    assert figures["ran_ahead"] == 0
    assert figures["saved_seconds"] == 0.0
    assert figures["took_seconds"] > 0


def test_a_run_lists_the_rollbacks_that_hit_it(api_client: APIClient, project: Project):
    story = make_chain(project)
    rollback = story.fail("load")

    (shown,) = detail(api_client, story)["rollbacks"]

    assert shown["id"] == str(rollback)
    assert shown["root"] == {"task": str(story.tasks["load"]), "step": "load", "epoch": 1}
    assert (shown["reason"], shown["size"], shown["depth"]) == ("proof_rejected", 3, 2)
    assert (shown["slashed_units"], shown["released_units"]) == ("100000", "6900000")
    assert shown["is_retried"] is True


def test_a_task_is_the_same_document_as_within_its_run(api_client: APIClient, project: Project):
    story = make_chain(project)
    story.fail("load")

    whole = step_of(detail(api_client, story), "clean")

    assert api_client.get(f"/api/v1/tasks/{story.tasks['clean']}").json() == whole


def test_the_number_of_queries_does_not_grow_with_attempts_and_rollbacks(
    api_client: APIClient, project: Project
):
    keepers = make_keepers(8)
    small = make_story(("one", "two"), project=project, keepers=keepers)
    large = make_story([f"step{n}" for n in range(5)], project=project, keepers=keepers)
    for story in (small, large):
        story.put(next(iter(story.tasks)), "attested")
        for step in story.tasks:
            story.put(step, "attested")
    large.fail("step0")
    for step in large.tasks:
        large.put(step, "executing")
    large.fail("step2", FailureReason.EXECUTION_FAILED)
    detail(api_client, small)

    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert api_client.get(path).status_code == 200
        return len(captured)

    assert queries(f"/api/v1/runs/{small.run}") == queries(f"/api/v1/runs/{large.run}") <= 13
    assert queries(f"/api/v1/tasks/{large.tasks['step1']}") <= 11
    assert queries(f"/api/v1/tasks/{large.tasks['step1']}/decision") <= 3
    assert queries(f"/api/v1/tasks?run={small.run}") == queries(f"/api/v1/tasks?run={large.run}") <= 2


def test_the_frames_of_a_run_that_ran_ahead_give_the_same_picture_as_its_rows(project: Project):
    story = make_chain(project)

    assert find_differences(story.run) == []
    story.signal("load", FailureReason.PROOF_REJECTED)
    assert find_differences(story.run) == []
    story.fail("load")
    assert find_differences(story.run) == []
    story.put("load", "attested")
    story.put("clean", "executing")
    assert find_differences(story.run) == []
    story.fail("load", is_last=True)
    assert find_differences(story.run) == []

"""Reading rollbacks and dead letters: one shape, a fixed number of queries, nothing of other projects."""

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from apps.accounts.models import Project
from apps.eventlog.selectors import get_database_now
from apps.kernel.ids import new_id
from apps.rollback.models import DeadLetter, Rollback
from apps.rollback.rest.forms import DeadLetterOut, RollbackDetailOut, RollbackFiguresOut
from apps.rollback.services import rollbacks_cleaned
from apps.tasks.data import FailureReason
from project.embedded.drill import DRILL_JOB, build_drill
from project.embedded.following import Followed
from tests.factories.accounts import make_key, make_operator_key, make_project
from tests.factories.ahead import make_ahead
from tests.factories.jobs import SCRIPT
from tests.factories.spine import make_keepers, make_run
from tests.integration.rollback.rest_driving import (
    apply,
    client_of,
    fail_for_good,
    ids,
    make_cascade,
    make_failed,
    read,
    refusal,
)

pytestmark = pytest.mark.django_db


def queries(client: APIClient, path: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        read(client, path)
    return len(captured)


def test_a_rollback_tells_its_root_and_what_each_task_lost(api_client: APIClient, project: Project):
    run = make_cascade(project)
    row = Rollback.objects.get()

    shown = read(api_client, f"/rollbacks/{row}")

    a, b, c = (run.tasks[step] for step in "abc")
    assert shown.keys() == RollbackDetailOut().fields.keys()
    assert (shown["id"], shown["root"], shown["run"]) == (str(row), str(a), str(run.run))
    assert shown["project"] == project.wire_id
    assert (shown["reason"], shown["epoch"]) == ("proof_rejected", 1)
    assert shown["error"] == {"code": "proof_rejected", "detail": "pairing"}
    assert (shown["phase"], shown["scope"], shown["size"], shown["depth"]) == ("cleaning", "downstream", 3, 2)
    assert (shown["recovery"], shown["is_retried"]) == ("re_execute", True)
    assert (shown["slashed_units"], shown["slashed_keeper"]) == ("100000", run.keeper("a"))
    assert (shown["treasury_units"], shown["released_units"]) == ("50000", "6900000")
    assert sum(int(units) for units in shown["victims"].values()) == 50_000
    assert shown["wasted_units"] == "24"
    assert shown["detected_at"].endswith("Z")
    assert shown["applied_at"].endswith("Z")
    assert (shown["completed_at"], shown["abort_latencies_ms"]) == (None, [])
    assert shown["trace_id"] == run.run.trace_id

    assert [item["task"] for item in shown["items"]] == [str(a), str(b), str(c)]
    assert [item["path"] for item in shown["items"]] == [
        [str(a)],
        [str(a), str(b)],
        [str(a), str(b), str(c)],
    ]
    assert [(item["previous"], item["target"]) for item in shown["items"]] == [
        ("submitted", "failed"),
        ("waiting_ancestors", "rolled_back"),
        ("executing", "aborted"),
    ]
    assert [item["keeper"] for item in shown["items"]] == [run.keeper(step) for step in "abc"]
    lost = [(item["released_units"], item["slashed_units"], item["wasted_units"]) for item in shown["items"]]
    assert lost == [("900000", "100000", "12"), ("2000000", "0", "12"), ("4000000", "0", "0")]


def test_abort_latencies_and_ends_are_told_once_they_are_known(api_client: APIClient, project: Project):
    make_cascade(project)
    row = Rollback.objects.get()

    rollbacks_cleaned(latencies={str(row): [41.25, 12.5]}, now=get_database_now())

    shown = read(api_client, f"/rollbacks/{row}")
    assert (shown["phase"], shown["abort_latencies_ms"]) == ("logging", [12.5, 41.25])


def test_the_path_to_a_task_is_the_longest_one(api_client: APIClient, project: Project):
    parents = {"a": [], "b": ["a"], "c": ["b"], "d": ["a", "c"]}
    steps = [{"key": key, "script_source": SCRIPT, "parents": above} for key, above in parents.items()]
    run = make_ahead(dict.fromkeys(parents, "executing"), steps=steps, project=project)
    run.signal("a", FailureReason.EXECUTION_FAILED)
    apply()

    shown = read(api_client, f"/rollbacks/{Rollback.objects.get()}")

    (item,) = (item for item in shown["items"] if item["step"] == "d")
    assert item["path"] == [str(run.tasks[step]) for step in "abcd"]


def test_lists_have_the_items_only_where_a_run_is_named(api_client: APIClient, project: Project):
    run = make_cascade(project)

    (bare,) = read(api_client, "/rollbacks")["data"]
    (whole,) = read(api_client, f"/rollbacks?run={run.run}")["data"]

    assert "items" not in bare
    assert whole == read(api_client, f"/rollbacks/{bare['id']}")
    assert bare == {name: value for name, value in whole.items() if name != "items"}


def test_the_demo_reads_a_drill_from_it(api_client: APIClient, project: Project):
    run = make_cascade(project)
    shown = read(api_client, f"/runs/{run.run}")
    listed = read(api_client, f"/rollbacks?run={run.run}")["data"]
    job = shown["job"]["id"]

    drill = build_drill(
        Followed(jobs={job: {"name": DRILL_JOB}}, runs={shown["id"]: shown}, rollbacks={shown["id"]: listed}),
        is_expected=True,
    )

    (rollback,) = drill["rollbacks"]
    assert (rollback["root"], rollback["keeper"], rollback["slashed_units"]) == (
        "a",
        run.keeper("a"),
        "100000",
    )
    assert [(item["step"], item["became"]) for item in rollback["items"]] == [
        ("a", "failed"),
        ("b", "rolled_back"),
        ("c", "aborted"),
    ]
    assert drill["problems"] == ["the retry did not succeed"]


def test_rollbacks_are_filtered_by_run_task_and_reason(api_client: APIClient, project: Project):
    keepers = make_keepers(5)
    first = make_cascade(project, keepers=keepers)
    second, _ = make_failed(project, keepers=keepers)
    one, two = (str(Rollback.objects.get(run=run.run)) for run in (first, second))

    assert ids(api_client, "/rollbacks") == [two, one]
    assert ids(api_client, f"/rollbacks?run={first.run}") == [one]
    assert ids(api_client, f"/rollbacks?task={first.tasks['c']}") == [one]
    assert ids(api_client, "/rollbacks?reason=execution_failed") == [two]
    assert ids(api_client, f"/rollbacks?reason=execution_failed&run={first.run}") == []


def test_pages_of_rollbacks_and_dead_letters_neither_skip_nor_repeat(api_client: APIClient, project: Project):
    keepers = make_keepers(3)
    for _ in range(3):
        make_failed(project, keepers=keepers)

    for path in ("/rollbacks", "/dead-letters"):
        whole = ids(api_client, path)
        first = read(api_client, f"{path}?limit=2")
        second = read(api_client, f"{path}?limit=2&cursor={first['next_cursor']}")
        assert [row["id"] for page in (first, second) for row in page["data"]] == whole
        assert (first["has_more"], second["has_more"], second["next_cursor"]) == (True, False, None)


def test_the_number_of_queries_does_not_grow(api_client: APIClient, project: Project):
    keepers = make_keepers(9)
    small, large = (
        make_ahead(dict.fromkeys(names, "executing"), project=project, keepers=keepers)
        for names in ("ab", "abcdefgh")
    )
    fail_for_good(small, "a")
    for step in "hgfa":
        fail_for_good(large, step)
    read(api_client, "/rollbacks")
    detail = [Rollback.objects.filter(run=run.run).latest("pk") for run in (small, large)]

    assert Rollback.objects.filter(run=large.run).count() == 4
    assert queries(api_client, "/rollbacks") == queries(api_client, "/dead-letters") == 1
    one, other = (queries(api_client, f"/rollbacks?run={run.run}") for run in (small, large))
    assert one == other == 3
    one, other = (queries(api_client, f"/rollbacks/{row}") for row in detail)
    assert one == other == 3
    one, other = (queries(api_client, f"/runs/{run.run}/cancel-preview") for run in (small, large))
    assert one == other <= 4
    assert queries(api_client, f"/tasks/{large.tasks['a']}/cancel-preview") <= 4
    assert queries(api_client, f"/dead-letters/{DeadLetter.objects.latest('pk')}") == 1
    assert queries(api_client, "/rollbacks/figures") <= 5


def test_the_figures_count_what_rollbacks_took(api_client: APIClient, project: Project):
    keepers = make_keepers(5)
    make_cascade(project, keepers=keepers)
    make_cascade(make_project(), keepers=keepers)
    make_failed(project, keepers=keepers)
    row = Rollback.objects.filter(project_id=project.id, reason="proof_rejected").get()
    rollbacks_cleaned(latencies={str(row): [40.0, 10.0]}, now=get_database_now())

    shown = read(api_client, "/rollbacks/figures")

    assert shown.keys() == RollbackFiguresOut().fields.keys()
    assert (shown["count"], shown["by_reason"]) == (2, {"execution_failed": 1, "proof_rejected": 1})
    assert (shown["cascade_depth_max"], shown["cascade_size_mean"]) == (2, 2.5)
    assert shown["abort_latency_p99_ms"] == 40.0
    assert (shown["retried"], shown["recovered"], shown["recovery_rate"]) == (0, 0, None)
    assert (shown["slashed_units"], shown["wasted_units"], shown["dead_letters"]) == ("100000", "24", 2)
    assert read(client_of(make_operator_key().secret), "/rollbacks/figures")["count"] == 3


def test_the_figures_are_those_of_a_time(api_client: APIClient, project: Project):
    make_cascade(project)
    at = read(api_client, "/rollbacks")["data"][0]["detected_at"]

    assert read(api_client, f"/rollbacks/figures?since={at}")["count"] == 1
    assert read(api_client, f"/rollbacks/figures?until={at}")["count"] == 0
    assert read(api_client, "/rollbacks/figures?since=2001-01-01T00:00:00%2B02:00")["count"] == 1


@pytest.mark.parametrize(
    "query",
    [
        "rollbacks?run=x",
        "rollbacks?task=run_" + "0" * 32,
        "rollbacks?reason=bad_luck",
        "rollbacks/figures?since=yesterday",
        "rollbacks/figures?until=2026-01-01T00:00:00",
        "rollbacks/figures?since=0001-01-01T00:00:00%2B14:00",
        "dead-letters?run=x",
        "dead-letters?task=x",
        "dead-letters?reason=bad_luck",
        "dead-letters?stage=asleep",
        "dead-letters?waiting=maybe",
    ],
)
def test_a_filter_that_names_nothing_is_refused(query: str, api_client: APIClient):
    assert refusal(api_client.get(f"/api/v1/{query}")) == (422, "filter_invalid")


def test_a_dead_letter_says_where_and_why_it_failed(api_client: APIClient, project: Project):
    run, row = make_failed(project)

    shown = read(api_client, f"/dead-letters/{row}")

    assert shown.keys() == DeadLetterOut().fields.keys()
    assert (shown["id"], shown["rollback"]) == (str(row), str(Rollback.objects.get()))
    assert (shown["task"], shown["step"], shown["status"]) == (str(run.tasks["a"]), "a", "failed")
    assert (shown["run"], shown["project"]) == (str(run.run), project.wire_id)
    assert (shown["stage"], shown["reason"], shown["epoch"]) == ("executing", "execution_failed", 1)
    assert shown["error"]["code"] == "script_failed"
    assert (shown["attempts"], shown["dependents"]) == (settings.FOREKEEP.execution.max_attempts, 1)
    assert (shown["is_final"], shown["is_waiting"], shown["replayed_at"]) == (True, True, None)
    assert shown["failed_at"].endswith("Z")


def test_dead_letters_are_filtered_by_run_task_reason_stage_and_whether_they_wait(
    api_client: APIClient, project: Project
):
    keepers = make_keepers(5)
    retried = make_cascade(project, keepers=keepers)
    failed, final = make_failed(project, keepers=keepers)
    told = DeadLetter.objects.get(run=retried.run)

    assert ids(api_client, "/dead-letters") == [str(final), str(told)]
    assert ids(api_client, f"/dead-letters?run={failed.run}") == [str(final)]
    assert ids(api_client, f"/dead-letters?task={retried.tasks['a']}") == [str(told)]
    assert ids(api_client, "/dead-letters?reason=proof_rejected") == [str(told)]
    assert ids(api_client, "/dead-letters?stage=executing") == [str(final)]
    assert ids(api_client, "/dead-letters?waiting=true") == [str(final)]
    assert ids(api_client, "/dead-letters?waiting=false") == [str(told)]


def test_what_belongs_to_others_does_not_exist(api_client: APIClient, project: Project):
    other = make_project()
    run, row = make_failed(other)
    rollback = Rollback.objects.get()

    for method, path, code in (
        ("get", f"rollbacks/{rollback}", "rollback_not_found"),
        ("get", f"dead-letters/{row}", "dead_letter_not_found"),
        ("post", f"dead-letters/{row}/replay", "dead_letter_not_found"),
        ("get", f"runs/{run.run}/cancel-preview", "run_not_found"),
        ("get", f"tasks/{run.tasks['b']}/cancel-preview", "task_not_found"),
        ("post", f"tasks/{run.tasks['b']}/cancel", "task_not_found"),
        ("get", f"rollbacks?project={other.wire_id}", "project_unknown"),
        ("post", f"dead-letters/replay?project={other.wire_id}", "project_unknown"),
    ):
        found = refusal(getattr(api_client, method)(f"/api/v1/{path}"))
        assert found == (404, code), path
    for path in ("rollbacks", f"rollbacks?run={run.run}", f"rollbacks?task={run.tasks['a']}", "dead-letters"):
        assert ids(api_client, f"/{path}") == []
    assert api_client.post("/api/v1/dead-letters/replay", {}).json()["count"] == 0
    assert run.reload().run.status == "failed"
    operator = client_of(make_operator_key().secret)
    assert ids(operator, f"/dead-letters?project={other.wire_id}") == [str(row)]
    assert ids(operator, f"/dead-letters?project={project.wire_id}") == []


@pytest.mark.parametrize(
    "path",
    [
        "rollbacks/rbk_{}",
        "dead-letters/dl_{}",
        "runs/run_{}/cancel-preview",
        "tasks/task_{}/cancel-preview",
    ],
)
def test_unknown_and_malformed_ids_are_told_apart(path: str, api_client: APIClient):
    assert api_client.get(f"/api/v1/{path.format(new_id().hex)}").status_code == 404
    assert refusal(api_client.get(f"/api/v1/{path.format('x')}")) == (422, "id_malformed")


def test_reading_and_replaying_need_their_scopes(project: Project):
    run, row = make_failed(project)
    reader = client_of(make_key(project, "runs:read", "tasks:read").secret)
    stranger = client_of(make_key(project, "jobs:read", "jobs:write").secret)
    reads = (
        "rollbacks",
        "rollbacks/figures",
        f"rollbacks/{Rollback.objects.get()}",
        "dead-letters",
        f"dead-letters/{row}",
        f"runs/{run.run}/cancel-preview",
        f"tasks/{run.tasks['a']}/cancel-preview",
    )
    writes = (
        f"dead-letters/{row}/replay",
        "dead-letters/replay",
        f"tasks/{run.tasks['a']}/cancel",
    )

    for path in reads:
        assert reader.get(f"/api/v1/{path}").status_code == 200, path
        assert refusal(stranger.get(f"/api/v1/{path}")) == (403, "scope_missing"), path
    for path in writes:
        for client in (reader, stranger):
            assert refusal(client.post(f"/api/v1/{path}")) == (403, "scope_missing"), path
    row.refresh_from_db()
    assert row.replayed_at is None


def test_a_run_without_failures_has_no_rollbacks(api_client: APIClient, project: Project):
    done = make_run("confirmed", project=project, steps=("load",))

    assert read(api_client, f"/rollbacks?run={done.run}")["data"] == []
    assert read(api_client, f"/runs/{done.run}/cancel-preview")["tasks"] == []

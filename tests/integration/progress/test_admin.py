"""The operator's pages of the pipeline: read only, found by any id, linked, with one safe action."""

from typing import Any

import pytest
from django.test import Client

from apps.attestation.models import Round, Vote
from apps.execution.models import Assignment
from apps.settlement.models import Batch, Settlement
from tests.factories.accounts import make_staff
from tests.factories.spine import Spine, make_run

pytestmark = pytest.mark.django_db

_LISTS = (
    "tasks/run",
    "tasks/task",
    "execution/assignment",
    "attestation/round",
    "attestation/vote",
    "settlement/batch",
    "settlement/settlement",
)


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(make_staff())
    return client


@pytest.fixture
def spine() -> Spine:
    return make_run(steps=("load", "publish"))


def rows(html: str, name: str) -> int:
    return html.count(f"/admin/{name}/") and html.count('name="_selected_action"')


@pytest.mark.parametrize("name", _LISTS)
def test_every_list_and_every_row_opens_and_nothing_can_be_added_or_deleted(
    name: str, operator: Client, spine: Spine
):
    model: Any = {
        "tasks/run": type(spine.run),
        "tasks/task": type(spine.tasks["load"]),
        "execution/assignment": Assignment,
        "attestation/round": Round,
        "attestation/vote": Vote,
        "settlement/batch": Batch,
        "settlement/settlement": Settlement,
    }[name]
    row = model.objects.first()

    assert operator.get(f"/admin/{name}/").status_code == 200
    page = operator.get(f"/admin/{name}/{row.pk}/change/")
    assert page.status_code == 200
    assert b'name="_save"' not in page.content
    assert operator.get(f"/admin/{name}/add/").status_code == 403
    assert operator.post(f"/admin/{name}/{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert operator.post(f"/admin/{name}/{row.pk}/change/", {}).status_code == 403


def test_rows_are_linked_from_run_to_chain(operator: Client, spine: Spine):
    task = spine.tasks["load"]
    batch = Batch.objects.get(settlements__task=task)

    run_page = operator.get(f"/admin/tasks/run/{spine.run.pk}/change/").content.decode()
    task_page = operator.get(f"/admin/tasks/task/{task.pk}/change/").content.decode()
    batch_page = operator.get(f"/admin/settlement/batch/{batch.pk}/change/").content.decode()

    assert f"/admin/tasks/task/{task.pk}/change/" in run_page
    assert f"/runs/{spine.run}" in run_page
    assert f"/admin/attestation/round/{batch.round_id}/change/" in task_page
    assert "/admin/execution/assignment/" in task_page
    assert f"/admin/settlement/settlement/{batch.settlements.get().pk}/change/" in task_page
    assert batch.outbound.tx_hash in batch_page


@pytest.mark.parametrize("name", _LISTS)
def test_lists_are_searched_by_wire_id_and_trace_id(name: str, operator: Client, spine: Spine):
    make_run("confirmed", steps=("other",))
    task = spine.tasks["load"]

    by_trace = operator.get(f"/admin/{name}/", {"q": spine.run.trace_id})
    by_task = operator.get(f"/admin/{name}/", {"q": str(task)})
    by_nothing = operator.get(f"/admin/{name}/", {"q": "task_x"})

    expected = {"tasks/run": (1, 1), "attestation/vote": (6, 3)}.get(name, (2, 1))
    found = tuple(len(answer.context["cl"].result_list) for answer in (by_trace, by_task))
    assert found == expected
    assert len(by_nothing.context["cl"].result_list) == 0


def test_tasks_are_found_by_transaction_and_by_keeper(operator: Client, spine: Spine):
    settlement = Settlement.objects.filter(task=spine.tasks["publish"]).get()

    by_hash = operator.get("/admin/tasks/task/", {"q": settlement.tx_hash}).context["cl"]
    by_keeper = operator.get("/admin/tasks/task/", {"q": spine.tasks["load"].performer}).context["cl"]

    assert [task.step_key for task in by_hash.result_list] == ["publish"]
    assert [task.step_key for task in by_keeper.result_list] == ["load"]


def test_cancelling_from_the_list_goes_through_the_service(operator: Client):
    going = make_run({"load": "executing"}, steps=("load", "publish"))
    done = make_run("confirmed", steps=("load",))
    chosen = {"action": "cancel", "_selected_action": [str(going.run.pk), str(done.run.pk)]}

    answer = operator.post("/admin/tasks/run/", chosen, follow=True).content.decode()

    assert going.refresh().status == "cancelled"
    assert done.refresh().status == "confirmed"
    assert "1 runs are being cancelled" in answer
    assert "The run has ended" in answer


def test_the_first_page_counts_the_queue_of_open_runs(operator: Client):
    make_run({"load": "executing"}, steps=("load", "publish"))
    make_run("confirmed", steps=("load",))

    answer = operator.get("/admin/")

    counted = {line["status"]: (line["runs"], line["tasks"]) for line in answer.context["queue"]}
    assert counted["executing"] == (1, 1)
    assert counted["discovered"] == (1, 1)
    assert counted["submitted"] == (0, 0)
    assert {fact["name"]: fact["value"] for fact in answer.context["facts"]}["Open runs"] == 1
    assert "The queue" in answer.content.decode()


def test_the_list_of_tasks_has_the_newest_run_first_and_its_steps_in_order(client):
    old, new = (make_run({}, steps=("load", "publish")) for _ in range(2))
    client.force_login(make_staff())
    shown = client.get("/admin/tasks/task/").content.decode()
    places = [shown.index(str(run.tasks[step])) for run in (new, old) for step in ("load", "publish")]
    assert places == sorted(places)

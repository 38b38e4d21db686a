"""The operator's pages for rollbacks and dead letters: found by any id, linked, replayed, never edited."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from apps.accounts.models import Project
from apps.rollback.models import DeadLetter, Rollback
from tests.factories.accounts import make_staff, make_user
from tests.factories.ahead import Ahead
from tests.factories.spine import make_keepers
from tests.integration.rollback.rest_driving import make_cascade, make_failed

pytestmark = pytest.mark.django_db

ROLLBACKS = "/admin/rollback/rollback/"
LETTERS = "/admin/rollback/deadletter/"


@pytest.fixture
def operator() -> Client:
    """A person who may do everything."""
    client = Client()
    client.force_login(make_staff())
    return client


@pytest.fixture
def runs(project: Project) -> tuple[Ahead, Ahead]:
    """A run that is retried after a cascade, and one that failed for good."""
    keepers = make_keepers(5)
    return make_cascade(project, keepers=keepers), make_failed(project, keepers=keepers)[0]


def found(client: Client, place: str, **query: str) -> list[Any]:
    return list(client.get(place, query).context["cl"].result_list)


def staff_with(*permissions: str) -> Client:
    person = make_user(is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(person)
    return client


@pytest.mark.parametrize("place", [ROLLBACKS, LETTERS])
def test_rows_are_looked_at_and_neither_added_nor_changed_nor_deleted(
    place: str, operator: Client, runs: tuple[Ahead, Ahead]
):
    for row in found(operator, place):
        page = operator.get(f"{place}{row.pk}/change/")
        assert page.status_code == 200
        assert b'name="_save"' not in page.content
        assert operator.post(f"{place}{row.pk}/change/", {"reason": "manual"}).status_code == 403
        assert operator.post(f"{place}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert operator.get(f"{place}add/").status_code == 403
    assert Rollback.objects.count() == DeadLetter.objects.count() == 2


def test_rollbacks_are_found_by_any_id_by_trace_and_by_the_slashed_keeper(
    operator: Client, runs: tuple[Ahead, Ahead]
):
    run, _ = runs
    row = Rollback.objects.get(run=run.run)

    terms = (row, run.run, run.tasks["a"], run.tasks["c"], row.dead_letter, row.trace_id, row.slashed_keeper)
    for term in terms:
        assert found(operator, ROLLBACKS, q=str(term)) == [row], term
    assert len(found(operator, ROLLBACKS, q=run.job.project.wire_id)) == 2
    assert found(operator, ROLLBACKS, q="rbk_x") == found(operator, ROLLBACKS, q="0x" + "0" * 40) == []


def test_dead_letters_are_found_by_any_id_and_by_trace(operator: Client, runs: tuple[Ahead, Ahead]):
    _, run = runs
    row = DeadLetter.objects.get(run=run.run)

    for term in (row, row.rollback, run.run, run.tasks["a"], run.run.trace_id):
        assert found(operator, LETTERS, q=str(term)) == [row], term
    assert len(found(operator, LETTERS, q=run.job.project.wire_id)) == 2
    assert found(operator, LETTERS, is_final__exact="1") == [row]


def test_rollback_letter_and_tasks_are_linked(operator: Client, runs: tuple[Ahead, Ahead]):
    run, _ = runs
    row = Rollback.objects.get(run=run.run)

    page = operator.get(f"{ROLLBACKS}{row.pk}/change/").content.decode()
    letter = operator.get(f"{LETTERS}{row.dead_letter.pk}/change/").content.decode()

    for task in run.tasks.values():
        assert f"/admin/tasks/task/{task.pk}/change/" in page
    assert "waiting_ancestors → rolled_back, slashed 0" in page
    assert "submitted → failed, slashed 100000" in page
    assert f"{LETTERS}{row.dead_letter.pk}/change/" in page
    assert f"/admin/tasks/run/{run.run.pk}/change/" in page
    assert "aggregate_type__exact=rollback" in page
    assert f"{ROLLBACKS}{row.pk}/change/" in letter
    assert f"/admin/tasks/task/{run.tasks['a'].pk}/change/" in letter
    assert "aggregate_type__exact=dead_letter" in letter


def test_replaying_from_the_list_goes_through_the_service_and_tells_refusals(
    operator: Client, runs: tuple[Ahead, Ahead]
):
    retried, failed = runs
    chosen = [str(pk) for pk in DeadLetter.objects.values_list("pk", flat=True)]

    answer = operator.post(LETTERS, {"action": "replay", "_selected_action": chosen}, follow=True)

    assert "1 dead letters were replayed" in answer.content.decode()
    assert f"{DeadLetter.objects.get(run=retried.run)}: The task cannot be tried again" in (
        answer.content.decode()
    )
    assert failed.statuses() == {"a": "waiting", "b": "waiting"}
    assert failed.run.status == "open"
    assert DeadLetter.objects.get(run=failed.run).replayed_at is not None


def test_replaying_is_the_only_action_and_needs_the_permission(operator: Client, runs: tuple[Ahead, Ahead]):
    _, failed = runs
    letter = DeadLetter.objects.get(run=failed.run)
    looker = staff_with("view_deadletter")
    chosen = {"action": "replay", "_selected_action": [str(letter.pk)]}

    def actions(client: Client) -> list[str]:
        form = client.get(LETTERS).context["action_form"]
        return [name for name, _ in form.fields["action"].choices if name] if form else []

    assert actions(operator) == actions(staff_with("view_deadletter", "change_deadletter")) == ["replay"]
    assert actions(looker) == []
    looker.post(LETTERS, chosen)
    assert Client().post(LETTERS, chosen).status_code == 302
    letter.refresh_from_db()
    assert letter.replayed_at is None

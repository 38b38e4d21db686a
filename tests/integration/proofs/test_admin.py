"""The operator's page for proofs: found by any id, linked, never edited."""

import pytest
from django.test import Client

from tests.factories.accounts import make_staff

pytestmark = pytest.mark.django_db

LIST = "/admin/proofs/proof/"


@pytest.fixture
def operator() -> Client:
    """A person who may look."""
    client = Client()
    client.force_login(make_staff())
    return client


def test_a_proof_is_found_by_any_id_and_shown_with_its_task(make_world, operator):
    world = make_world(["a", "b"])
    world.plan()
    row = world.proof("a")
    for term in (str(row), str(row.task), row.task.run.trace_id):
        page = operator.get(LIST, {"q": term}).content.decode()
        assert str(row) in page
    assert str(world.proof("b")) not in operator.get(LIST, {"q": str(row)}).content.decode()
    page = operator.get(f"{LIST}{row.pk}/change/").content.decode()
    assert f"/admin/tasks/task/{row.task_id}/change/" in page


def test_a_proof_is_neither_added_nor_changed_nor_deleted(make_world, operator):
    world = make_world(["a"])
    world.plan()
    place = f"{LIST}{world.proof().pk}"
    assert operator.get(f"{LIST}add/").status_code == 403
    assert operator.post(f"{place}/change/", {"status": "confirmed"}).status_code == 403
    assert operator.post(f"{place}/delete/", {"post": "yes"}).status_code == 403

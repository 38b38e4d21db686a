"""The operator's page of keepers."""

from typing import Any

import pytest
from django.test import Client

from apps.keepers.selectors import get_keeper
from tests.factories.accounts import make_staff, make_user
from tests.factories.keepers import make_keeper

pytestmark = pytest.mark.django_db

LIST = "/admin/keepers/keeper/"


@pytest.fixture
def operator() -> Client:
    """A logged-in operator."""
    client = Client()
    client.force_login(make_staff())
    return client


def _act(client: Client, action: str, *addresses: str) -> Any:
    body = {"action": action, "_selected_action": list(addresses)}
    return client.post(LIST, body, follow=True)


def test_an_operator_sees_suspends_and_reinstates_keepers(operator: Client) -> None:
    keeper = make_keeper(name="north")

    assert b"north" in operator.get(LIST).content
    assert operator.get(f"{LIST}{keeper.address}/change/").status_code == 200
    assert b"1 keepers suspended" in _act(operator, "suspend", keeper.address).content
    assert get_keeper(keeper.address).status == "suspended"
    assert b"1 keepers reinstated" in _act(operator, "reinstate", keeper.address).content
    assert get_keeper(keeper.address).status == "registered"


def test_a_move_that_is_not_allowed_is_shown_and_changes_nothing(operator: Client) -> None:
    keeper = make_keeper(status="retired", online=False)

    assert b"not allowed" in _act(operator, "suspend", keeper.address).content
    assert get_keeper(keeper.address).status == "retired"


def test_keepers_are_neither_added_edited_nor_deleted_in_the_admin(operator: Client) -> None:
    keeper = make_keeper()

    assert operator.get(f"{LIST}add/").status_code == 403
    assert operator.post(f"{LIST}{keeper.address}/change/", {"points": 9}).status_code == 403
    assert operator.post(f"{LIST}{keeper.address}/delete/", {"post": "yes"}).status_code == 403
    assert get_keeper(keeper.address).points == 0


def test_staff_who_are_no_operators_see_nothing() -> None:
    client = Client()
    client.force_login(make_user(is_staff=True))

    assert client.get(LIST).status_code == 403

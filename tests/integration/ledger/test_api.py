"""/api/v1/ledger as a client sees it, and the admin's pages of the ledger."""

import pytest
from rest_framework.test import APIClient

from apps.kernel.ids import new_id, to_wire
from apps.ledger.domain.postings import escrow_hold
from apps.ledger.models import Account, Transaction
from apps.ledger.services import transactions_post
from tests.factories.accounts import make_key, make_project, make_staff
from tests.factories.ledger import fund_project

pytestmark = pytest.mark.django_db


def test_the_statement_lists_what_was_posted_newest_first(api_client, project):
    fund_project(project.id, 2**60)
    run = new_id()
    transactions_post([escrow_hold(project.id, run, 30)])
    body = api_client.get("/api/v1/ledger/statement").json()
    held = Transaction.objects.get(kind="escrow_hold")
    assert body["has_more"] is False
    assert [
        (line["account"], line["amount_units"], line["balance_after_units"]) for line in body["data"]
    ] == [
        ("escrow", "30", "30"),
        ("prepaid", "-30", str(2**60 - 30)),
        ("prepaid", str(2**60), str(2**60)),
    ]
    line = body["data"][0]
    assert line["transaction"] == to_wire("txn", held.pk)
    assert (line["kind"], line["reference"]) == ("escrow_hold", f"hold:{run.hex}")
    assert (line["memo"], line["trace_id"]) == ({"run_id": run.hex}, held.trace_id)
    assert line["created_at"].endswith("Z")


def test_the_statement_comes_in_pages(api_client, project, django_assert_max_num_queries):
    for _ in range(3):
        fund_project(project.id, 1)
    with django_assert_max_num_queries(6):
        page = api_client.get("/api/v1/ledger/statement", {"limit": 2}).json()
    assert [line["balance_after_units"] for line in page["data"]] == ["3", "2"]
    rest = api_client.get("/api/v1/ledger/statement", {"limit": 2, "cursor": page["next_cursor"]}).json()
    assert [line["balance_after_units"] for line in rest["data"]] == ["1"]


def test_balances_are_texts_of_integers(api_client, project):
    answer = {"project": project.wire_id, "prepaid_units": "0", "escrow_units": "0"}
    assert api_client.get("/api/v1/ledger/balances").json() == answer
    fund_project(project.id, 2**60)
    transactions_post([escrow_hold(project.id, new_id(), 7)])
    answer |= {"prepaid_units": str(2**60 - 7), "escrow_units": "7"}
    assert api_client.get("/api/v1/ledger/balances").json() == answer


@pytest.mark.parametrize("path", ["/api/v1/ledger/statement", "/api/v1/ledger/balances"])
class TestWhoSeesIt:
    """The project's own key with the scope, nobody else."""

    def test_another_projects_money_looks_absent(self, api_client, path):
        assert api_client.get(path, {"project": make_project().wire_id}).status_code == 404

    def test_it_needs_a_key_with_the_scope(self, project, path):
        client = APIClient()
        assert client.get(path).status_code == 401
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {make_key(project, 'jobs:read').secret}")
        assert client.get(path).json()["code"] == "scope_missing"


def test_the_admin_shows_the_ledger_and_changes_nothing(client, project):
    fund_project(project.id, 5)
    client.force_login(make_staff())
    account, posted = Account.objects.all()[0], Transaction.objects.all()[0]
    for path in (
        "account/",
        "transaction/",
        f"account/{account.pk}/change/",
        f"transaction/{posted.pk}/change/",
    ):
        assert client.get(f"/admin/ledger/{path}").status_code == 200
    for path in (
        "account/add/",
        f"account/{account.pk}/delete/",
        "transaction/add/",
        f"transaction/{posted.pk}/delete/",
    ):
        assert client.get(f"/admin/ledger/{path}").status_code == 403
    assert client.post(f"/admin/ledger/account/{account.pk}/change/", {"balance_units": 9}).status_code == 403

"""The keepers' doors over HTTP: the signed ones, the readers', the operator's."""

from collections.abc import Iterator
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.accounts.models import Project
from apps.keepers.errors import RegistryUnreachable
from apps.keepers.models import Keeper
from apps.keepers.ports import get_ports
from apps.keepers.selectors import get_keeper
from tests.factories.accounts import make_key, make_operator_key
from tests.factories.keepers import DOMAIN, FakePorts, FakeRegistry, Signer, make_keeper

pytestmark = pytest.mark.django_db

SIGNER = Signer()


@pytest.fixture(autouse=True)
def ports(settings: Any) -> Iterator[FakePorts]:
    """The ports of this test; the signer has its stake."""
    FakePorts.current = FakePorts(registry=FakeRegistry(entries={SIGNER.address: SIGNER.entry}))
    settings.KEEPER_PORTS = "tests.factories.keepers.current_ports"
    get_ports.cache_clear()
    yield FakePorts.current
    get_ports.cache_clear()


@pytest.fixture
def nobody() -> APIClient:
    """A client without any key."""
    return APIClient()


def _client(*scopes: str, project: Project | None = None) -> APIClient:
    client = APIClient()
    key = make_key(project, *scopes) if project else make_operator_key()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key.secret}")
    return client


def _registered(nobody: APIClient) -> None:
    answer = nobody.post("/keeper/register", SIGNER.sign(SIGNER.registration()), format="json")
    assert answer.status_code == 201, answer.data


@pytest.mark.parametrize("path", ["/keeper/register", "/api/v1/keepers/register"])
def test_a_keeper_registers_with_its_signature_alone(nobody: APIClient, path: str) -> None:
    answer = nobody.post(path, SIGNER.sign(SIGNER.registration()), format="json")

    assert answer.status_code == 201
    assert answer["Location"] == f"/api/v1/keepers/{SIGNER.address}"
    assert answer.data["stake_units"] == "10000000000"
    assert "contact" not in answer.data

    again = nobody.post(path, SIGNER.sign(SIGNER.registration(name="south")), format="json")
    assert (again.status_code, again.data["name"]) == (200, "south")


@pytest.mark.parametrize("path", ["/keeper/checkin", "/api/v1/keepers/checkin"])
def test_a_keeper_checks_in_on_both_paths(nobody: APIClient, path: str) -> None:
    _registered(nobody)

    answer = nobody.post(path, SIGNER.sign(SIGNER.check_in()), format="json")

    assert answer.status_code == 200
    assert answer.data["keeper"] == SIGNER.address
    assert get_keeper(SIGNER.address).online


def test_a_stale_nonce_is_a_conflict(nobody: APIClient) -> None:
    _registered(nobody)
    body = SIGNER.sign(SIGNER.check_in())
    nobody.post("/keeper/checkin", body, format="json")

    answer = nobody.post("/keeper/checkin", body, format="json")

    assert (answer.status_code, answer.data["code"]) == (409, "checkin_replayed")


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"timestamp": 1_700_000_000}, 403, "signature_invalid"),
        ({"signature": "0x" + "11" * 65}, 403, "signature_invalid"),
        ({"keeper": "0x1"}, 422, "keeper_message_malformed"),
        ({"nonce": "x"}, 422, "keeper_message_malformed"),
    ],
)
def test_a_bad_check_in_has_its_code(
    nobody: APIClient, change: dict[str, Any], status: int, code: str
) -> None:
    _registered(nobody)

    answer = nobody.post("/keeper/checkin", {**SIGNER.sign(SIGNER.check_in()), **change}, format="json")

    assert (answer.status_code, answer.data["code"]) == (status, code)
    assert not get_keeper(SIGNER.address).online


def test_an_old_message_and_a_strangers_have_their_codes(nobody: APIClient) -> None:
    unknown = nobody.post("/keeper/checkin", SIGNER.sign(SIGNER.check_in()), format="json")
    stale = nobody.post(
        "/keeper/checkin", SIGNER.sign(SIGNER.check_in(timestamp=1_700_000_000)), format="json"
    )

    assert (unknown.status_code, unknown.data["code"]) == (404, "keeper_unknown")
    assert (stale.status_code, stale.data["code"]) == (422, "checkin_stale")


@pytest.mark.parametrize("body", [[], "x", 5, None])
def test_a_body_that_is_no_object_is_refused(nobody: APIClient, body: Any) -> None:
    for path in ("/keeper/checkin", "/keeper/register"):
        answer = nobody.post(path, body, format="json")
        assert (answer.status_code, answer.data["code"]) == (422, "keeper_message_malformed")


def test_too_little_stake_and_a_silent_chain_have_their_codes(nobody: APIClient, ports: FakePorts) -> None:
    ports.registry.entries.clear()
    small = nobody.post("/keeper/register", SIGNER.sign(SIGNER.registration()), format="json")
    ports.registry.error = RegistryUnreachable(reason="down")
    silent = nobody.post("/keeper/register", SIGNER.sign(SIGNER.registration()), format="json")

    assert (small.status_code, small.data["code"]) == (409, "stake_too_small")
    assert (silent.status_code, silent.data["code"]) == (503, "registry_unreachable")
    assert Keeper.objects.count() == 0


def test_readers_list_filter_and_page_keepers(project: Project) -> None:
    online = [make_keeper() for _ in range(3)]
    offline = make_keeper(online=False)
    client = _client("keepers:read", project=project)

    first = client.get("/api/v1/keepers?online=true&limit=2").data
    second = client.get(f"/api/v1/keepers?online=true&limit=2&cursor={first['next_cursor']}").data
    silent = client.get("/api/v1/keepers?online=false").data
    suspended = client.get("/api/v1/keepers?status=suspended").data

    assert [row["address"] for row in (*first["data"], *second["data"])] == [row.address for row in online]
    assert not second["has_more"]
    assert [row["address"] for row in silent["data"]] == [offline.address]
    assert suspended["data"] == []


@pytest.mark.parametrize("query", ["online=maybe", "status=asleep"])
def test_an_unknown_filter_is_refused(project: Project, query: str) -> None:
    answer = _client("keepers:read", project=project).get(f"/api/v1/keepers?{query}")

    assert (answer.status_code, answer.data["code"]) == (422, "filter_invalid")


def test_one_keeper_is_shown_by_its_address_in_any_case(project: Project) -> None:
    keeper = make_keeper("0x" + "ab" * 20)
    client = _client("keepers:read", project=project)

    assert client.get("/api/v1/keepers/0x" + "AB" * 20).data["address"] == keeper.address
    assert client.get("/api/v1/keepers/0x" + "00" * 20).status_code == 404


def test_reading_needs_a_key_with_the_scope(nobody: APIClient, project: Project) -> None:
    assert nobody.get("/api/v1/keepers").status_code == 401
    assert _client("jobs:read", project=project).get("/api/v1/keepers").status_code == 403


def test_an_operator_suspends_reinstates_and_retires(project: Project) -> None:
    keeper, client = make_keeper(), _client()
    path = f"/api/v1/keepers/{keeper.address}"

    assert client.post(f"{path}/suspend", {"reason": "slow"}, format="json").data["status"] == "suspended"
    assert client.post(f"{path}/reinstate", {}, format="json").data["status"] == "registered"
    assert client.post(f"{path}/retire", {}, format="json").data["status"] == "retired"
    again = client.post(f"{path}/suspend", {}, format="json")
    assert (again.status_code, again.data["code"]) == (409, "illegal_transition")
    reader = _client("keepers:read", project=project)
    assert reader.post(f"{path}/suspend", {}, format="json").status_code == 403


def test_the_messages_of_another_hub_are_refused(nobody: APIClient, ports: FakePorts) -> None:
    ports.domain = type(DOMAIN)(chain_id=1, contract=DOMAIN.contract)

    answer = nobody.post("/keeper/register", SIGNER.sign(SIGNER.registration()), format="json")

    assert (answer.status_code, answer.data["code"]) == (403, "signature_invalid")

"""Small values of the chains app."""

import json
from uuid import UUID

import pytest

from apps.chains.data import DeployedVerifier, Deployment, KeeperStanding, project_word
from apps.chains.deploy import read_deployment, write_deployment
from apps.chains.errors import DeploymentMissing

ADDRESS = "0x" + "01" * 20


def test_a_projects_word_is_its_uuid_left_padded():
    assert project_word(UUID(int=258)) == bytes(30) + b"\x01\x02"


def make_deployment(**fields):
    names = ("registry", "escrow", "price_board", "alarm_board")
    values = {"chain_id": 5, "hub": ADDRESS, "block": 1, **dict.fromkeys(names, "0x" + "02" * 20)}
    return Deployment(**{**values, **fields})


def test_the_file_of_a_deployment_names_its_verifiers_by_circuit(tmp_path):
    path = tmp_path / "deployment.json"
    verifiers = tuple(
        DeployedVerifier(circuit=circuit, address=ADDRESS, vk_hash="0x" + "0a" * 32) for circuit in (16, 128)
    )
    deployment = make_deployment(verifiers=verifiers)
    write_deployment(path, deployment)
    record = {"address": ADDRESS, "vk_hash": "0x" + "0a" * 32}
    assert json.loads(path.read_text())["verifiers"] == {"16": record, "128": record}
    assert read_deployment(path) == deployment
    assert hash(read_deployment(path)) == hash(deployment)
    assert deployment.get_verifier(128) == verifiers[1]
    assert deployment.get_verifier(64) is None


def test_a_deployment_without_verifiers_can_be_read(tmp_path):
    path = tmp_path / "deployment.json"
    write_deployment(path, make_deployment())
    content = json.loads(path.read_text())
    assert content.pop("verifiers") == {}
    path.write_text(json.dumps(content))
    assert read_deployment(path) == make_deployment()


@pytest.mark.parametrize(
    "verifiers", [[], "x", {"16": {}}, {"x": {"address": ADDRESS, "vk_hash": "0x"}}, {"16": 5}]
)
def test_malformed_verifiers_make_the_file_unreadable(tmp_path, verifiers):
    path = tmp_path / "deployment.json"
    write_deployment(path, make_deployment())
    path.write_text(json.dumps({**json.loads(path.read_text()), "verifiers": verifiers}))
    with pytest.raises(DeploymentMissing):
        read_deployment(path)


def test_messages_are_bound_to_the_deployments_hub():
    deployment = make_deployment()
    assert deployment.typed_domain.chain_id == 5
    assert deployment.typed_domain.contract == ADDRESS


def test_a_stake_is_rounded_down_to_units():
    standing = KeeperStanding(
        address=ADDRESS,
        stake_wei=10**9 + 10**9 - 1,
        is_active=True,
        withdrawable_at=0,
        key_hash=b"",
        public_key=b"",
    )
    assert standing.stake_units == 1

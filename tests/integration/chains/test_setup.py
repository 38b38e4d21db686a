"""The set-up commands: everything once, nothing twice, and clear words where it cannot be."""

import dataclasses
import stat

import pytest
from django.core.management import CommandError

from apps.chains.anvil import AnvilProcess
from apps.chains.artifacts import get_abi
from apps.chains.data import Call, project_word
from apps.chains.deploy import read_deployment
from apps.chains.errors import DeploymentMissing, KeyFileInvalid
from apps.chains.keys import read_account, read_keystore
from apps.chains.models import Sender
from apps.chains.registry import get_active_count, get_deposits
from apps.chains.selectors import get_deployment, open_client, open_registry
from apps.kernel.ids import new_id, to_wire
from tests.integration.chains.driving import run
from tests.support.chain import close_clients, find_free_port

pytestmark = pytest.mark.django_db


def test_key_files_are_private_and_made_once(home):
    first = run("make_keystores")
    assert run("make_keystores") == first
    files = sorted(home.glob("keepers/*/keystore.json")) + sorted(home.glob("keys/*.json"))
    assert len(files) == 8
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert len({read_keystore(path).address for path in files[:5]}) == 5


def test_a_key_file_others_can_read_is_refused(home):
    run("make_keystores")
    path = home / "keys" / "dispatcher.json"
    path.chmod(0o644)
    with pytest.raises(KeyFileInvalid):
        read_account(path)


def test_set_up_deploys_registers_and_allows_once(home):
    run("make_keystores")
    assert "(deployed)" in run("chain_setup")
    deployment = get_deployment()
    assert get_active_count(open_client(), deployment) == 5
    assert Sender.objects.count() == 2
    keeper = read_keystore(home / "keepers" / "1" / "keystore.json")
    standing = open_registry().get_standing(keeper.address)
    assert standing.public_key == keeper.bls_public_key
    assert open_registry().get_stake_units(keeper.address) == 1_000_000_000

    head = open_client().get_nonces([read_account(home / "keys" / "dispatcher.json").address])
    second = run("chain_setup")
    assert "(already there)" in second
    assert "0 registered now" in second
    assert get_deployment() == deployment
    assert open_client().get_nonces(head) == head


def test_the_hub_follows_the_committee_size_of_the_settings(home, settings):
    run("make_keystores")
    run("chain_setup")
    attestation = dataclasses.replace(settings.FOREKEEP.attestation, committee_size=7)
    settings.FOREKEEP = dataclasses.replace(settings.FOREKEEP, attestation=attestation)
    run("chain_setup")
    call = Call(to=get_deployment().hub, data=get_abi("Hub").encode("committee_size"))
    assert int.from_bytes(open_client().call(call)) == 7


def test_a_deposit_is_paid_once_per_project(home):
    run("make_keystores")
    project = new_id()
    wire = to_wire("proj", project)
    assert "paid in" in run("chain_setup", "--project", wire, "--deposit-units", "5")
    assert "has a deposit" in run("chain_setup", "--project", wire, "--deposit-units", "5")
    (event,) = get_deposits(open_client(), get_deployment(), from_block=0)
    assert event.arguments["project"] == project_word(project)
    assert event.arguments["amount"] == 5 * 10**9


def test_on_an_empty_chain_an_old_deployment_file_is_replaced(home, settings, tmp_path):
    run("make_keystores")
    run("chain_setup")
    with AnvilProcess(tmp_path / "other", find_free_port(), 0.05) as node:
        chain = dataclasses.replace(settings.FOREKEEP.chain, rpc_url=node.url)
        close_clients()
        settings.FOREKEEP = dataclasses.replace(settings.FOREKEEP, chain=chain)
        assert "(deployed)" in run("chain_setup")
        assert get_active_count(open_client(), get_deployment()) == 5


def test_no_node_is_a_clear_word(home, settings):
    run("make_keystores")
    chain = dataclasses.replace(settings.FOREKEEP.chain, rpc_url=f"http://127.0.0.1:{find_free_port()}")
    settings.FOREKEEP = dataclasses.replace(settings.FOREKEEP, chain=chain)
    with pytest.raises(CommandError, match="does not answer"):
        run("chain_setup")


def test_no_keys_is_a_clear_word(home):
    with pytest.raises(CommandError, match="key file"):
        run("chain_setup")


def test_no_deployment_is_a_clear_word(home):
    with pytest.raises(DeploymentMissing):
        get_deployment()
    (home / "deployment.json").write_text("{}")
    with pytest.raises(DeploymentMissing):
        read_deployment(home / "deployment.json")

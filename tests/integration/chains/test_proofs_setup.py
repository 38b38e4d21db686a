"""`proofs_setup`: keys, verifiers and the requirement once; a new verifier for a new key and only then."""

import dataclasses
import json

import pytest
from django.core.management import CommandError

from apps.chains.anvil import AnvilProcess
from apps.chains.artifacts import get_abi
from apps.chains.data import Call
from apps.chains.deploy import ensure_verifiers
from apps.chains.direct import DirectCall, send_and_wait
from apps.chains.keys import read_account
from apps.chains.selectors import get_deployment, open_client
from apps.kernel.hashing import to_hex
from apps.proofs.keys import compute_key_path, ensure_keys, read_verifying_key
from tests.integration.chains.driving import run
from tests.support.chain import close_clients, find_free_port
from tests.support.proofs import seeded_draw

pytestmark = pytest.mark.django_db


@pytest.fixture
def network(home):
    """Contracts on the chain, keys (of a known seed: tests only) in the home."""
    ensure_keys(home / "proofs", 16, draw=seeded_draw(1))
    run("make_keystores", "--keepers", "1")
    run("chain_setup")
    return home


def ask(contract, address, function, *arguments):
    abi = get_abi(contract)
    output = open_client().call(Call(to=address, data=abi.encode(function, *arguments)))
    return abi.decode(function, output)[0]


def on_the_hub(circuit=16):
    """The verifier the hub has for a circuit."""
    return ask("Hub", get_deployment().hub, "verifiers", circuit)


def is_required():
    return ask("Hub", get_deployment().hub, "proofs_required")


def count_sent(home):
    deployer = read_account(home / "keys" / "dispatcher.json")
    return open_client().get_nonces([deployer.address])[deployer.address]


def replace_key(home, seed):
    compute_key_path(home / "proofs", 16).unlink()
    return ensure_keys(home / "proofs", 16, draw=seeded_draw(seed))


def set_required(settings, value):
    proofs = dataclasses.replace(settings.FOREKEEP.proofs, is_required=value)
    settings.FOREKEEP = dataclasses.replace(settings.FOREKEEP, proofs=proofs)


def test_a_verifier_of_the_key_is_deployed_registered_and_recorded(network):
    before = get_deployment()
    assert "(deployed)" in run("proofs_setup")
    key_hash = read_verifying_key(network / "proofs", 16).compute_hash()
    verifier = get_deployment().get_verifier(16)
    assert verifier.address == on_the_hub()
    assert verifier.vk_hash == to_hex(key_hash)
    assert ask("Verifier", verifier.address, "vk_hash") == key_hash
    content = json.loads((network / "deployment.json").read_text())
    assert content["verifiers"] == {"16": {"address": verifier.address, "vk_hash": verifier.vk_hash}}
    assert dataclasses.replace(get_deployment(), verifiers=()) == before
    assert is_required() is True


def test_a_second_run_changes_nothing(network):
    run("proofs_setup")
    sent = count_sent(network)
    files = [network / "deployment.json", compute_key_path(network / "proofs", 16)]
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in files]
    again = run("proofs_setup")
    assert "(already there)" in again
    assert "deployed" not in again
    assert count_sent(network) == sent
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in files] == before


def test_chain_setup_after_it_keeps_the_verifiers(network):
    run("proofs_setup")
    known = get_deployment()
    run("chain_setup")
    assert get_deployment() == known


def test_keys_that_are_missing_are_made(home):
    run("make_keystores", "--keepers", "1")
    run("chain_setup")
    run("proofs_setup")
    key = read_verifying_key(home / "proofs", 16)
    assert get_deployment().get_verifier(16).vk_hash == to_hex(key.compute_hash())


def test_another_key_leads_to_another_verifier(network):
    run("proofs_setup")
    old = get_deployment().get_verifier(16)
    key = replace_key(network, 2)
    assert "(deployed)" in run("proofs_setup")
    new = get_deployment().get_verifier(16)
    assert new.address == on_the_hub() != old.address
    assert new.vk_hash == to_hex(key.compute_hash()) != old.vk_hash
    assert "(already there)" in run("proofs_setup")


def test_what_the_file_has_forgotten_is_recorded_again_and_not_deployed(network):
    run("proofs_setup")
    known = get_deployment()
    content = json.loads((network / "deployment.json").read_text())
    (network / "deployment.json").write_text(json.dumps({**content, "verifiers": {}}))
    sent = count_sent(network)
    assert "(already there)" in run("proofs_setup")
    assert get_deployment() == known
    assert count_sent(network) == sent


def test_what_the_file_says_is_not_believed(network):
    run("proofs_setup")
    known = get_deployment()
    content = json.loads((network / "deployment.json").read_text())
    content["verifiers"]["16"]["address"] = content["registry"]
    (network / "deployment.json").write_text(json.dumps(content))
    run("proofs_setup")
    assert get_deployment() == known


def test_a_contract_that_is_no_verifier_is_replaced(network):
    run("proofs_setup")
    deployment = get_deployment()
    data = get_abi("Hub").encode("set_verifier", 16, deployment.registry)
    deployer = read_account(network / "keys" / "dispatcher.json")
    call = DirectCall(purpose="test", key=deployer, to=deployment.hub, data=data)
    send_and_wait(open_client(), deployment.chain_id, [call])
    assert "(deployed)" in run("proofs_setup")
    assert on_the_hub() == get_deployment().get_verifier(16).address != deployment.registry


def test_each_circuit_gets_its_own_verifier_and_only_the_changed_one_a_new_one(network):
    path, deployer = network / "deployment.json", read_account(network / "keys" / "dispatcher.json")
    first = read_verifying_key(network / "proofs", 16)
    second = replace_key(network, 2)
    keys = {number: (key.words, key.compute_hash()) for number, key in ((64, second), (16, first))}
    made, new = ensure_verifiers(open_client(), deployer, path, get_deployment(), keys)
    assert (new, [one.circuit for one in made.verifiers]) == ([16, 64], [16, 64])
    assert made == get_deployment()

    changed, new = ensure_verifiers(open_client(), deployer, path, made, {64: keys[16]})
    assert new == [64]
    assert changed.get_verifier(16) == made.get_verifier(16)
    assert changed.get_verifier(64).vk_hash == made.get_verifier(16).vk_hash
    assert on_the_hub(16) == made.get_verifier(16).address
    assert on_the_hub(64) == changed.get_verifier(64).address == get_deployment().get_verifier(64).address


def test_whether_proofs_are_required_follows_the_settings(network, settings):
    set_required(settings, False)
    assert "not required" in run("proofs_setup")
    assert is_required() is False
    for value in (True, False, True):
        set_required(settings, value)
        run("proofs_setup")
        assert is_required() is value


def test_on_a_chain_that_was_started_afresh_it_is_all_done_again(network, settings, tmp_path):
    run("proofs_setup")
    with AnvilProcess(tmp_path / "other", find_free_port(), 0.05) as node:
        close_clients()
        chain = dataclasses.replace(settings.FOREKEEP.chain, rpc_url=node.url)
        settings.FOREKEEP = dataclasses.replace(settings.FOREKEEP, chain=chain)
        run("chain_setup")
        assert get_deployment().verifiers == ()
        assert "(deployed)" in run("proofs_setup")
        assert on_the_hub() == get_deployment().get_verifier(16).address
        close_clients()


def test_without_contracts_there_is_a_clear_word(home):
    run("make_keystores", "--keepers", "1")
    with pytest.raises(CommandError, match="chain_setup"):
        run("proofs_setup")


def test_on_another_chain_there_is_a_clear_word(network):
    content = json.loads((network / "deployment.json").read_text())
    (network / "deployment.json").write_text(json.dumps({**content, "chain_id": 5}))
    with pytest.raises(CommandError, match="another chain"):
        run("proofs_setup")


def test_a_key_file_that_cannot_be_read_is_a_clear_word_and_stays(network):
    path = compute_key_path(network / "proofs", 16)
    path.write_bytes(b"{}\n")
    with pytest.raises(CommandError, match="cannot be used"):
        run("proofs_setup")
    assert path.read_bytes() == b"{}\n"
    assert get_deployment().verifiers == ()

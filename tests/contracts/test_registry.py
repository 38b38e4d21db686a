"""The keeper registry: who may join, with what, and how they leave."""

import pytest

from apps.chains.artifacts import get_abi
from apps.chains.deploy import fund_local
from apps.chains.keys import ensure_keystore
from apps.chains.registry import ChainRegistry, get_active_count, get_standings
from apps.kernel import bls
from tests.contracts.building import read, why_refused
from tests.support.chain import STAKE_WEI


@pytest.fixture
def newcomer(chain, tmp_path):
    """A keeper with money and keys, not registered."""
    keys = ensure_keystore(tmp_path / "keystore.json")
    fund_local(chain.client, [keys.address])
    return keys


def registration(keeper, *, key=None, proof=None):
    key = keeper.bls_public_key if key is None else key
    proof = bls.prove_possession(keeper.bls_secret, keeper.address) if proof is None else proof
    return get_abi("Registry").encode("register", key, proof)


def why_not_registered(chain, keeper, data, stake_wei=STAKE_WEI):
    return why_refused(chain, data, key=keeper.account, to=chain.deployment.registry, value_wei=stake_wei)


def call_registry(chain, keeper, function, value_wei=0):
    return why_refused(
        chain,
        get_abi("Registry").encode(function),
        key=keeper.account,
        to=chain.deployment.registry,
        value_wei=value_wei,
    )


def pass_time(chain, seconds):
    chain.node.request("evm_increaseTime", seconds)
    chain.mine()


def test_a_keeper_with_stake_and_possession_joins(chain, newcomer):
    assert why_not_registered(chain, newcomer, registration(newcomer)) is None
    standing = ChainRegistry(chain.client, chain.deployment).get_standing(newcomer.address)
    assert standing.is_active
    assert standing.stake_wei == STAKE_WEI
    assert standing.public_key == newcomer.bls_public_key
    assert get_active_count(chain.client, chain.deployment) == 6


def test_a_strangers_standing_is_all_zero(chain, newcomer):
    standing = get_standings(chain.client, chain.deployment, [newcomer.address])[newcomer.address]
    assert (standing.stake_wei, standing.is_active, standing.public_key) == (0, False, b"")


def test_seventy_standings_are_read_in_sets(chain):
    addresses = [keeper.address for keeper in chain.keepers] + [
        "0x" + bytes([n]).hex() * 20 for n in range(65)
    ]
    standings = get_standings(chain.client, chain.deployment, addresses)
    assert len(standings) == 70
    assert sum(standing.is_active for standing in standings.values()) == 5


def test_too_small_a_stake_is_refused(chain, newcomer):
    assert why_not_registered(chain, newcomer, registration(newcomer), STAKE_WEI - 1) == "stake"


def test_registering_twice_is_refused(chain):
    keeper = chain.keepers[0]
    assert why_not_registered(chain, keeper, registration(keeper)) == "registered"


def test_another_keepers_key_is_refused_even_with_possession(chain, newcomer):
    taken = chain.keepers[0]
    proof = bls.prove_possession(taken.bls_secret, newcomer.address)
    data = registration(newcomer, key=taken.bls_public_key, proof=proof)
    assert why_not_registered(chain, newcomer, data) == "key taken"


def test_a_possession_proof_of_another_address_is_refused(chain, newcomer):
    proof = bls.prove_possession(newcomer.bls_secret, chain.keepers[0].address)
    assert why_not_registered(chain, newcomer, registration(newcomer, proof=proof)) == "possession"


def test_a_plain_signature_is_no_possession_proof(chain, newcomer):
    message = bls.possession_message(newcomer.bls_public_key, newcomer.address)
    proof = bls.sign(newcomer.bls_secret, message)
    assert why_not_registered(chain, newcomer, registration(newcomer, proof=proof)) == "possession"


@pytest.mark.parametrize("key", [bytes(256), b"", bytes(255)], ids=["identity", "empty", "short"])
def test_an_identity_or_short_key_is_refused(chain, newcomer, key):
    assert (
        why_not_registered(chain, newcomer, registration(newcomer, key=key, proof=bytes(128))) == "possession"
    )


def test_a_key_off_the_curve_is_refused(chain, newcomer):
    key = newcomer.bls_public_key[:-1] + bytes([newcomer.bls_public_key[-1] ^ 1])
    assert why_not_registered(chain, newcomer, registration(newcomer, key=key)) is not None


def test_leaving_takes_a_request_and_the_cool_down(chain):
    keeper = chain.keepers[4]
    assert call_registry(chain, keeper, "withdraw") == "not requested"
    assert call_registry(chain, keeper, "request_withdraw") is None
    assert get_active_count(chain.client, chain.deployment) == 4
    assert call_registry(chain, keeper, "request_withdraw") == "not active"
    pass_time(chain, 3_500)
    assert call_registry(chain, keeper, "withdraw") == "cool-down"
    pass_time(chain, 200)

    before = chain.client.get_balances([keeper.address])[keeper.address]
    assert call_registry(chain, keeper, "withdraw") is None
    after = chain.client.get_balances([keeper.address])[keeper.address]
    assert STAKE_WEI - 10**16 < after - before < STAKE_WEI
    assert call_registry(chain, keeper, "withdraw") == "not requested"


def test_a_keeper_that_left_may_come_back_with_its_key(chain):
    keeper = chain.keepers[4]
    call_registry(chain, keeper, "request_withdraw")
    assert why_not_registered(chain, keeper, registration(keeper)) == "registered"
    pass_time(chain, 3_700)
    call_registry(chain, keeper, "withdraw")
    assert why_not_registered(chain, keeper, registration(keeper)) is None
    assert get_active_count(chain.client, chain.deployment) == 5


def test_stake_can_be_added_by_active_keepers_only(chain, newcomer):
    keeper = chain.keepers[0]
    assert call_registry(chain, keeper, "add_stake", value_wei=5) is None
    assert read(chain, "Registry", chain.deployment.registry, "stake_of", keeper.address) == STAKE_WEI + 5
    assert call_registry(chain, newcomer, "add_stake", value_wei=5) == "not active"

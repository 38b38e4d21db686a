"""The typed client against a real node."""

from contextlib import closing

import pytest
from web3 import Web3

from apps.chains.artifacts import get_abi
from apps.chains.client import ChainClient
from apps.chains.data import Call
from apps.chains.domain.sending import SendOutcome
from apps.chains.errors import CallReverted, ChainFault, ChainUnreachable, WrongChain
from apps.chains.rpc import RpcCall, RpcFault, RpcTransport
from tests.support.chain import find_free_port


def report_call(chain, sender):
    data = get_abi("PriceBoard").encode("report", b"\x01" * 32, 5)
    return Call(to=chain.deployment.price_board, data=data, sender=sender)


def test_a_call_that_reverts_tells_the_contracts_reason(chain):
    with pytest.raises(CallReverted) as caught:
        chain.client.call(report_call(chain, chain.submitters[0].address))
    assert caught.value.reason == "hub"


def test_a_set_of_calls_is_tried_out_independently(chain):
    good = report_call(chain, chain.deployment.hub)
    bad = report_call(chain, chain.submitters[0].address)
    unknown = Call(to=chain.deployment.price_board, data=b"\x01\x02\x03\x04")
    results = chain.client.simulate([good, bad, good, unknown], with_gas=True)
    assert [result.is_success for result in results] == [True, False, True, False]
    assert results[0].gas_used is not None
    assert 40_000 < results[0].gas_used < 100_000
    assert results[1].reason == "hub"


def test_a_call_that_runs_out_of_gas_is_a_verdict(chain):
    call = report_call(chain, chain.deployment.hub)
    (result,) = chain.client.simulate(
        [Call(to=call.to, data=call.data, sender=call.sender, gas_limit=30_000)]
    )
    assert not result.is_success
    assert "gas" in result.reason.lower()


def test_nobody_there_is_unreachable_and_the_url_stays_secret():
    client = ChainClient(f"http://user:hunter2@127.0.0.1:{find_free_port()}/key-123")
    with pytest.raises(ChainUnreachable) as caught:
        client.get_head()
    assert "hunter2" not in str(caught.value)
    assert "key-123" not in str(caught.value)


def test_a_refused_request_is_a_fault_with_the_nodes_words(chain):
    with pytest.raises(ChainFault) as caught:
        chain.client.request("no_suchMethod")
    assert caught.value.rpc_code == -32601


def test_another_chain_is_refused(chain):
    chain.client.require_chain(31337)
    with pytest.raises(WrongChain):
        chain.client.require_chain(1)


def test_one_refused_call_does_not_hide_the_others(chain):
    calls = [RpcCall("eth_chainId"), RpcCall("no_suchMethod"), RpcCall("eth_chainId")]
    with closing(RpcTransport(chain.node.url, 5.0)) as transport:
        first, second, third = transport.batch(calls)
    assert first == third == "0x7a69"
    assert isinstance(second, RpcFault)


def test_a_large_batch_is_cut_into_parts_and_stays_in_order(chain):
    addresses = [f"0x{number:040x}" for number in range(1, 1_001)]
    chain.client.set_balance(addresses[777], 5)
    calls = [RpcCall("eth_getBalance", (address, "latest")) for address in addresses]
    with closing(RpcTransport(chain.node.url, 10.0)) as transport:
        balances = transport.batch(calls)
    assert [position for position, balance in enumerate(balances) if balance != "0x0"] == [777]


def test_a_connection_the_node_closed_is_opened_again(own_chain):
    assert own_chain.client.get_chain_id() == 31337
    own_chain.node.kill()
    own_chain.node.start()
    assert own_chain.client.get_chain_id() == 31337


def test_garbage_is_refused_for_good(chain):
    ((outcome, words),) = chain.client.send_raw([b"\x02\x03"])
    assert outcome is SendOutcome.REFUSED
    assert words


def test_block_hashes_balances_codes_and_nonces_come_in_sets(chain):
    chain.mine(3)
    head = chain.client.get_head()
    hashes = chain.client.get_block_hashes([head.number, head.number - 1, head.number + 10_000])
    assert hashes[head.number] == head.hash
    assert set(hashes) == {head.number, head.number - 1}
    codes = chain.client.get_codes([chain.deployment.hub, chain.submitters[0].address])
    assert [bool(code) for code in codes.values()] == [True, False]
    assert chain.client.get_fees().max_fee_wei > 0


def test_our_answers_are_those_of_web3(chain):
    """web3 as the oracle for what the leaner client reads."""
    oracle = Web3(Web3.HTTPProvider(chain.node.url))
    block = oracle.eth.get_block(1)
    assert chain.client.get_block_hashes([1]) == {1: "0x" + block["hash"].hex().removeprefix("0x")}
    keeper = chain.keepers[0].address
    assert chain.client.get_nonces([keeper]) == {
        keeper: oracle.eth.get_transaction_count(Web3.to_checksum_address(keeper))
    }

"""Simulating calls on a real EVM node."""

from collections.abc import Iterator

import pytest

from apps.chains.anvil import AnvilProcess
from apps.execution.domain.action import Action
from project.embedded.redis import free_port
from tests.factories.keepers import DOMAIN
from workers.keeper.errors import BlockUnavailable, ChainUnavailable
from workers.keeper.rpc import ChainRpc

REVERTS, LOOPS, STORES, BARE = (f"0x{n:040x}" for n in (0xA1, 0xA2, 0xA3, 0xA4))
_ERROR = "08c379a0" + f"{32:064x}" + f"{2:064x}" + b"no".hex().ljust(64, "0")
_SIZE = f"{len(_ERROR) // 2:02x}"


@pytest.fixture(scope="module")
def anvil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnvilProcess]:
    """A node with a few tiny contracts: one reverts, one loops for ever, one stores a word."""
    with AnvilProcess(tmp_path_factory.mktemp("chain"), free_port()) as node:
        node.request("anvil_setCode", REVERTS, f"0x60{_SIZE}600c60003960{_SIZE}6000fd{_ERROR}")
        node.request("anvil_setCode", LOOPS, "0x5b600056")
        node.request("anvil_setCode", STORES, "0x600160005500")
        node.request("anvil_setCode", DOMAIN.contract, "0x00")
        yield node


@pytest.fixture
def chain(anvil: AnvilProcess) -> Iterator[ChainRpc]:
    """A client of it."""
    rpc = ChainRpc(anvil.url)
    yield rpc
    rpc.close()


def _action(target: str, gas_limit: int = 100_000) -> Action:
    return Action(target=target, call_data=b"\x12\x34\x56\x78", gas_limit=gas_limit)


def test_calls_are_judged_together_as_the_chain_would_carry_them_out(chain: ChainRpc) -> None:
    actions = [_action(target) for target in (STORES, REVERTS, LOOPS, BARE)]

    stores, reverts, loops, bare = chain.simulate(actions, sender=DOMAIN.contract, block=chain.get_head())

    assert stores.failure is None
    assert 43_000 < stores.gas_used < 45_000
    assert reverts.failure == "no"
    assert "gas" in (loops.failure or "").lower()
    assert bare.failure == "the target is no contract"


def test_a_gas_limit_too_small_for_the_call_fails_it(chain: ChainRpc) -> None:
    (simulation,) = chain.simulate(
        [_action(STORES, gas_limit=5_000)], sender=DOMAIN.contract, block=chain.get_head()
    )

    assert simulation.failure is not None


def test_the_same_block_gives_the_same_gas(chain: ChainRpc) -> None:
    head = chain.get_head()

    assert chain.simulate([_action(STORES)], sender=DOMAIN.contract, block=head) == chain.simulate(
        [_action(STORES)], sender=DOMAIN.contract, block=head
    )


def test_a_block_the_chain_does_not_have_is_told_apart(chain: ChainRpc) -> None:
    with pytest.raises(BlockUnavailable):
        chain.simulate([_action(STORES)], sender=DOMAIN.contract, block=10**9)


def test_a_chain_that_is_not_there_is_unavailable() -> None:
    rpc = ChainRpc(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(ChainUnavailable):
        rpc.get_head()
    rpc.close()

"""A real chain for tests: a private anvil with the contracts deployed and five keepers registered.

Import the fixtures into a `conftest.py` (`from tests.support.chain import anvil, chain, deployed`).
`anvil` and `deployed` live as long as the test process; `chain` is what a test takes: the same chain, put
back afterwards to what it was, with Django's settings pointing at it. With a database, call
`chain.prepare_senders()` before `outbound_sign`.
"""

import dataclasses
import itertools
import socket
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from apps.chains.anvil import AnvilProcess
from apps.chains.client import ChainClient
from apps.chains.data import Deployment, Receipt, SettlementItem
from apps.chains.deploy import (
    deploy_contracts,
    ensure_keepers,
    ensure_submitters,
    fund_local,
    write_deployment,
)
from apps.chains.direct import DirectCall, send_and_wait
from apps.chains.domain.settlement_abi import ProofWords, compute_gas_limit, encode_batch, leaf_of
from apps.chains.keys import AccountKey, KeeperKeys, ensure_account, ensure_keystore
from apps.chains.selectors import _open_client, open_client
from apps.chains.services import senders_ensure
from apps.kernel import bls
from apps.kernel.merkle import merkle_root
from apps.kernel.settlement_hash import settlement_message

KEEPERS = 5
STAKE_WEI = 10**18
#: Short, so that confirmations come quickly.
BLOCK_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedChain:
    """A chain with everything on it. `home` holds the key files and `deployment.json`."""

    node: AnvilProcess
    client: ChainClient
    home: Path
    deployment: Deployment
    deployer: AccountKey
    submitters: tuple[AccountKey, ...]
    keepers: tuple[KeeperKeys, ...]

    def sign_root(self, root: bytes, attesters: Sequence[KeeperKeys]) -> bytes:
        """The attesters' aggregated signature over a batch's root."""
        message = settlement_message(chain_id=self.deployment.chain_id, hub=self.deployment.hub, root=root)
        return bls.aggregate([bls.sign(keeper.bls_secret, message) for keeper in attesters])

    def batch_data(
        self,
        items: Sequence[SettlementItem],
        attesters: Sequence[KeeperKeys],
        *,
        proofs: Sequence[ProofWords] = (),
        leaves: Sequence[bytes] | None = None,
    ) -> bytes:
        """Call data of a validly signed `submitBatch`; `leaves` where the round has more than the items."""
        leaves = leaves or [leaf_of(item) for item in items]
        return encode_batch(
            leaves,
            [leaves.index(leaf_of(item)) for item in items],
            items,
            items[0].circuit,
            proofs,
            self.sign_root(merkle_root(leaves), attesters),
            [keeper.address for keeper in attesters],
        )

    def submit(
        self,
        items: Sequence[SettlementItem],
        attesters: Sequence[KeeperKeys],
        *,
        proofs: Sequence[ProofWords] = (),
        leaves: Sequence[bytes] | None = None,
        gas_limit: int | None = None,
    ) -> Receipt:
        """Send a validly signed batch and wait for its receipt."""
        limit = compute_gas_limit(items, len(attesters), len(leaves or items))
        return self.send(
            self.submitters[0],
            self.deployment.hub,
            self.batch_data(items, attesters, proofs=proofs, leaves=leaves),
            gas_limit=gas_limit or limit,
        )

    def send(
        self,
        key: AccountKey,
        to: str | None,
        data: bytes,
        *,
        value_wei: int = 0,
        gas_limit: int | None = None,
    ) -> Receipt:
        """Send one transaction and wait; TransactionFailed where it reverts."""
        call = DirectCall(purpose="test", key=key, to=to, data=data, value_wei=value_wei, gas_limit=gas_limit)
        (receipt,) = send_and_wait(self.client, self.deployment.chain_id, [call])
        return receipt

    def mine(self, blocks: int = 1) -> None:
        """Add empty blocks at once."""
        self.node.request("anvil_mine", hex(blocks))

    def prepare_senders(self) -> None:
        """Sender rows for the submitters, at the nonces this chain has now. Needs the database."""
        addresses = [account.address for account in self.submitters]
        senders_ensure(
            addresses=addresses,
            chain_id=self.deployment.chain_id,
            mined_nonces=self.client.get_nonces(addresses),
        )


def find_free_port() -> int:
    """A free loopback port."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def deploy_on(node: AnvilProcess, home: Path, *, keepers: int = KEEPERS) -> DeployedChain:
    """Key files, contracts, submitters and registered keepers on a running node."""
    client = ChainClient(node.url)
    deployer = ensure_account(home / "keys" / "dispatcher.json")
    submitters = tuple(ensure_account(home / "keys" / f"submitter-{n}.json") for n in (1, 2))
    stores = [home / "keepers" / str(n) / "keystore.json" for n in range(1, keepers + 1)]
    registered = tuple(ensure_keystore(path) for path in stores)
    accounts = [deployer, *submitters, *(keeper.account for keeper in registered)]
    fund_local(client, [account.address for account in accounts])
    deployment = deploy_contracts(client, deployer, min_stake_wei=STAKE_WEI, committee_size=5)
    write_deployment(home / "deployment.json", deployment)
    ensure_submitters(client, deployer, deployment, [account.address for account in submitters])
    ensure_keepers(client, deployment, registered, stake_wei=STAKE_WEI)
    return DeployedChain(
        node=node,
        client=client,
        home=home,
        deployment=deployment,
        deployer=deployer,
        submitters=submitters,
        keepers=registered,
    )


def point_settings_at(settings: Settings, target: DeployedChain, **chain_fields: object) -> None:
    """Let Django's settings name this chain, its deployment and its keys; extra fields of `chain` too."""
    fields = {
        "rpc_url": target.node.url,
        "deployment_file": target.home / "deployment.json",
        "dispatcher_key_file": target.home / "keys" / "dispatcher.json",
        "submitter_key_files": tuple(target.home / "keys" / f"submitter-{n}.json" for n in (1, 2)),
        "poll_seconds": 0.0,
        **chain_fields,
    }
    tree = settings.FOREKEEP
    settings.FOREKEEP = dataclasses.replace(tree, chain=dataclasses.replace(tree.chain, **fields))


def close_clients() -> None:
    """Close what `open_client` opened for the present settings, so that no socket outlives the test."""
    open_client().close()
    _open_client.cache_clear()


@pytest.fixture(scope="session")
def anvil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnvilProcess]:
    """One private EVM node per test process."""
    state = tmp_path_factory.mktemp("anvil")
    with AnvilProcess(state, find_free_port(), BLOCK_SECONDS) as node:
        yield node


@pytest.fixture(scope="session")
def deployed(anvil: AnvilProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedChain]:
    """The contracts on it, with five registered keepers."""
    target = deploy_on(anvil, tmp_path_factory.mktemp("chain-home"))
    yield target
    target.client.close()


_tests = itertools.count(1)


def _take_nonces_of_its_own(deployed: DeployedChain) -> None:
    """The node remembers receipts of blocks that were undone: the same transaction again, under the same
    nonce, would be answered with the receipt of another test's."""
    accounts = [deployed.deployer, *deployed.submitters, *(keeper.account for keeper in deployed.keepers)]
    first = 1_000 * next(_tests)
    for account in accounts:
        nonce = int(deployed.node.request("eth_getTransactionCount", account.address, "latest"), 16)
        deployed.node.request("anvil_setNonce", account.address, hex(nonce + first))


@pytest.fixture
def chain(deployed: DeployedChain, settings: Settings) -> Iterator[DeployedChain]:
    """The deployed chain for one test: settings point at it, and the test's blocks are undone afterwards."""
    point_settings_at(settings, deployed)
    snapshot = deployed.node.request("evm_snapshot")
    _take_nonces_of_its_own(deployed)
    yield deployed
    close_clients()
    deployed.node.request("evm_revert", snapshot)

"""Setting a network up on a chain: contracts, submitters, verifiers, keepers with stakes, first deposits.

Every step looks first and does only what is missing, so running it again changes nothing. On a local
node the accounts are given money; elsewhere they must have it (FundsMissing says how much).
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from apps.chains import registry
from apps.chains.artifacts import get_abi, get_artifact
from apps.chains.client import ChainClient
from apps.chains.data import Call, DeployedVerifier, Deployment
from apps.chains.direct import DirectCall, send_and_wait
from apps.chains.domain.transaction import compute_contract_address
from apps.chains.errors import DeploymentMissing
from apps.chains.keys import AccountKey, KeeperKeys
from apps.kernel import bls
from apps.kernel.hashing import to_hex

COOLDOWN_SECONDS: Final = 3_600
#: What each account is given on a local node: a million coins.
LOCAL_BALANCE_WEI: Final = 10**24
_FIELDS: Final = ("hub", "registry", "escrow", "price_board", "alarm_board")


def read_deployment(path: Path) -> Deployment:
    """Read `deployment.json`; raise DeploymentMissing(path, reason)."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Deployment(
            chain_id=int(content["chain_id"]),
            block=int(content["block"]),
            verifiers=_read_verifiers(content.get("verifiers", {})),
            **{name: str(content[name]).lower() for name in _FIELDS},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise DeploymentMissing(path=str(path), reason=f"{type(exc).__name__}: {exc}"[:200]) from None


def write_deployment(path: Path, deployment: Deployment) -> None:
    """Write `deployment.json` as a whole."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    verifiers = {
        str(one.circuit): {"address": one.address, "vk_hash": one.vk_hash} for one in deployment.verifiers
    }
    content = {**asdict(deployment), "verifiers": verifiers}
    draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, path)


def is_deployed(client: ChainClient, deployment: Deployment) -> bool:
    """Whether this chain has code at every address of the deployment."""
    if client.get_chain_id() != deployment.chain_id:
        return False
    codes = client.get_codes([getattr(deployment, name) for name in _FIELDS])
    return all(codes.values())


def fund_local(client: ChainClient, addresses: Sequence[str]) -> bool:
    """Give each poor account money where the node is a local one; whether it is."""
    if not client.is_local_node():
        return False
    for address, balance in client.get_balances(addresses).items():
        if balance < LOCAL_BALANCE_WEI // 2:
            client.set_balance(address, LOCAL_BALANCE_WEI)
    return True


def deploy_contracts(
    client: ChainClient, deployer: AccountKey, *, min_stake_wei: int, committee_size: int
) -> Deployment:
    """Deploy all contracts but the verifiers, owned by the deployer, and return where they are."""
    chain_id = client.get_chain_id()
    nonce = client.get_nonces([deployer.address])[deployer.address]
    where = [compute_contract_address(deployer.address, nonce + at) for at in range(len(_FIELDS))]
    registry_address, hub = where[0], where[1]
    codes = [
        _creation("Registry", min_stake_wei, COOLDOWN_SECONDS),
        _creation("Hub", registry_address, committee_size),
        _creation("Escrow"),
        _creation("PriceBoard", hub),
        _creation("AlarmBoard", hub),
    ]
    calls = [DirectCall(purpose="deploy", key=deployer, to=None, data=code) for code in codes]
    receipts = send_and_wait(client, chain_id, calls)
    return Deployment(
        chain_id=chain_id,
        registry=registry_address,
        hub=hub,
        escrow=where[2],
        price_board=where[3],
        alarm_board=where[4],
        block=min(receipt.block_number for receipt in receipts),
    )


def ensure_deployed(
    client: ChainClient,
    deployer: AccountKey,
    path: Path,
    *,
    min_stake_wei: int,
    committee_size: int,
) -> tuple[Deployment, bool]:
    """The deployment of the file where its contracts are on this chain, else a new one; whether it is new."""
    try:
        known = read_deployment(path)
        if is_deployed(client, known):
            return known, False
    except DeploymentMissing:
        pass
    deployment = deploy_contracts(
        client, deployer, min_stake_wei=min_stake_wei, committee_size=committee_size
    )
    write_deployment(path, deployment)
    return deployment, True


def ensure_submitters(
    client: ChainClient, deployer: AccountKey, deployment: Deployment, addresses: Sequence[str]
) -> list[str]:
    """Put each address on the hub's allow-list; return those that were not on it."""
    hub = get_abi("Hub")
    checks = [Call(to=deployment.hub, data=hub.encode("submitters", address)) for address in addresses]
    answers = client.simulate(checks)
    missing = [
        address
        for address, answer in zip(addresses, answers, strict=True)
        if not hub.decode("submitters", answer.output)[0]
    ]
    calls = [
        DirectCall(
            purpose="set_submitter",
            key=deployer,
            to=deployment.hub,
            data=hub.encode("set_submitter", address, True),
        )
        for address in missing
    ]
    send_and_wait(client, deployment.chain_id, calls)
    return missing


def ensure_committee_size(
    client: ChainClient, deployer: AccountKey, deployment: Deployment, size: int
) -> bool:
    """Let the hub ask for committees of this size; whether it had to be told."""
    hub = get_abi("Hub")
    output = client.call(Call(to=deployment.hub, data=hub.encode("committee_size")))
    if hub.decode("committee_size", output)[0] == size:
        return False
    data = hub.encode("set_committee_size", size)
    call = DirectCall(purpose="set_committee_size", key=deployer, to=deployment.hub, data=data)
    send_and_wait(client, deployment.chain_id, [call])
    return True


def ensure_verifiers(
    client: ChainClient,
    deployer: AccountKey,
    path: Path,
    deployment: Deployment,
    keys: Mapping[int, tuple[Sequence[int], bytes]],
) -> tuple[Deployment, list[int]]:
    """Have the hub check each circuit's proofs with this key (its words and their hash), and record that.

    The hub is asked what it has: a verifier with another key's hash, or none, is replaced by a new one.
    Returns the deployment as recorded at `path`, and the circuits that got a new verifier.
    """
    present = _get_verifiers(client, deployment, sorted(keys))
    stale = [number for number in sorted(keys) if present[number].vk_hash != to_hex(keys[number][1])]
    made = _deploy_verifiers(client, deployer, deployment, {number: keys[number] for number in stale})
    hub = get_abi("Hub")
    calls = [
        DirectCall(
            purpose="set_verifier",
            key=deployer,
            to=deployment.hub,
            data=hub.encode("set_verifier", number, made[number].address),
        )
        for number in stale
    ]
    send_and_wait(client, deployment.chain_id, calls)

    known = {one.circuit: one for one in deployment.verifiers} | present | made
    recorded = replace(deployment, verifiers=tuple(known[number] for number in sorted(known)))
    if recorded != deployment:
        write_deployment(path, recorded)
    return recorded, stale


def ensure_proofs_required(
    client: ChainClient, deployer: AccountKey, deployment: Deployment, is_required: bool
) -> bool:
    """Let the hub refuse tasks without a proof, or take them; whether it had to be told."""
    hub = get_abi("Hub")
    output = client.call(Call(to=deployment.hub, data=hub.encode("proofs_required")))
    if hub.decode("proofs_required", output)[0] == is_required:
        return False
    data = hub.encode("set_proofs_required", is_required)
    call = DirectCall(purpose="set_proofs_required", key=deployer, to=deployment.hub, data=data)
    send_and_wait(client, deployment.chain_id, [call])
    return True


def ensure_keepers(
    client: ChainClient, deployment: Deployment, keepers: Sequence[KeeperKeys], *, stake_wei: int
) -> list[str]:
    """Register each keeper that is not active, with its stake and proof of possession; return those."""
    standings = registry.get_standings(client, deployment, [keeper.address for keeper in keepers])
    missing = [keeper for keeper in keepers if not standings[keeper.address].is_active]
    calls = [
        DirectCall(
            purpose="register",
            key=keeper.account,
            to=deployment.registry,
            data=get_abi("Registry").encode(
                "register",
                keeper.bls_public_key,
                bls.prove_possession(keeper.bls_secret, keeper.address),
            ),
            value_wei=stake_wei,
        )
        for keeper in missing
    ]
    send_and_wait(client, deployment.chain_id, calls)
    return [keeper.address for keeper in missing]


def ensure_deposit(
    client: ChainClient,
    deployment: Deployment,
    payer: AccountKey,
    project: bytes,
    amount_wei: int,
    *,
    is_again: bool = False,
) -> bool:
    """Pay in for a project (its id as 32 bytes); whether it was paid.

    One that has paid in before gets no second deposit unless `is_again`.
    """
    escrow = get_abi("Escrow")
    held = client.call(Call(to=deployment.escrow, data=escrow.encode("deposited", project)))
    if escrow.decode("deposited", held)[0] > 0 and not is_again:
        return False
    call = DirectCall(
        purpose="deposit",
        key=payer,
        to=deployment.escrow,
        data=escrow.encode("deposit", project),
        value_wei=amount_wei,
    )
    send_and_wait(client, deployment.chain_id, [call])
    return True


def _read_verifiers(content: Mapping[str, Any]) -> tuple[DeployedVerifier, ...]:
    found = [
        DeployedVerifier(
            circuit=int(circuit), address=str(one["address"]).lower(), vk_hash=str(one["vk_hash"]).lower()
        )
        for circuit, one in content.items()
    ]
    return tuple(sorted(found, key=lambda one: one.circuit))


def _get_verifiers(
    client: ChainClient, deployment: Deployment, circuits: Sequence[int]
) -> dict[int, DeployedVerifier]:
    """What the hub has for each circuit; where that is no verifier, its hash is none."""
    hub, verifier = get_abi("Hub"), get_abi("Verifier")
    questions = [Call(to=deployment.hub, data=hub.encode("verifiers", number)) for number in circuits]
    addresses = [hub.decode("verifiers", client.call(question))[0] for question in questions]
    answers = client.simulate([Call(to=at, data=verifier.encode("vk_hash")) for at in addresses])
    return {
        number: DeployedVerifier(
            circuit=number, address=address, vk_hash=to_hex(answer.output) if answer.is_success else ""
        )
        for number, address, answer in zip(circuits, addresses, answers, strict=True)
    }


def _deploy_verifiers(
    client: ChainClient,
    deployer: AccountKey,
    deployment: Deployment,
    keys: Mapping[int, tuple[Sequence[int], bytes]],
) -> dict[int, DeployedVerifier]:
    calls = [
        DirectCall(purpose="deploy", key=deployer, to=None, data=_creation("Verifier", list(words)))
        for words, _ in keys.values()
    ]
    receipts = send_and_wait(client, deployment.chain_id, calls)
    return {
        number: DeployedVerifier(
            circuit=number, address=str(receipt.contract_address).lower(), vk_hash=to_hex(vk_hash)
        )
        for (number, (_, vk_hash)), receipt in zip(keys.items(), receipts, strict=True)
    }


def _creation(contract: str, *arguments: object) -> bytes:
    artifact = get_artifact(contract)
    return artifact.bytecode + artifact.abi.encode_constructor(*arguments)

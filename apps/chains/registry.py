"""Reading our contracts, in sets: keepers' standing, settled tasks, deposits, and decoded events."""

from collections.abc import Iterable, Sequence
from typing import Final

from apps.chains.artifacts import get_abi
from apps.chains.client import ChainClient
from apps.chains.data import Call, Deployment, HubEvent, KeeperStanding, Log
from apps.chains.domain.settlement_abi import MAX_SETTLED_QUERY

_MAX_SET: Final = 64


def get_standings(
    client: ChainClient, deployment: Deployment, addresses: Sequence[str]
) -> dict[str, KeeperStanding]:
    """Every address's stake, key and standing, a stranger's being all zero; one batch of calls."""
    abi = get_abi("Registry")
    wanted = [address.lower() for address in addresses]
    parts = [wanted[at : at + _MAX_SET] for at in range(0, len(wanted), _MAX_SET)]
    calls = [
        Call(to=deployment.registry, data=abi.encode(function, part))
        for part in parts
        for function in ("keepers_of", "keys_of")
    ]
    outputs = _outputs(client, calls)
    found: dict[str, KeeperStanding] = {}
    for at, part in enumerate(parts):
        (states,) = abi.decode("keepers_of", outputs[2 * at])
        (keys,) = abi.decode("keys_of", outputs[2 * at + 1])
        for address, state, key in zip(part, states, keys, strict=True):
            stake, withdrawable_at, is_active, key_hash = state
            found[address] = KeeperStanding(
                address=address,
                stake_wei=stake,
                is_active=is_active,
                withdrawable_at=withdrawable_at,
                key_hash=key_hash,
                public_key=key,
            )
    return found


class ChainRegistry:
    """The keeper registry of one deployment, for those who ask about single keepers."""

    def __init__(self, client: ChainClient, deployment: Deployment) -> None:
        self._client = client
        self._deployment = deployment

    def get_standings(self, addresses: Sequence[str]) -> dict[str, KeeperStanding]:
        """Every address's standing, in one batch; raise ChainUnreachable."""
        return get_standings(self._client, self._deployment, addresses)

    def get_standing(self, address: str) -> KeeperStanding:
        """One address's standing, all zero for a stranger; raise ChainUnreachable."""
        return self.get_standings([address])[address.lower()]

    def get_stake_units(self, address: str) -> int:
        """One address's stake in whole units; raise ChainUnreachable."""
        return self.get_standing(address).stake_units


def get_active_count(client: ChainClient, deployment: Deployment) -> int:
    """How many keepers are active."""
    abi = get_abi("Registry")
    output = client.call(Call(to=deployment.registry, data=abi.encode("active_count")))
    return int(abi.decode("active_count", output)[0])


def get_settled(client: ChainClient, deployment: Deployment, task_ids: Sequence[int]) -> dict[int, bytes]:
    """The proof each settled task was settled with, as the hub has it; open tasks are left out."""
    abi = get_abi("Hub")
    parts = [task_ids[at : at + MAX_SETTLED_QUERY] for at in range(0, len(task_ids), MAX_SETTLED_QUERY)]
    calls = [Call(to=deployment.hub, data=abi.encode("settled_of", list(part))) for part in parts]
    found: dict[int, bytes] = {}
    for part, output in zip(parts, _outputs(client, calls), strict=True):
        (proofs,) = abi.decode("settled_of", output)
        found |= {task: proof for task, proof in zip(part, proofs, strict=True) if any(proof)}
    return found


def get_deposits(
    client: ChainClient, deployment: Deployment, *, from_block: int, to_block: int | None = None
) -> list[HubEvent]:
    """The escrow's `Deposited` events in a range of blocks, oldest first."""
    abi = get_abi("Escrow")
    logs = client.get_logs(
        addresses=[deployment.escrow],
        from_block=from_block,
        to_block=to_block,
        topics=[abi.topic("Deposited")],
    )
    return _decoded("Escrow", deployment.escrow, logs)


def decode_hub_logs(deployment: Deployment, logs: Iterable[Log]) -> list[HubEvent]:
    """The hub's own events among a receipt's logs, in order: TaskSettled, TaskSkipped, ProofRejected, …"""
    return _decoded("Hub", deployment.hub, logs)


def _decoded(contract: str, address: str, logs: Iterable[Log]) -> list[HubEvent]:
    abi = get_abi(contract)
    events = (abi.decode_log(log) for log in logs if log.address == address)
    return [event for event in events if event is not None]


def _outputs(client: ChainClient, calls: Sequence[Call]) -> list[bytes]:
    results = client.simulate(calls)
    return [
        result.output if result.is_success else client.call(call)
        for call, result in zip(calls, results, strict=True)
    ]

"""Logs emitted on a deployment's chain, and how long until their runs are there; import it after
`Scratch.set_up_django`.
"""

import json
import threading
import time
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from apps.accounts.models import Project
from apps.chains.client import ChainClient
from apps.chains.networks import get_networks
from apps.content.store import open_store
from apps.jobs.data import Bounds, definition_from_json
from apps.jobs.models import Job
from apps.jobs.services import job_create
from apps.kernel.hashing import keccak, to_hex
from apps.tasks.models import Run
from apps.watching.models import EventWatch
from bench.deployment import Scratch
from bench.errors import BenchFailed, BenchStopped

_EMITTER: Final = "0x00000000000000000000000000000000000e417e"
_SENDER: Final = "0x00000000000000000000000000000000005e4de7"
_EVENT: Final = "Measured(uint256 indexed station, uint256 value)"
_TOPIC: Final = to_hex(keccak(b"Measured(uint256,uint256)"))
#: LOG2 with the first two words of the call data as topics and the rest as data
_CODE: Final = "0x60403603806040600037600035602035916000a200"
_COST_UNITS: Final = 1_000_000
_LOOK_SECONDS: Final = 0.002
_PATIENCE_SECONDS: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """Seconds from asking the node for a log: to its message on a bare subscription, to its run's row."""

    heard: list[float]
    opened: list[float]


class BareSubscription:
    """A subscription of the bench's own to the same logs; when each transaction's came."""

    def __init__(self, url: str) -> None:
        self.heard_at: dict[str, float] = {}
        self._connection: ClientConnection = connect(url, proxy=None)
        wanted = {"address": [_EMITTER], "topics": [[_TOPIC]]}
        request = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["logs", wanted]}
        self._connection.send(json.dumps(request))
        self._connection.recv(timeout=5)
        self._thread = threading.Thread(target=self._hear, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hear no more."""
        self._connection.close()
        self._thread.join(timeout=5)

    def _hear(self) -> None:
        try:
            for message in self._connection:
                log = json.loads(message)["params"]["result"]
                self.heard_at.setdefault(log["transactionHash"], time.monotonic())
        except (ConnectionClosed, KeyError):
            return


def measure_logs(scratch: Scratch, count: int, *, confirmations: int, pause_seconds: float) -> Delays:
    """`count` logs one after the other; each is followed at once by the blocks that confirm it.

    Raises BenchFailed where a log opens no run, or more than one.
    """
    (network,) = get_networks().values()
    client = ChainClient(network.rpc_url)
    client.request("anvil_setCode", _EMITTER, _CODE)
    client.set_balance(_SENDER, 10**20)
    client.request("anvil_impersonateAccount", _SENDER)
    job = _make_job(network.chain_id, confirmations)
    watched = EventWatch.objects.filter(job=job)
    scratch.wait_for(watched.exists, 30, what="a listener that watches the job")
    bare = BareSubscription(network.socket_url)
    runs = Run.objects.filter(job=job)
    opened: list[float] = []
    heard: list[float] = []
    try:
        for number in range(count):
            asked_at = time.monotonic()
            tx_hash = client.request("eth_sendTransaction", _call(number))
            for _ in range(confirmations):
                client.request("evm_mine")
            while runs.count() <= number:
                if time.monotonic() - asked_at > _PATIENCE_SECONDS:
                    raise BenchFailed(f"log {number + 1} opened no run")
                if scratch.is_over.wait(_LOOK_SECONDS):
                    raise BenchStopped
            opened.append(time.monotonic() - asked_at)
            heard.append(bare.heard_at[tx_hash] - asked_at)
            scratch.is_over.wait(pause_seconds)
    finally:
        bare.close()
        client.close()
        Job.objects.filter(pk=job.pk).update(status="deleted")
    if runs.count() != count:
        raise BenchFailed(f"{runs.count()} runs of {count} logs")
    return Delays(heard=heard, opened=opened)


def _call(number: int) -> dict[str, str]:
    data = f"{_TOPIC}{1:064x}{number:064x}"
    return {"from": _SENDER, "to": _EMITTER, "data": data, "gas": hex(100_000)}


def _make_job(chain_id: int, confirmations: int) -> Job:
    event: dict[str, Any] = {
        "chain_id": chain_id,
        "address": _EMITTER,
        "event": _EVENT,
        "confirmations": confirmations,
    }
    body = {
        "name": f"bench of logs {time.time()}",
        "trigger_kind": "event",
        "event": event,
        "steps": [{"key": "only", "script_source": "print('{}')"}],
    }
    job = job_create(
        project_id=Project.objects.get(slug="demo").id,
        definition=definition_from_json(body, Bounds()),
        store=open_store(settings.FOREKEEP.content.url),
    )
    Job.objects.filter(pk=job.pk).update(estimated_cost_units=_COST_UNITS)
    return job

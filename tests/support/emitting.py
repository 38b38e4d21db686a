"""A contract that logs whatever it is called with, on a node whose blocks the test makes itself."""

from dataclasses import dataclass, field
from typing import Any

from apps.chains.anvil import AnvilProcess
from apps.jobs.models import Job
from apps.kernel.hashing import keccak, to_hex
from apps.triggers.data import event_from_json
from tests.factories.jobs import make_job

EMITTER = "0x00000000000000000000000000000000000e417e"
SENDER = "0x00000000000000000000000000000000005e4de7"
EVENT = "Measured(uint256 indexed station, uint256 value)"
TOPIC = to_hex(keccak(b"Measured(uint256,uint256)"))
#: LOG2 with the first two words of the call data as topics and the rest as data
_CODE = "0x60403603806040600037600035602035916000a200"


@dataclass
class Emitter:
    """The contract on a node."""

    node: AnvilProcess
    sent: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.node.request("anvil_setCode", EMITTER, _CODE)
        self.node.request("anvil_setBalance", SENDER, hex(10**20))
        self.node.request("anvil_autoImpersonateAccount", True)

    def emit(self, value: int, *, station: int = 1, topic: str = TOPIC) -> str:
        """Send one log; the transaction's hash. It is mined at once, unless automining is off."""
        data = topic + station.to_bytes(32).hex() + value.to_bytes(32).hex()
        call = {"from": SENDER, "to": EMITTER, "data": data, "gas": hex(100_000)}
        self.sent.append(self.node.request("eth_sendTransaction", call))
        return self.sent[-1]

    def mine(self, blocks: int = 1) -> None:
        """Add empty blocks."""
        self.node.request("anvil_mine", hex(blocks))


def event_body(**fields: Any) -> dict[str, Any]:
    """A job's `event`: any measurement, as soon as seen."""
    return {"chain_id": 31337, "address": EMITTER, "event": EVENT, "confirmations": 0, **fields}


def make_event_job(**fields: Any) -> Job:
    """An active job that waits for measurements since now; the fields of its event by keyword."""
    job = make_job()
    Job.objects.filter(pk=job.pk).update(
        trigger_kind="event", event=event_from_json(event_body(**fields), "/event").to_json()
    )
    job.refresh_from_db()
    return job

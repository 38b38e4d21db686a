"""One running keeper: who it is, whom it trusts, and everything it works with."""

import threading
from dataclasses import dataclass, field

from apps.content.store import ContentStore
from apps.kernel.eip712 import TypedDomain
from workers.keeper.answers import AnswerBook
from workers.keeper.executor import Executor
from workers.keeper.keystore import Identity
from workers.keeper.leases import Leases
from workers.keeper.outbox import Outbox
from workers.keeper.rpc import ChainRpc


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The parts of one node, put together once at start (`app.py`)."""

    identity: Identity
    domain: TypedDomain
    dispatcher: str
    gas_tolerance_percent: int
    time_tolerance_seconds: int
    expiry_tolerance_seconds: int
    store: ContentStore
    chain: ChainRpc
    executor: Executor
    answers: AnswerBook
    leases: Leases
    outbox: Outbox
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        """The keeper's address."""
        return self.identity.address

    @property
    def hub(self) -> str:
        """The hub, from whose address calls are simulated."""
        return self.domain.contract

    def stop(self) -> None:
        """Begin to stop: running scripts are killed, waits are cut short, nothing new is reported."""
        self.stopping.set()
        self.leases.abort_all()

    def close(self) -> None:
        """End what the node holds, after its work has ended."""
        self.outbox.close()
        self.executor.close()
        self.chain.close()
        self.answers.close()

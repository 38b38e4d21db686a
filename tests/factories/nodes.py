"""Keeper nodes for tests: real parts over a folder, the outside world faked, and the dispatcher's side."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import coincurve

from apps.attestation.data import RoundCall
from apps.content.store import open_store
from apps.execution.data import Assignment, receipt_from_json
from apps.execution.domain.action import Action
from apps.kernel import bls
from apps.kernel.eip712 import address_of, require_signer
from apps.kernel.hashing import to_hex
from apps.kernel.ids import new_id, to_wire
from tests.factories.keepers import DOMAIN
from workers.keeper.answers import AnswerBook
from workers.keeper.execute import execute
from workers.keeper.keystore import Identity
from workers.keeper.leases import Leases
from workers.keeper.node import Node
from workers.keeper.rpc import Simulation
from workers.keeper.sandbox.data import AbortHandle, SandboxRequest, SandboxResult, SandboxStatus

DISPATCHER = coincurve.PrivateKey()
TARGET = "0x" + "77" * 20
REPORT = {
    "type": "function",
    "name": "report",
    "inputs": [{"name": "symbol", "type": "bytes32"}, {"name": "value", "type": "uint256"}],
}
SYMBOL = "0x" + "41" * 32
ACTION = {
    "chain_id": DOMAIN.chain_id,
    "target": TARGET,
    "function": "report(bytes32,uint256)",
    "abi": REPORT,
    "value_wei": "0",
    "gas_limit": 200_000,
}

#: what a fake executor is given; it never reads it
FAKE_SCRIPT = b"print('{}')"

_open_nodes: list[Node] = []

Answer = Callable[[SandboxRequest, AbortHandle | None], bytes | SandboxResult]


def ran(stdout: bytes = b"{}", **facts: Any) -> SandboxResult:
    """A sandbox result."""
    defaults: dict[str, Any] = {
        "status": SandboxStatus.OK,
        "code": None,
        "exit_code": 0,
        "stdout": stdout,
        "stderr_tail": "",
        "cpu_seconds": 0.0105,
        "wall_seconds": 0.0142,
        "peak_memory_bytes": 9 * 1024 * 1024,
    }
    return SandboxResult(**{**defaults, **facts})


@dataclass(kw_only=True)
class FakeExecutor:
    """Answers every script with `answer`; remembers what it was asked."""

    answer: Answer = lambda request, handle: b"{}"
    requests: list[SandboxRequest] = field(default_factory=list)
    languages: tuple[str, ...] = ("python",)

    def run(self, request: SandboxRequest, handle: AbortHandle | None = None) -> SandboxResult:
        """See Executor."""
        self.requests.append(request)
        answer = self.answer(request, handle)
        return answer if isinstance(answer, SandboxResult) else ran(answer)

    def close(self) -> None:
        """Nothing to end."""


@dataclass(kw_only=True)
class FakeChain:
    """A chain at block `head` where every call uses `gas_used`; `failure` and `errors` are told first."""

    head: int = 17
    gas_used: int = 41_234
    failure: str | None = None
    errors: list[Exception] = field(default_factory=list)
    asked: list[tuple[int, int]] = field(default_factory=list)

    def get_head(self) -> int:
        """See ChainRpc."""
        if self.errors:
            raise self.errors.pop(0)
        return self.head

    def simulate(self, actions: Sequence[Action], *, sender: str, block: int) -> tuple[Simulation, ...]:
        """See ChainRpc."""
        assert sender == DOMAIN.contract
        self.asked.append((len(actions), block))
        if self.errors:
            raise self.errors.pop(0)
        gas_used = 0 if self.failure else self.gas_used
        return tuple(Simulation(block=block, gas_used=gas_used, failure=self.failure) for _ in actions)

    def close(self) -> None:
        """Nothing to close."""


@dataclass(kw_only=True)
class FakeLater:
    """An acknowledgement that a test may let ripen."""

    make: Callable[[], Mapping[str, Any]]
    is_cancelled: bool = False

    def cancel(self) -> None:
        """Take it back."""
        self.is_cancelled = True


@dataclass(kw_only=True)
class FakeOutbox:
    """Keeps what it is given."""

    receipts: list[Mapping[str, Any]] = field(default_factory=list)
    ballots: list[Mapping[str, Any]] = field(default_factory=list)
    laters: list[FakeLater] = field(default_factory=list)

    def add(self, kind: str, item: Mapping[str, Any]) -> None:
        """See Outbox."""
        getattr(self, kind).append(item)

    def acknowledge_after(self, seconds: float, make: Callable[[], Mapping[str, Any]]) -> FakeLater:
        """See Outbox."""
        assert seconds == 0.25
        self.laters.append(FakeLater(make=make))
        return self.laters[-1]

    def close(self) -> None:
        """Nothing to close."""


def make_identity() -> Identity:
    """A keeper's keys."""
    key = coincurve.PrivateKey()
    return Identity(address=address_of(key.public_key), key=key, bls_secret=bls.secret_key_new())


def make_node(folder: Path, **parts: Any) -> Any:
    """A node over a folder (shared content, its own answers); the fakes are its parts' values."""
    identity = parts.pop("identity", None) or make_identity()
    home = folder / identity.address
    fakes: dict[str, Any] = {"chain": FakeChain(), "executor": FakeExecutor(), "outbox": FakeOutbox()}
    facts: dict[str, Any] = {
        "identity": identity,
        "domain": DOMAIN,
        "dispatcher": address_of(DISPATCHER.public_key),
        "gas_tolerance_percent": 10,
        "time_tolerance_seconds": 5,
        "expiry_tolerance_seconds": 8,
        "store": open_store(f"file://{folder}/content"),
        "answers": AnswerBook(home / "answers.jsonl"),
        "leases": Leases(),
    }
    node = Node(**{**facts, **fakes, **parts})
    _open_nodes.append(node)
    return node


def close_nodes() -> None:
    """Close every node made since the last time."""
    while _open_nodes:
        _open_nodes.pop().close()


def make_spec(task_id: UUID, **changes: Any) -> dict[str, Any]:
    """A specification without script and action, but for the changes."""
    spec: dict[str, Any] = {
        "task": to_wire("task", task_id),
        "step": "main",
        "due_at": "2026-11-20T00:00:00Z",
        "script": None,
        "inputs": {},
        "params": None,
        "parents": {},
        "arguments": {"kind": "static", "values": [SYMBOL, 5]},
        "action": None,
        "limits": {"deadline_seconds": 30, "memory_mb": 512, "cpu_seconds": 30},
    }
    return {**spec, **changes}


def make_assignment(keeper: str, spec: Mapping[str, Any] | None = None, **changes: Any) -> Assignment:
    """An assignment for a keeper, of a fresh task unless told otherwise."""
    task_id = changes.pop("task_id", None) or new_id()
    facts: dict[str, Any] = {
        "task_id": task_id,
        "run_id": new_id(),
        "epoch": 1,
        "lease": new_id(),
        "keeper": keeper,
        "expires_at": int(time.time()) + 60,
        "spec": make_spec(task_id, **(spec or {})),
    }
    return Assignment(**{**facts, **changes})


def signed(assignment: Assignment, key: coincurve.PrivateKey = DISPATCHER) -> dict[str, Any]:
    """The message of an assignment."""
    return assignment.to_json(domain=DOMAIN, key=key)


def unsigned(assignment: Assignment) -> dict[str, Any]:
    """An assignment as a round's item holds it."""
    body = signed(assignment)
    del body["signature"]
    return body


def script_spec(node: Any, **changes: Any) -> dict[str, Any]:
    """Changes of a specification that give it a script which the node's store has."""
    return {"script": {"cid": node.store.put(FAKE_SCRIPT), "language": "python"}, **changes}


def result_of(node: Any, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Have a node execute a task of this specification; its result, the receipt's signature checked."""
    execute(node, signed(make_assignment(node.address, spec)))
    receipt, signature = receipt_from_json(node.outbox.receipts[-1])
    require_signer(receipt.digest(DOMAIN), signature, node.address)
    return dict(receipt.result)


def receipt_of(node: Any, spec: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Have a node execute a task; the signed receipt of its success."""
    (receipt,) = execute(node, signed(make_assignment(node.address, spec, **changes)))
    return dict(receipt)


def awaiting(kind: str = "data", **receipts: Mapping[str, Any]) -> dict[str, Any]:
    """Changes of a specification that make it await the attempts of these receipts, by step."""
    members = ("task", "epoch", "lease", "keeper")
    awaits = {
        step: {name: body[name] for name in members} | {"kind": kind} for step, body in receipts.items()
    }
    return {"awaits": awaits}


def resigned(node: Any, body: Mapping[str, Any], **result: Any) -> dict[str, Any]:
    """A receipt with another result, signed by this node all the same."""
    receipt, _ = receipt_from_json(body)
    return replace(receipt, result={**receipt.result, **result}).to_json(domain=DOMAIN, key=node.identity.key)


def make_call(attester: str, items: Sequence[Mapping[str, Any]], **changes: Any) -> RoundCall:
    """A round's call to one attester."""
    facts: dict[str, Any] = {
        "round_id": new_id(),
        "number": 1,
        "attester": attester,
        "expires_at": int(time.time()) + 60,
        "items": tuple(items),
    }
    return RoundCall(**{**facts, **changes})


def keystore_json(identity: Identity) -> dict[str, str]:
    """The keystore of an identity."""
    return {
        "address": identity.address,
        "private_key": to_hex(identity.key.secret),
        "bls_secret": to_hex(identity.bls_secret),
    }

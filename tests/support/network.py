"""A whole network in one process: the real stages, the real keeper nodes, no broker between them.

Messages are handed over by hand, so a test may lose, repeat, reorder or forge any of them. What follows a
message is under way once its keeper is done with it, as a message of its own that bears the keeper's receipt.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import coincurve
from django.conf import settings

from apps.attestation.services import ballots_record, rounds_decide, rounds_open, rounds_resend
from apps.chains.keys import KeeperKeys
from apps.content.store import ContentStore
from apps.eventlog.selectors import get_database_now
from apps.execution.admission import tasks_admit
from apps.execution.claims import Refusal
from apps.execution.dispatcher import get_dispatcher_key, get_domain
from apps.execution.services import acknowledgements_record, leases_sweep, receipts_record, tasks_assign
from apps.keepers.models import Keeper
from apps.kernel.eip712 import address_of
from apps.kernel.errors import DomainError
from apps.kernel.hashing import to_hex
from apps.kernel.ids import from_wire
from apps.kernel.outcome import AbortReply, Dispatch, Message, Outcome, Revocation
from apps.rollback.services import rollbacks_apply
from apps.settlement.services import batches_broadcast, batches_confirm, batches_submit
from workers.keeper.answers import AnswerBook
from workers.keeper.attest import attest
from workers.keeper.execute import execute
from workers.keeper.executor import Executor
from workers.keeper.keystore import Identity
from workers.keeper.leases import Leases
from workers.keeper.node import Node
from workers.keeper.outbox import ACKNOWLEDGEMENTS, BALLOTS, RECEIPTS, Later
from workers.keeper.rpc import ChainRpc
from workers.keeper.sandbox.data import AbortHandle, SandboxRequest, SandboxResult, SandboxStatus

RECORD: dict[str, Callable[..., tuple[Outcome, list[Refusal]]]] = {
    RECEIPTS: receipts_record,
    ACKNOWLEDGEMENTS: acknowledgements_record,
    BALLOTS: ballots_record,
}

#: what one turn of the network does, in the pipeline's order; a kind of answers is recorded
TURN: Sequence[Callable[..., Outcome] | str] = (
    tasks_admit,
    leases_sweep,
    tasks_assign,
    ACKNOWLEDGEMENTS,
    RECEIPTS,
    rounds_open,
    rounds_resend,
    BALLOTS,
    rounds_decide,
    batches_submit,
    batches_broadcast,
    batches_confirm,
    rollbacks_apply,
)
#: the part of a turn that needs no chain
TO_ATTESTED = TURN[: TURN.index(batches_submit)]


class Collected:
    """A keeper's outbox that keeps what it is given."""

    def __init__(self) -> None:
        self.items: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)

    def add(self, kind: str, item: Any) -> None:
        """Keep an answer."""
        self.items[kind].append(dict(item))

    def acknowledge_after(self, seconds: float, make: Callable[[], Any]) -> Later:
        """No answer here takes long enough to be acknowledged."""
        return Later(make)

    def close(self, timeout_seconds: float = 2.0) -> None:
        """Nothing to send."""


class Echo:
    """An executor that runs nothing: the output of every script is what it was given."""

    languages = ("python",)

    def run(self, request: SandboxRequest, handle: AbortHandle | None = None) -> SandboxResult:
        """Echo the parameters and the parents."""
        given = json.loads(request.stdin)
        output = {"echo": given["params"], "parents": given["parents"]}
        return SandboxResult(
            status=SandboxStatus.OK,
            code=None,
            exit_code=0,
            stderr_tail="",
            stdout=json.dumps(output).encode(),
            cpu_seconds=0.01,
            wall_seconds=0.01,
            peak_memory_bytes=1,
        )

    def close(self) -> None:
        """Nothing to end."""


@dataclass
class Network:
    """Keepers with their nodes, and messages under way in both directions."""

    nodes: dict[str, Node]
    outboxes: dict[str, Collected]
    messages: list[Message] = field(default_factory=list)
    dispatches: list[Dispatch] = field(default_factory=list)
    revocations: list[Revocation] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    #: what keepers did not take on, by code
    refused: list[str] = field(default_factory=list)
    #: stamps of messages that no keeper takes on any more
    revoked: set[str] = field(default_factory=set)
    now: Callable[[], datetime] = get_database_now
    #: a test that writes rows by hand cannot be held to the invariants afterwards
    is_tampered: bool = False

    def stage(self, service: Callable[..., Outcome], **options: Any) -> Outcome:
        """One pass of a stage; what it sends is under way."""
        outcome = service(now=self.now(), limit=options.pop("limit", 100), **options)
        self.take(outcome)
        return outcome

    def take(self, outcome: Outcome) -> None:
        """What a pass of a stage asks for is under way; revocations wait for `revoke`."""
        self.messages.extend(outcome.messages)
        self.dispatches.extend(outcome.dispatches)
        self.revocations.extend(outcome.revocations)

    def deliver(self, keep: Callable[[Message], bool] = lambda message: True) -> int:
        """Let the keepers work on every message under way and on what follows it; `keep` says which are lost.

        A link that is lost takes along what follows it. Returns how many messages there were.
        """
        count = 0
        while self.messages:
            under_way, self.messages = self.messages, []
            count += len(under_way)
            for message in under_way:
                if keep(message):
                    self.work(message)
        return count

    def work(self, message: Message) -> tuple[Message, ...]:
        """Let one keeper work on one message; what follows is under way where something good came out.

        What a keeper refuses it does not answer. Returns what is under way now, each with its receipts.
        """
        node = self.nodes[message.keeper]
        if self.revoked.intersection(message.stamps):
            self.refused.append("revoked")
            return ()
        try:
            if message.task != "keeper.execute":
                attest(node, message.body["call"])
                return ()
            beside = {name: part for name, part in message.body.items() if name != "assignment"}
            receipts = execute(node, message.body["assignment"], **beside)
        except DomainError as exc:
            self.refused.append(exc.code)
            return ()
        followers = tuple(
            replace(follower, body={**follower.body, "receipts": list(receipts)})
            for follower in (message.following if receipts else ())
        )
        self.messages.extend(followers)
        return followers

    def revoke(self) -> list[AbortReply]:
        """Revoke and abort what cascades asked for so far; what the keepers said."""
        revocations, self.revocations = self.revocations, []
        replies: list[AbortReply] = []
        for revocation in revocations:
            self.revoked.update(revocation.stamps)
            for keeper, attempts in sorted(revocation.aborts.items()):
                leases = self.nodes[keeper].leases
                killed = tuple(one for one in attempts if leases.abort(from_wire("task", one[0]), one[1]))
                reply = AbortReply(
                    rollback=revocation.rollback,
                    keeper=keeper,
                    is_confirmed=True,
                    milliseconds=0,
                    killed=killed,
                )
                replies.append(reply)
        return replies

    def turn(self, steps: Sequence[Callable[..., Outcome] | str] = TURN) -> None:
        """One pass of every stage, with everything that is sent delivered and recorded at once."""
        for step in steps:
            if isinstance(step, str):
                self.deliver()
                self.record(step)
            else:
                self.stage(step)

    def close(self) -> None:
        """End the nodes."""
        for node in self.nodes.values():
            node.close()

    def answers(self, kind: str) -> list[dict[str, Any]]:
        """Take what keepers have to say of a kind."""
        found: list[dict[str, Any]] = []
        for outbox in self.outboxes.values():
            found.extend(outbox.items.pop(kind, []))
        return found

    def record(self, kind: str, items: Sequence[dict[str, Any]] | None = None) -> list[Refusal]:
        """Record answers; return what was refused."""
        items = self.answers(kind) if items is None else items
        outcome, refusals = RECORD[kind](items=items, now=self.now())
        self.take(outcome)
        self.refusals.extend(refusals)
        return refusals


@contextmanager
def deployment_without_chain() -> Iterator[None]:
    """Files that name a hub and hold the dispatcher's key, where no chain is needed."""
    chain = settings.FOREKEEP.chain
    addresses = {
        name: "0x" + f"{n:02x}" * 20
        for n, name in enumerate(("hub", "registry", "escrow", "price_board", "alarm_board"), start=1)
    }
    chain.deployment_file.write_text(json.dumps({"chain_id": 31337, "block": 0, **addresses}))
    key = coincurve.PrivateKey(b"\x77" * 32)
    chain.dispatcher_key_file.parent.mkdir(parents=True, exist_ok=True)
    chain.dispatcher_key_file.touch(mode=0o600)
    content = {"address": address_of(key.public_key), "private_key": "0x" + key.secret.hex()}
    chain.dispatcher_key_file.write_text(json.dumps(content))
    get_dispatcher_key.cache_clear()
    try:
        yield
    finally:
        chain.deployment_file.unlink()
        get_dispatcher_key.cache_clear()


def make_identity(number: int) -> Identity:
    """A keeper's keys, the same in every run."""
    return Identity(
        address=address_of(coincurve.PrivateKey(number.to_bytes(32)).public_key),
        key=coincurve.PrivateKey(number.to_bytes(32)),
        bls_secret=number.to_bytes(32),
    )


def identity_of(keys: KeeperKeys) -> Identity:
    """The identity of a keeper that is registered on a chain."""
    return Identity(address=keys.address, key=keys.account.private, bls_secret=keys.bls_secret)


def make_network(
    identities: Sequence[Identity],
    *,
    store: ContentStore,
    folder: Path,
    rpc_url: str = "http://127.0.0.1:1",
    executor: Executor | None = None,
) -> Network:
    """Nodes for these identities, each with a row in the database."""
    now = get_database_now()
    nodes: dict[str, Node] = {}
    outboxes: dict[str, Collected] = {}
    for number, identity in enumerate(identities):
        outboxes[identity.address] = Collected()
        nodes[identity.address] = Node(
            identity=identity,
            domain=get_domain(),
            dispatcher=address_of(get_dispatcher_key().public_key),
            gas_tolerance_percent=10,
            time_tolerance_seconds=5,
            expiry_tolerance_seconds=8,
            store=store,
            chain=ChainRpc(rpc_url),
            executor=executor or Echo(),
            answers=AnswerBook(folder / f"answers-{number}.jsonl"),
            leases=Leases(),
            outbox=outboxes[identity.address],
        )
        Keeper.objects.create(
            address=identity.address,
            bls_public_key=to_hex(identity.bls_public_key),
            name=f"keeper {number + 1}",
            version="0.1.0",
            online=True,
            last_checkin_at=now,
            registered_at=now,
            reputation_decayed_at=now,
            stake_units=2_000_000_000,
            capabilities=["python", f"chain:{get_domain().chain_id}"],
        )
    return Network(nodes=nodes, outboxes=outboxes)

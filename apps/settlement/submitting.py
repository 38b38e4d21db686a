"""Which results go to the hub now, and as what: sets of one round and one circuit, proofs beside them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings

from apps.attestation.data import ItemVerdict, RoundStatus
from apps.attestation.models import Ballot, Round, RoundItem
from apps.chains.data import CallRequest, SettlementItem
from apps.chains.domain.settlement_abi import (
    MAX_PROOFS,
    ProofWords,
    compute_gas_limit,
    count_fitting,
    encode_batch,
    sort_attesters,
)
from apps.execution.dispatcher import get_domain
from apps.kernel.bls import aggregate
from apps.kernel.hashing import from_hex
from apps.kernel.settlement_hash import settlement_leaf
from apps.proofs.selectors import proofs_to_submit
from apps.settlement.domain.drill import damage
from apps.settlement.domain.items import build_item
from apps.tasks.data import TaskStatus
from apps.tasks.models import Edge, Run, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """Results of one round that go to the hub in one transaction, with their positions in the round."""

    round: Round
    circuit: int
    tasks: Sequence[Task]
    positions: Sequence[int]
    leaves: Sequence[bytes]
    proofs: Sequence[ProofWords]
    signers: Sequence[str]
    signature: bytes

    def build_request(self) -> CallRequest:
        """The transaction."""
        items = [item_of(task, self.circuit) for task in self.tasks]
        return CallRequest(
            to=get_domain().contract,
            data=encode_batch(
                self.leaves, self.positions, items, self.circuit, self.proofs, self.signature, self.signers
            ),
            gas_limit=compute_gas_limit(items, len(self.signers), len(self.leaves)),
            purpose="settle",
            trace_id=self.round.trace_id,
        )


def split_by_ground(tasks: Sequence[Task]) -> tuple[list[Task], list[Task]]:
    """Those whose parents are all confirmed, and those that wait for one (invariant 15). One query."""
    open_edges = Edge.objects.filter(child__in=tasks).exclude(parent__status=TaskStatus.CONFIRMED)
    held = set(open_edges.values_list("child_id", flat=True))
    return [task for task in tasks if task.id not in held], [task for task in tasks if task.id in held]


def gather_submissions(tasks: Sequence[Task]) -> list[Submission]:
    """The transactions for these locked tasks, whose ground is final: by round and circuit, not too large."""
    rounds, places, leaves = _rounds_of(tasks)
    signatures = _signatures_of(rounds)
    proofs = _proofs_of(tasks)
    groups: defaultdict[tuple[UUID, int], list[Task]] = defaultdict(list)
    for task in tasks:
        place, circuit = places.get(task.id), circuit_of(task)
        if place is not None and (not circuit or task.id in proofs):
            groups[place[0], circuit].append(task)

    submissions: list[Submission] = []
    for (round_id, circuit), waiting in sorted(groups.items()):
        signers = sort_attesters(list(signatures[round_id]))
        signature = aggregate([signatures[round_id][address] for address in signers])
        left = waiting
        while left:
            some = left[: _count_fitting(left, circuit, len(signers), len(leaves[round_id]))]
            left = left[len(some) :]
            submissions.append(
                Submission(
                    round=rounds[round_id],
                    circuit=circuit,
                    tasks=some,
                    positions=[places[task.id][1] for task in some],
                    leaves=leaves[round_id],
                    proofs=[proofs[task.id] for task in some] if circuit else (),
                    signers=signers,
                    signature=signature,
                )
            )
    return submissions


def _count_fitting(group: Sequence[Task], circuit: int, signers: int, leaves: int) -> int:
    """How many of these, from the front, one transaction takes."""
    most = min(settings.FOREKEEP.settlement.batch_max, MAX_PROOFS if circuit else len(group))
    return count_fitting([item_of(task, circuit) for task in group[:most]], signers, leaves)


def circuit_of(task: Task) -> int:
    """The circuit that proves a task's statement, 0 where no proof is asked for."""
    proof = task.spec.get("proof")
    return int(proof["circuit"]) if proof else 0


def item_of(task: Task, circuit: int) -> SettlementItem:
    """The hub's view of a task's result."""
    return build_item(
        task_id=task.id.int,
        epoch=task.epoch,
        performer=task.performer,
        result=task.result or {},
        circuit=circuit,
    )


def _rounds_of(
    tasks: Sequence[Task],
) -> tuple[dict[UUID, Round], dict[UUID, tuple[UUID, int]], Mapping[UUID, Sequence[bytes]]]:
    """The rounds that agreed on these tasks' present results, each task's place, and each round's leaves."""
    valid = RoundItem.objects.filter(
        task__in=tasks, verdict=ItemVerdict.VALID, round__status=RoundStatus.UNANIMOUS
    )
    epochs = {task.id: task.epoch for task in tasks}
    places: dict[UUID, tuple[UUID, int]] = {}
    for item in valid.order_by("number"):
        if item.epoch == epochs[item.task_id]:
            places[item.task_id] = (item.round_id, item.position)
    rounds = Round.objects.in_bulk({round_id for round_id, _ in places.values()})
    leaves: defaultdict[UUID, list[bytes]] = defaultdict(list)
    for item in RoundItem.objects.filter(round__in=rounds).order_by("round_id", "position"):
        leaves[item.round_id].append(
            settlement_leaf(item.task_id.int, from_hex(item.proof_of_task, length=32))
        )
    return rounds, places, leaves


def _signatures_of(rounds: Mapping[UUID, Round]) -> Mapping[UUID, dict[str, bytes]]:
    found: defaultdict[UUID, dict[str, bytes]] = defaultdict(dict)
    for ballot in Ballot.objects.filter(round__in=rounds, is_unanimous=True):
        found[ballot.round_id][ballot.attester] = from_hex(ballot.signature)
    return found


def _proofs_of(tasks: Sequence[Task]) -> dict[UUID, ProofWords]:
    """Each task's proof as eight words, damaged where its step is a drill that has this attempt fail."""
    proved = [task for task in tasks if circuit_of(task)]
    if not proved:
        return {}
    words = {
        task_id: _words(from_hex(row.proof or ""))
        for task_id, row in proofs_to_submit([task.id for task in proved]).items()
    }
    drills = _drills_of(proved)
    return {
        task.id: damage(words[task.id])
        if task.failures < drills[task.run_id, task.step_key]
        else words[task.id]
        for task in proved
        if task.id in words
    }


def _drills_of(tasks: Sequence[Task]) -> dict[tuple[UUID, str], int]:
    """(run, step) → how many of its first attempts are to have their proof rejected, for these tasks."""
    runs = Run.objects.select_related("job__project").in_bulk({task.run_id for task in tasks})
    return {(task.run_id, task.step_key): runs[task.run_id].job.get_drill(task.step_key) for task in tasks}


def _words(proof: bytes) -> ProofWords:
    """A proof's bytes as the hub takes them."""
    a, b, c, d, e, f, g, h = (int.from_bytes(proof[at : at + 32]) for at in range(0, len(proof), 32))
    return a, b, c, d, e, f, g, h

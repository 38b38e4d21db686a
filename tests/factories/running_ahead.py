"""Runs that ran ahead as the pipeline leaves them: decisions, leases with lineage, bonds, proofs, rollbacks.

Decisions, commitments, bonds and rollbacks go through the real rules and services; hashes and proofs are made
up. A step may be tried again after a failure: `put` goes on from wherever it stands.

    story = make_story(("load", "clean"))
    story.put("load", "attested")
    story.put("clean", "executing")
    story.fail("load")
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import transaction

from apps.accounts.models import Project
from apps.attestation.models import Ballot, RoundItem, Vote
from apps.execution.data import AssignmentStatus
from apps.jobs.data import EdgeKind
from apps.keepers.models import Keeper
from apps.ledger.domain.postings import keeper_free
from apps.ledger.selectors import get_balances
from apps.ledger.services import transactions_post
from apps.proofs.domain.deferral import ProofStatus
from apps.proofs.models import Proof
from apps.rollback.models import DeadLetter, Rollback
from apps.rollback.services import rollbacks_apply
from apps.speculation.data import STANDINGS, Standing
from apps.speculation.domain.decision import Decision, decide
from apps.speculation.domain.frontier import build_candidate
from apps.speculation.domain.graph import DependencyGraph
from apps.speculation.domain.lineage import stamp_of
from apps.speculation.services import (
    Opening,
    commitments_confirm,
    commitments_fulfil,
    commitments_lock_open,
    commitments_open,
    decisions_record,
)
from apps.tasks.changes import TaskChanges
from apps.tasks.data import FailureReason, TaskStatus
from apps.tasks.models import Edge, Task
from tests.factories.ahead import Ahead
from tests.factories.jobs import job_body, make_job
from tests.factories.ledger import fund_keeper
from tests.factories.speculation import make_around, make_offer, make_terms
from tests.factories.spine import chained, made_hash, make_keepers

_S = TaskStatus
_P = ProofStatus
_WAY: Final = (
    _S.DISCOVERED,
    _S.WAITING,
    _S.SCHEDULED,
    _S.EXECUTING,
    _S.EXECUTED,
    _S.ATTESTED,
    _S.PROVING,
    _S.PROVED,
    _S.WAITING_ANCESTORS,
    _S.SUBMITTED,
    _S.CONFIRMED,
)
_PROOFS: Final = {
    _S.PROVING: _P.GENERATING,
    _S.PROVED: _P.GENERATED,
    _S.WAITING_ANCESTORS: _P.AWAITING_ANCESTORS,
    _S.SUBMITTED: _P.SUBMITTING,
    _S.CONFIRMED: _P.CONFIRMED,
}
_HOUR: Final = timedelta(hours=1)
_STAKE_UNITS: Final = 1_000_000_000


def make_story(
    steps: Sequence[Any] = ("load", "clean", "publish"),
    *,
    project: Project | None = None,
    keepers: Sequence[Keeper] | None = None,
    at: datetime | None = None,
    name: str = "pipeline",
) -> "Story":
    """A run with nothing started; `steps` are keys of a chain, or step definitions."""
    definitions = chained(*steps) if all(isinstance(step, str) for step in steps) else list(steps)
    job = make_job(project=project, **job_body(name=name, steps=definitions))
    story = Story(job, at or datetime.now(UTC) - timedelta(seconds=60), keepers or make_keepers())
    for keeper in story.keepers:
        if not get_balances([keeper_free(keeper.address)])[keeper_free(keeper.address)]:
            fund_keeper(keeper.address, _STAKE_UNITS)
    return story


class Story(Ahead):
    """One run, told step by step."""

    def put(self, step: str, status: str) -> None:
        """Move a step along from where it stands, through its proof, asking the decision on the way."""
        self.reload()
        self._step, target = step, TaskStatus(status)
        for stage in _WAY[_WAY.index(TaskStatus(self.task.status)) + 1 : _WAY.index(target) + 1]:
            if stage is _S.WAITING and target is not stage:
                continue
            if stage is _S.WAITING_ANCESTORS and not self._open_ancestors():
                continue
            self._pass(stage)

    def ask(self, step: str, **terms: Any) -> Decision:
        """Ask the decision about a step that has not started; `terms` are limits. It is recorded."""
        self.reload()
        self._step = step
        graph, standings = self._graph()
        decision = decide(
            build_candidate(graph, standings, self.task.id),
            offer=make_offer(keeper=self.performer.address, lease_expires_at=self.now + 2 * _HOUR),
            around=make_around(),
            terms=make_terms(terms),
            now=self.now,
        )
        decisions_record([decision], now=self.now)
        return decision

    def fail(
        self,
        step: str,
        reason: FailureReason = FailureReason.PROOF_REJECTED,
        *,
        detail: str = "",
        is_last: bool = False,
    ) -> Rollback:
        """The step's attempt fails, and the rollback stage deals with it.

        `is_last`: it has no other attempt left.
        """
        self.now += timedelta(milliseconds=400)
        if is_last:
            most = settings.FOREKEEP.execution.max_attempts
            Task.objects.filter(pk=self.tasks[step].pk).update(failures=most - 1)
        self.signal(step, reason, detail=detail)
        self.now += timedelta(milliseconds=20)
        rollbacks_apply(now=self.now, limit=100)
        self.reload()
        return Rollback.objects.filter(root=self.tasks[step]).latest("pk")

    def letter(self, step: str) -> DeadLetter:
        """The latest dead letter about a step."""
        return DeadLetter.objects.filter(task=self.tasks[step]).latest("pk")

    def proof(self, step: str) -> Proof:
        """The proof of the step's present attempt."""
        return Proof.objects.get(task=self.tasks[step], epoch=self.tasks[step].epoch)

    def vote(self, step: str, attester: str, *, positive: bool = True, reason: str = "") -> None:
        """The first attempt's votes are the spine's; those of a later round have its number."""
        row = self._after_round[step]
        number = RoundItem.objects.get(round=row).number
        if number == 1:
            super().vote(step, attester, positive=positive, reason=reason)
            return
        Ballot.objects.create(
            round=row,
            attester=attester,
            root=row.root,
            is_unanimous=positive,
            signature=made_hash("ballot", row.id, attester),
            received_at=self.now,
        )
        Vote.objects.create(
            task=self.tasks[step], attester=attester, number=number, is_positive=positive, reason=reason
        )

    def _pass(self, stage: TaskStatus) -> None:
        if stage in (_S.PROVING, _S.PROVED, _S.WAITING_ANCESTORS, _S.WAITING):
            self._move(stage)
        else:
            self._enter(stage)
        self._follow_proof(stage)

    def _move(self, target: TaskStatus, **changed: Any) -> None:
        """A step is scheduled as admission does it, with its decision's answer in the event."""
        if target is not _S.SCHEDULED:
            super()._move(target, **changed)
            return
        self.now += timedelta(milliseconds=30)
        self._decision = self.ask(self._step)
        is_ahead = self._decision.verdict == "ahead"
        with transaction.atomic():
            changes = TaskChanges([self.task], now=self.now)
            facts = {"verdict": str(self._decision.verdict), "depth": self._decision.depth}
            changes.move(
                self.task,
                target,
                wake_at=self.now + _HOUR,
                changed={"is_ahead": is_ahead, **changed},
                facts=facts,
                event="task.admitted",
            )
            changes.write()

    def _scheduled(self) -> None:
        super()._scheduled()
        epochs = {task.id: task.epoch for task in self.tasks.values()}
        ancestors = tuple((above, epochs[above]) for above in self._decision.ancestors)
        lineage = [stamp_of(*attempt) for attempt in (*ancestors, (self.task.id, self.task.epoch))]
        self._leases().update(lineage=lineage if ancestors else [], expires_at=self.now + _HOUR)
        if self._decision.bond_units:
            opening = Opening(
                task=self.task,
                epoch=self.task.epoch,
                keeper=self.performer.address,
                depth=self._decision.depth,
                bond_units=self._decision.bond_units,
                ancestors=ancestors,
            )
            transactions_post(commitments_open([opening], now=self.now))

    def _executed(self) -> None:
        Task.objects.filter(pk=self.task.pk).update(rounds=self.task.rounds)
        super()._executed()
        hashes = {self.task.id: (self.task.result or {})["output_hash"]}
        with transaction.atomic():
            commitments_fulfil(commitments_lock_open([self.task.id]).values(), hashes)
        self.task.rounds += 1
        Task.objects.filter(pk=self.task.pk).update(rounds=self.task.rounds)

    def _confirmed(self) -> None:
        super()._confirmed()
        with transaction.atomic():
            rows = list(commitments_lock_open([self.task.id]).values())
            transactions_post(commitments_confirm(rows, now=self.now))

    def _end_lease(self, status: AssignmentStatus, reason: str) -> None:
        super()._end_lease(status, reason)
        self._leases().update(receipt={"task": str(self.task)})

    def _follow_proof(self, stage: TaskStatus) -> None:
        """The row of the task's proof, as it is when the task is in this stage."""
        status = _PROOFS.get(stage)
        if status is None:
            return
        if status is _P.GENERATING:
            Proof.objects.create(
                task=self.task,
                epoch=self.task.epoch,
                circuit=16,
                public_input=made_hash("statement", self.task.id, self.task.epoch),
                input_hash=made_hash("input", self.task.id, self.task.epoch),
                depth=self._decision.depth,
                ancestors=[above.hex for above in self._open_ancestors()],
                queued_at=self.now,
                generation_started_at=self.now,
                generation_attempts=1,
                status=status,
                resend_at=self.now + _HOUR,
                wake_at=self.now + _HOUR,
            )
            return
        changed: dict[str, Any] = {"status": status, "resend_at": None, "submission": ""}
        if status is _P.GENERATED:
            made = {"generated_at": self.now, "proof": made_hash("proof", self.task.id)}
            changed |= {**made, "wall_seconds": 1.31, "cpu_seconds": 1.29, "waited_seconds": 0.02}
            changed |= {"peak_memory_bytes": 161_480_704, "delay_seconds": 0.0}
        if status is _P.SUBMITTING:
            changed |= {"submission": "batch", "submission_started_at": self.now, "is_signed": True}
        if status is _P.CONFIRMED:
            changed |= {"ended_at": self.now, "wake_at": None}
        Proof.objects.filter(task=self.task, epoch=self.task.epoch).update(**changed)

    def _open_ancestors(self) -> list[UUID]:
        graph, _ = self._graph()
        return graph.get_order(graph.get_unconfirmed_ancestors(self.task.id))

    def _graph(self) -> tuple[DependencyGraph[UUID], dict[UUID, Standing]]:
        rows = Task.objects.filter(run=self.run).order_by("position").values_list("id", "status")
        standings = {task_id: STANDINGS[status] for task_id, status in rows}
        edges = [
            (parent, child, EdgeKind(kind))
            for parent, child, kind in Edge.objects.filter(run=self.run).values_list(
                "parent_id", "child_id", "kind"
            )
        ]
        confirmed = [task for task, standing in standings.items() if standing is Standing.CONFIRMED]
        return DependencyGraph.build(standings, edges, confirmed), standings

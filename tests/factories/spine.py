"""Runs in any state, with everything that belongs to them, without a chain, a keeper or a worker.

Rows move through the real transition tables and events (`TaskChanges`), so streams, replays and
constraints see what they see in production; only hashes and signatures are made up.

    spine = make_run({"load": "confirmed", "clean": "executing"}, steps=("load", "clean", "publish"))
    spine.to("clean", "executed")
"""

import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import networkx as nx
from django.db import transaction

from apps.accounts.models import Project
from apps.attestation.data import ItemVerdict, RoundStatus
from apps.attestation.models import Ballot, Round, RoundItem, Vote
from apps.chains.data import OutboundStatus
from apps.chains.models import Outbound, Sender
from apps.content.domain.cid import cid_digest, cid_of
from apps.eventlog.data import EventDraft
from apps.eventlog.services import rows_create, rows_write
from apps.execution.data import AssignmentStatus
from apps.execution.models import Assignment
from apps.jobs.models import Job
from apps.keepers.models import Keeper
from apps.kernel.ids import new_id
from apps.settlement.data import BatchStatus, SettlementStatus
from apps.settlement.models import Batch, Settlement
from apps.tasks.changes import TaskChanges
from apps.tasks.data import TaskStatus
from apps.tasks.models import Edge, Run, Task
from apps.tasks.opening import Opening, runs_open
from tests.factories.jobs import SCRIPT, job_body, make_job
from tests.factories.made_keepers import CHAIN_ID, made_hash, make_keepers

_S = TaskStatus
COMMITTEE: Final = 4
#: the statuses a task passes on its way to each of the good ones
_WAY: Final = (_S.SCHEDULED, _S.EXECUTING, _S.EXECUTED, _S.ATTESTED, _S.SUBMITTED, _S.CONFIRMED)
#: how long it stays in each, in milliseconds
_PACE_MS: Final[Mapping[TaskStatus, int]] = {
    _S.DISCOVERED: 12,
    _S.WAITING: 40,
    _S.SCHEDULED: 85,
    _S.EXECUTING: 640,
    _S.EXECUTED: 930,
    _S.ATTESTED: 120,
    _S.SUBMITTED: 2_400,
}
_blocks = itertools.count(1_204)


def chained(*keys: str) -> list[dict[str, Any]]:
    """Steps of which each reads the one before."""
    return [
        {"key": key, "script_source": SCRIPT, "parents": list(keys[max(0, index - 1) : index])}
        for index, key in enumerate(keys)
    ]


def make_run(
    statuses: Mapping[str, str] | str = "confirmed",
    *,
    project: Project | None = None,
    job: Job | None = None,
    steps: Sequence[Any] = ("load", "clean", "aggregate", "publish"),
    at: datetime | None = None,
    keepers: Sequence[Keeper] | None = None,
    name: str = "pipeline",
    tick_key: str | None = None,
) -> "Spine":
    """A run whose steps stand where `statuses` says (one status for all, or by step; else discovered).

    `steps` are keys of a chain, or step definitions; `at` is when it was opened.
    """
    if job is None:
        definitions = chained(*steps) if all(isinstance(step, str) for step in steps) else list(steps)
        job = make_job(project=project, **job_body(name=name, steps=definitions))
    spine = Spine(job, at or datetime.now(UTC) - timedelta(seconds=60), keepers or make_keepers(), tick_key)
    wanted = dict.fromkeys(spine.tasks, statuses) if isinstance(statuses, str) else statuses
    for step in spine.tasks:
        if step in wanted:
            spine.to(step, wanted[step])
    return spine


class Spine:
    """One run under construction: its rows, its keepers and its clock."""

    def __init__(
        self,
        job: Job,
        at: datetime,
        keepers: Sequence[Keeper],
        tick_key: str | None = None,
        escrow_units: int = 0,
    ) -> None:
        job.estimated_cost_units = escrow_units
        #: what each result says it cost
        self.compute_units = 12
        self.job = job
        self.now = at
        self.keepers = keepers
        due_at = at.replace(microsecond=0)
        opening = Opening(job=job, tick_key=tick_key or f"manual:{new_id().hex}", due_at=due_at)
        with transaction.atomic():
            (self.run,) = runs_open([opening], now=at)
        self.tasks = {task.step_key: task for task in Task.objects.filter(run=self.run).order_by("position")}
        self._after_round: dict[str, Round] = {}

    def to(self, step: str, status: str, *, code: str = "script_failed", detail: str = "exit code 1") -> Task:
        """Move a step along its way to a status; `code` and `detail` are those of a failure."""
        target = TaskStatus(status)
        self._step = step
        if target in _WAY:
            for stage in _WAY[: _WAY.index(target) + 1]:
                if stage not in self.task.timeline:
                    self._enter(stage)
        elif target == _S.WAITING:
            self._move(_S.WAITING)
        elif target == _S.CANCELLED:
            Run.objects.filter(pk=self.run.pk).update(cancel_requested_at=self.now)
            self._move(_S.CANCELLED, error_code="cancelled")
        elif target == _S.ABORTED:
            self.to(step, "executing")
            self._move(_S.ABORTED, error_code="cancelled")
            self._end_lease(AssignmentStatus.REVOKED, "task_aborted")
        elif target == _S.FAILED:
            self.to(step, "executing")
            self._fail(code, detail)
        return self.task

    def refresh(self) -> Run:
        """The run as the database has it."""
        self.run = Run.objects.select_related("job").get(pk=self.run.pk)
        return self.run

    @property
    def task(self) -> Task:
        """The step being moved."""
        return self.tasks[self._step]

    @property
    def performer(self) -> Keeper:
        """The keeper that does this step."""
        return self.keepers[self.task.position % (len(self.keepers) - 1)]

    def _enter(self, stage: TaskStatus) -> None:
        if stage is _S.SCHEDULED and self.task.depth and "waiting" not in self.task.timeline:
            self._move(_S.WAITING)
        prepare = {
            _S.SCHEDULED: self._scheduled,
            _S.EXECUTING: self._executing,
            _S.EXECUTED: self._executed,
            _S.ATTESTED: self._attested,
            _S.SUBMITTED: self._submitted,
            _S.CONFIRMED: self._confirmed,
        }
        prepare[stage]()

    def _move(self, target: TaskStatus, **changed: Any) -> None:
        self.now += timedelta(milliseconds=_PACE_MS.get(TaskStatus(self.task.status), 50))
        with transaction.atomic():
            changes = TaskChanges([self.task], now=self.now)
            wake_at = self.now + timedelta(minutes=10)
            changes.move(self.task, target, wake_at=wake_at, changed=changed)
            changes.write()

    def _fail(self, code: str, detail: str) -> None:
        """The step fails for good, and what depends on it is cancelled."""
        self.now += timedelta(milliseconds=_PACE_MS[_S.EXECUTING])
        self._end_lease(AssignmentStatus.FAILED, code)
        edges = Edge.objects.filter(run=self.run).values_list("parent_id", "child_id")
        graph = nx.DiGraph(list(edges))
        below = nx.descendants(graph, self.task.id) if self.task.id in graph else set()
        with transaction.atomic():
            changes = TaskChanges(list(self.tasks.values()), now=self.now)
            for task in reversed(self.tasks.values()):
                if task.id in below:
                    changes.move(task, _S.CANCELLED, changed={"error_code": "ancestor_failed"})
            changed = {"error_code": code, "error_detail": detail, "failures": self.task.failures + 1}
            changes.move(self.task, _S.FAILED, changed=changed)
            changes.write()
        self.tasks = {task.step_key: task for task in Task.objects.filter(run=self.run).order_by("position")}

    def _scheduled(self) -> None:
        self._move(_S.SCHEDULED)
        rival = self.keepers[(self.task.position + 1) % (len(self.keepers) - 1)]
        parts = {"performance": 962_400, "load": 800_000, "reputation": 568_500, "specialization": 1_000_000}
        card = {
            "score": 838_660,
            "parts": parts,
            "candidates": len(self.keepers) - 1,
            "runner_up": {"keeper": rival.address, "score": 801_240, "parts": {**parts, "load": 666_666}},
        }
        Assignment.objects.create(
            task=self.task,
            epoch=self.task.epoch + 1,
            keeper=self.performer,
            status=AssignmentStatus.OFFERED,
            offered_at=self.now,
            acknowledge_by=self.now + timedelta(seconds=30),
            expires_at=self.now + timedelta(seconds=60),
            resend_at=self.now + timedelta(seconds=5),
            score_card=card,
        )
        changed: dict[str, Any] = {"epoch": self.task.epoch + 1, "performer": self.performer.address}
        self.task.epoch, self.task.performer = changed["epoch"], changed["performer"]
        draft = EventDraft(
            row=self.task,
            type="task.assigned",
            payload={"set": changed, "score": card["score"]},
            run_id=self.run.id,
            project_id=self.run.project_id,
            trace_id=self.run.trace_id,
        )
        with transaction.atomic():
            rows_write([self.task], tuple(changed), [draft], now=self.now)

    def _executing(self) -> None:
        self._move(_S.EXECUTING)
        self._leases().update(status=AssignmentStatus.ACKNOWLEDGED, acknowledged_at=self.now)

    def _executed(self) -> None:
        started = self.now + timedelta(milliseconds=30)
        ended = self.now + timedelta(milliseconds=_PACE_MS[_S.EXECUTING] - 40)
        output = cid_of(f"output of {self.task.id}".encode())
        result = {
            "status": "ok",
            "output_cid": output,
            "output_hash": "0x" + cid_digest(output).hex(),
            "package_cid": cid_of(f"package of {self.task.id}".encode()),
            "action": None,
            "gas_used": 41_234,
            "simulated_block": 17,
            "compute_units": self.compute_units,
            "cpu_ms": 412,
            "wall_ms": 570,
            "peak_memory_bytes": 41_943_040,
            "started_at": started.isoformat().replace("+00:00", "Z"),
            "finished_at": ended.isoformat().replace("+00:00", "Z"),
        }
        self._move(
            _S.EXECUTED, result=result, output_cid=result["output_cid"], package_cid=result["package_cid"]
        )
        self._end_lease(AssignmentStatus.RETURNED, "")
        self._open_round()

    def _open_round(self) -> None:
        others = [keeper.address for keeper in self.keepers if keeper.address != self.performer.address]
        row = Round(
            performer=self.performer.address,
            root=made_hash("root", self.task.id),
            seed=made_hash("seed", self.task.id),
            committee=others[:COMMITTEE],
            required=(2 * COMMITTEE + 2) // 3,
            size=1,
            opened_at=self.now,
            wake_at=self.now + timedelta(seconds=60),
            resend_at=self.now + timedelta(seconds=5),
            trace_id=self.run.trace_id,
        )
        rows_create([row], [EventDraft(row=row, type="round.opened", payload={"set": {"status": "open"}})])
        RoundItem.objects.create(
            round=row,
            task=self.task,
            epoch=self.task.epoch,
            number=self.task.rounds + 1,
            position=0,
            proof_of_task=made_hash("proof", self.task.id),
        )
        self._after_round[self._step] = row

    def _attested(self) -> None:
        row = self._after_round[self._step]
        for attester in row.committee[: row.required]:
            self.vote(self._step, attester)
        RoundItem.objects.filter(round=row).update(verdict=ItemVerdict.VALID)
        Round.objects.filter(pk=row.pk).update(status=RoundStatus.UNANIMOUS, closed_at=self.now)
        self._move(_S.ATTESTED)

    def vote(self, step: str, attester: str, *, positive: bool = True, reason: str = "") -> None:
        """One attester's ballot and vote in the step's round."""
        row = self._after_round[step]
        Ballot.objects.create(
            round=row,
            attester=attester,
            root=row.root,
            is_unanimous=positive,
            signature=made_hash("ballot", row.id, attester),
            received_at=self.now,
        )
        Vote.objects.create(
            task=self.tasks[step],
            attester=attester,
            number=1,
            is_positive=positive,
            reason=reason,
        )

    def _submitted(self) -> None:
        self._move(_S.SUBMITTED)
        row = self._after_round[self._step]
        sender, _ = Sender.objects.get_or_create(address="0x" + "5e" * 20, chain_id=CHAIN_ID)
        sender.next_nonce += 1
        sender.save()
        outbound = Outbound.objects.create(
            chain_id=CHAIN_ID,
            sender=sender,
            nonce=sender.next_nonce - 1,
            purpose="settlement",
            to="0x" + "4b" * 20,
            data=b"",
            gas_limit=500_000,
            max_fee_wei=2_000_000_000,
            priority_fee_wei=1_000_000_000,
            raw=b"",
            tx_hash=made_hash("tx", self.task.id),
            status=OutboundStatus.BROADCAST,
            wake_at=self.now,
            created_at=self.now,
            trace_id=self.run.trace_id,
        )
        batch = Batch(
            round=row,
            root=row.root,
            size=1,
            attesters=row.committee[: row.required],
            aggregated_signature=made_hash("aggregate", row.id),
            outbound=outbound,
            submitted_at=self.now,
            trace_id=self.run.trace_id,
        )
        created = EventDraft(row=batch, type="batch.submitted", payload={"set": {"status": "submitted"}})
        rows_create([batch], [created])
        Settlement.objects.create(
            batch=batch,
            task=self.task,
            epoch=self.task.epoch,
            position=0,
            proof_of_task=made_hash("proof", self.task.id),
            tx_hash=outbound.tx_hash,
        )

    def _confirmed(self) -> None:
        block = next(_blocks)
        self._move(_S.CONFIRMED)
        settlement = Settlement.objects.select_related("batch__outbound").get(task=self.task)
        settlement.status = SettlementStatus.SETTLED
        settlement.block_number, settlement.block_hash = block, made_hash("block", block)
        settlement.gas_units, settlement.fee_units = 283_114, 402_873
        settlement.save()
        Batch.objects.filter(pk=settlement.batch_id).update(
            status=BatchStatus.CONFIRMED, confirmed_at=self.now
        )
        Outbound.objects.filter(pk=settlement.batch.outbound_id).update(
            status=OutboundStatus.CONFIRMED,
            block_number=block,
            block_hash=settlement.block_hash,
            wake_at=None,
        )

    def _leases(self) -> Any:
        return Assignment.objects.filter(task=self.task, epoch=self.task.epoch)

    def _end_lease(self, status: AssignmentStatus, reason: str) -> None:
        self._leases().update(status=status, end_reason=reason, ended_at=self.now)

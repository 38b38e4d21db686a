"""Attested tasks that want a proof, at a clock of the test's own, and passes over them.

world = ProofWorld({"a": [], "b": ["a"]})
world.plan()
world.answer("a")
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction

from apps.attestation.models import Round
from apps.eventlog.models import Event
from apps.kernel.outcome import Dispatch, Outcome
from apps.proofs.domain.statement import compute_statement
from apps.proofs.domain.task_witness import build_witness
from apps.proofs.models import Proof
from apps.proofs.services import (
    proof_generated,
    proof_generation_failed,
    proofs_confirm,
    proofs_mark_signed,
    proofs_plan,
)
from apps.tasks.changes import TaskChanges
from apps.tasks.data import TaskStatus
from apps.tasks.models import Task
from tests.factories.jobs import SCRIPT
from tests.factories.spine import Spine, make_run
from tests.support.prover import result_of

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
LATER = timedelta(hours=1)


def want_proof(task: Task, *, circuit: int = 16, salt: int = 7) -> Task:
    """Let an attested task's specification ask for a proof, and its result say of what."""
    task.spec = {**task.spec, "proof": {"circuit": circuit}, "awaits": {}}
    task.result = {**(task.result or {}), "salt": f"0x{salt:064x}"}
    witness = build_witness(task_id=task.id.int, spec=task.spec, result=task.result)
    task.result["statement"] = f"0x{compute_statement(witness).public_input:064x}"
    Task.objects.filter(pk=task.pk).update(spec=task.spec, result=task.result)
    return task


class ProofWorld:
    """One run whose steps are attested and want a proof, and everything passes sent."""

    def __init__(
        self,
        steps: Mapping[str, Iterable[str]] | Iterable[str],
        *,
        wanting: bool = True,
        now: datetime = START,
    ) -> None:
        parents = steps if isinstance(steps, Mapping) else dict.fromkeys(steps, ())
        bodies = [
            {"key": key, "script_source": SCRIPT, "parents": list(above)} for key, above in parents.items()
        ]
        self.now = now
        self.spine: Spine = make_run("attested", steps=bodies, at=now - timedelta(minutes=5))
        Task.objects.filter(run=self.spine.run).update(wake_at=now)
        if wanting:
            for task in self.spine.tasks.values():
                want_proof(task)
        self.sent: list[Dispatch] = []
        self.killed: list[str] = []
        self.poked: set[str] = set()

    def task(self, step: str = "a") -> Task:
        """The step's task as the database has it."""
        return Task.objects.get(pk=self.spine.tasks[step].pk)

    def proof(self, step: str = "a") -> Proof:
        """The proof of its present attempt."""
        task = self.task(step)
        return Proof.objects.get(task=task, epoch=task.epoch)

    def statuses(self, *steps: str) -> list[tuple[str, str]]:
        """(task's status, proof's status) of each step."""
        return [(self.task(step).status, self.proof(step).status) for step in steps]

    def events(self, step: str = "a") -> list[str]:
        """What the step's events say of its proof, oldest first."""
        own = Event.objects.filter(aggregate_id=self.task(step).id.hex, event_type__startswith="proof.")
        return list(own.order_by("sequence_number").values_list("event_type", flat=True))

    def failure(self, step: str = "a") -> tuple[str, str] | None:
        """The reason and code of the step's signalled failure."""
        return self.task(step).signals.values_list("reason", "error_code").first()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def plan(self, **options: Any) -> Outcome:
        """One pass."""
        return self.take(proofs_plan(now=self.now, limit=options.pop("limit", 100), **options))

    def take(self, outcome: Outcome) -> Outcome:
        """Keep what an outcome sends and pokes."""
        self.sent += outcome.dispatches
        self.killed += [handle for one in outcome.revocations for handle in one.proofs]
        self.poked |= outcome.pokes
        return outcome

    def answer(self, *steps: str, attempt: int | None = None, **fields: Any) -> list[Outcome]:
        """The prover has made these proofs, of the present attempt unless another is named."""
        return [self.take(self._answer(step, attempt, fields)) for step in steps]

    def fail(self, error: Exception, step: str = "a", *, attempt: int | None = None) -> Outcome:
        """The prover has not made it."""
        row = self.proof(step)
        number = row.generation_attempts if attempt is None else attempt
        return self.take(proof_generation_failed(proof_id=row.id, attempt=number, error=error, now=self.now))

    def prove(self, *steps: str) -> None:
        """Have these proofs asked for and made, and another pass over all."""
        self.plan()
        self.answer(*steps)
        self.plan()

    def sign(self, *steps: str) -> None:
        """What settlement does: sign the submission of these steps' tasks."""
        self._settle(TaskStatus.SUBMITTED, steps)

    def confirm(self, *steps: str) -> None:
        """What settlement does once the chain took it."""
        self._settle(TaskStatus.CONFIRMED, steps)

    def move(self, step: str, target: TaskStatus, **changed: Any) -> None:
        """Move a task as another stage does."""
        with transaction.atomic():
            task = self.task(step)
            changes = TaskChanges([task], now=self.now)
            changes.move(task, target, wake_at=self.now, changed=changed)
            changes.write()

    def attest_again(self, step: str = "a") -> None:
        """What follows a submission that came back: executed again, and attested again."""
        Round.objects.filter(items__task=self.task(step)).update(wake_at=self.now)
        self.move(step, TaskStatus.EXECUTED)
        self.move(step, TaskStatus.ATTESTED)

    def _settle(self, target: TaskStatus, steps: Iterable[str]) -> None:
        with transaction.atomic():
            tasks = [self.task(step) for step in steps]
            changes = TaskChanges(tasks, now=self.now)
            for task in tasks:
                changes.move(task, target, wake_at=self.now + LATER)
            if target is TaskStatus.SUBMITTED:
                proofs_mark_signed(tasks, now=self.now)
            else:
                proofs_confirm(tasks, now=self.now)
            changes.write()

    def _answer(self, step: str, attempt: int | None, fields: Mapping[str, Any]) -> Outcome:
        row = self.proof(step)
        number = row.generation_attempts if attempt is None else attempt
        values = {"public_input": int(row.public_input, 16), **fields}
        return proof_generated(proof_id=row.id, attempt=number, result=result_of(**values), now=self.now)

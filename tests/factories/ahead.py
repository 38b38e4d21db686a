"""Runs that run ahead: tasks in any status at once, under bond, with failures signalled on some of them.

Nothing here asks whether a task may start: what is to be undone is built, not decided.

    run = make_ahead({"a": "submitted", "b": "waiting_ancestors", "c": "executing"}, bonds={"a": 1_000_000})
    run.signal("a", FailureReason.PROOF_REJECTED)
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import transaction

from apps.accounts.models import Project
from apps.eventlog.locking import lock_rows
from apps.keepers.models import Keeper
from apps.ledger.data import AccountKey
from apps.ledger.domain.postings import keeper_bonded, keeper_free
from apps.ledger.selectors import get_balances
from apps.ledger.services import transactions_post
from apps.speculation.data import CommitmentStatus
from apps.speculation.domain.postings import bond_lock
from apps.speculation.models import Commitment
from apps.tasks.changes import TaskChanges
from apps.tasks.data import FailureReason, TaskStatus
from apps.tasks.models import Task
from tests.factories.jobs import job_body, make_job
from tests.factories.ledger import fund_keeper
from tests.factories.spine import Spine, chained, make_keepers

_S = TaskStatus
#: what comes between attested and submitted
_PROOF_WAY: Final = (_S.PROVING, _S.PROVED, _S.WAITING_ANCESTORS)
STAKE_UNITS: Final = 10_000_000


def make_ahead(
    statuses: Mapping[str, str],
    *,
    steps: Sequence[dict[str, Any]] | None = None,
    bonds: Mapping[str, int] | None = None,
    compute: Mapping[str, int] | None = None,
    project: Project | None = None,
    keepers: Sequence[Keeper] | None = None,
    escrow_units: int = 0,
    at: datetime | None = None,
) -> "Ahead":
    """A run whose steps (a chain in this order, unless `steps` says more) stand in these statuses.

    `bonds` and `compute` are units by step; every keeper that has none yet gets 10,000,000 of stake.
    """
    job = make_job(project=project, **job_body(steps=list(steps or chained(*statuses))))
    run = Ahead(
        job,
        at or datetime.now(UTC) - timedelta(seconds=60),
        keepers or make_keepers(len(statuses) + 1),
        escrow_units=escrow_units,
    )
    for keeper in run.keepers:
        if not sum(run.balances(keeper.address)):
            fund_keeper(keeper.address, STAKE_UNITS)
    for step, status in statuses.items():
        run.compute_units = (compute or {}).get(step, 12)
        run.put(step, status)
    for step, units in (bonds or {}).items():
        run.bond(step, units)
    return run


class Ahead(Spine):
    """One run under construction."""

    def put(self, step: str, status: str) -> None:
        """Move a step along its way to a status."""
        target = TaskStatus(status)
        if target in _PROOF_WAY:
            self.to(step, _S.ATTESTED)
            for stage in _PROOF_WAY[: _PROOF_WAY.index(target) + 1]:
                self._move(stage)
        elif target is not _S.DISCOVERED:
            self.to(step, status)

    def bond(self, step: str, units: int) -> None:
        """Let the step's keeper bind units to its present attempt."""
        task = self.tasks[step]
        transactions_post([bond_lock(task.performer, task.id, task.epoch, units)])
        has_result = task.result is not None
        Commitment.objects.create(
            task=task,
            run=self.run,
            epoch=task.epoch,
            producer_id=task.performer,
            depth=task.depth,
            bond_units=units,
            status=CommitmentStatus.FULFILLED if has_result else CommitmentStatus.OPEN,
            opened_at=self.now,
        )

    def signal(
        self,
        step: str,
        reason: FailureReason = FailureReason.PROOF_REJECTED,
        *,
        code: str = "",
        detail: str = "",
    ) -> None:
        """Tell that the step's present attempt failed."""
        with transaction.atomic():
            tasks = lock_rows(Task.objects.filter(pk=self.tasks[step].pk), skip_locked=False)
            changes = TaskChanges(tasks, now=self.now)
            for task in tasks:
                changes.signal(task, reason, code or str(reason), detail)
            changes.write()
        self.reload()

    def reload(self) -> "Ahead":
        """Everything as the database has it."""
        self.refresh()
        self.tasks = {task.step_key: task for task in Task.objects.filter(run=self.run).order_by("position")}
        return self

    def statuses(self) -> dict[str, str]:
        """Step → status, as the database has it."""
        return {step: task.status for step, task in self.reload().tasks.items()}

    def keeper(self, step: str) -> str:
        """Whose work the step is by its place in the run."""
        return self.keepers[self.tasks[step].position % (len(self.keepers) - 1)].address

    def balances(self, keeper: str) -> tuple[int, int]:
        """(free, bonded) of a keeper."""
        keys: tuple[AccountKey, AccountKey] = (keeper_free(keeper), keeper_bonded(keeper))
        found = get_balances(keys)
        return found[keys[0]], found[keys[1]]

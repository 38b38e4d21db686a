"""Dead letters replayed in one transaction: which may be, what they open, and whose money it takes.

Locks: tasks of the letters' runs, the letters, runs, accounts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from apps.eventlog.locking import lock_rows
from apps.eventlog.services import rows_write
from apps.kernel.errors import DomainError
from apps.ledger.data import AccountKey
from apps.ledger.domain.postings import project_escrow, project_prepaid
from apps.ledger.errors import InsufficientFunds
from apps.ledger.services import accounts_lock
from apps.rollback.cascades import Cascades
from apps.rollback.errors import RetryNotAllowed
from apps.rollback.loading import runs_lock
from apps.rollback.models import DeadLetter
from apps.rollback.records import letter_draft
from apps.tasks.data import RunStatus
from apps.tasks.models import Run, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """How many letters were replayed, and why the others were not (letter → its refusal)."""

    count: int = 0
    refusals: Mapping[UUID, DomainError] = field(default_factory=dict)


def letters_replay(letter_ids: Sequence[UUID], *, now: datetime, actor: str) -> Replayed:
    """Replay these letters, ancestors first; one that was replayed before is left alone."""
    if not letter_ids:
        return Replayed()
    with transaction.atomic():
        chosen = DeadLetter.objects.filter(pk__in=letter_ids)
        loaded = runs_lock(list(chosen.values_list("run_id", flat=True).distinct().order_by()))
        letters = {
            row.task_id: row for row in lock_rows(chosen, skip_locked=False) if row.replayed_at is None
        }
        runs = {row.id: row for row in lock_rows(_runs_of(letters), skip_locked=False)}
        purse = _Purse(list(runs.values()))
        cascades = Cascades(loaded, now=now)
        refusals: dict[UUID, DomainError] = {}
        replayed: list[DeadLetter] = []
        for task_id in loaded.graph.get_order(letters):
            letter, task = letters[task_id], loaded.tasks[task_id]
            run = runs[letter.run_id]
            try:
                _require_replayable(letter, task, run)
                purse.require(run)
                cascades.reopen(task_id, wake_at=now, changed={"failures": 0})
            except (RetryNotAllowed, InsufficientFunds) as exc:
                refusals[letter.id] = exc
                continue
            purse.spend(run)
            letter.replayed_at = now
            replayed.append(letter)
        cascades.write()
        drafts = [
            letter_draft(
                letter,
                "dead_letter.replayed",
                ("replayed_at",),
                trace_id=runs[letter.run_id].trace_id,
                by=actor,
            )
            for letter in replayed
        ]
        rows_write(replayed, ("replayed_at",), drafts, now=now)
    return Replayed(count=len(replayed), refusals=refusals)


class _Purse:
    """What the projects of ended runs can pay for opening them again; locks their accounts."""

    def __init__(self, runs: Sequence[Run]) -> None:
        ended = {run.project_id for run in runs if run.status != RunStatus.OPEN}
        self._left: dict[AccountKey, int] = accounts_lock(
            {key(project) for project in ended for key in (project_prepaid, project_escrow)}
        )
        self._paid = {run.id for run in runs if run.status == RunStatus.OPEN}

    def require(self, run: Run) -> None:
        """Raise InsufficientFunds where the run's project cannot pay what is left of its cost."""
        account, needed = project_prepaid(run.project_id), run.escrow_units - run.spent_units
        if run.id not in self._paid and self._left[account] < needed:
            raise InsufficientFunds(account=str(account), balance=self._left[account], needed=needed)

    def spend(self, run: Run) -> None:
        """Count a run as paid for."""
        if run.id not in self._paid:
            self._left[project_prepaid(run.project_id)] -= run.escrow_units - run.spent_units
            self._paid.add(run.id)


def _runs_of(letters: Mapping[UUID, DeadLetter]) -> "QuerySet[Run, Run]":
    return Run.objects.filter(pk__in={letter.run_id for letter in letters.values()})


def _require_replayable(letter: DeadLetter, task: Task, run: Run) -> None:
    """Raise RetryNotAllowed unless the letter is about the task's last attempt, in a run nobody stopped."""
    reason = ""
    if run.cancel_requested_at is not None:
        reason = "its run was stopped by hand"
    elif not letter.is_final or letter.epoch != task.epoch:
        reason = "it was tried again since"
    if reason:
        raise RetryNotAllowed(task=str(task), reason=reason)

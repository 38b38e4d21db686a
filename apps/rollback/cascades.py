"""What one transaction undoes and opens again over locked runs: gathered first, written last.

One cascade or a thousand, it is the same handful of statements. Locks: tasks (by whoever loaded the
runs), commitments, leases and proofs of theirs, then runs, accounts and keepers; events after all of them.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from apps.eventlog.data import EventDraft
from apps.eventlog.locking import lock_rows
from apps.eventlog.services import events_append, rows_create
from apps.eventlog.writing import values_insert
from apps.execution.services import leases_revoke
from apps.keepers.data import KeeperOutcome
from apps.keepers.models import Keeper
from apps.keepers.services import keepers_record_outcomes
from apps.kernel.outcome import Outcome, Revocation
from apps.ledger.data import TransactionDraft
from apps.proofs.services import proofs_cancel
from apps.rollback.data import RecoveryAction, Scope, Target
from apps.rollback.domain.cascade import CascadePlan, Change, apply_change, plan_cascades
from apps.rollback.domain.phases import Signal, is_holding
from apps.rollback.domain.preview import build_dead_letter, plan_cancel
from apps.rollback.domain.recovery import Recovery, decide_recovery, is_counted, plan_retry
from apps.rollback.errors import RetryNotAllowed
from apps.rollback.loading import LoadedRuns, get_recovery_terms
from apps.rollback.models import DeadLetter, Rollback, RollbackItem
from apps.rollback.records import (
    ITEM_COLUMNS,
    Cause,
    item_values,
    letter_new,
    revocation_of,
    rollback_fill,
    rollback_new,
    rollback_walk,
)
from apps.speculation.data import STANDINGS, FailureReason, Standing
from apps.speculation.domain.postings import cascade_settle
from apps.speculation.models import Commitment
from apps.speculation.services import commitments_undo
from apps.speculation.terms import get_bond_terms
from apps.tasks.changes import TaskChanges
from apps.tasks.data import CANCELLED_CODE, TaskStatus
from apps.tasks.models import Failure, Run, Task

#: domain.md: -300 reputation per slash
SLASH_REPUTATION: Final = -300
#: what was not cleaned after so long is cleaned again
CLEAN_AGAIN_SECONDS: Final = 10
ANCESTOR_CODE: Final = "ancestor_failed"
_GIVE_UP: Final = Recovery(action=RecoveryAction.GIVE_UP, scope=Scope.DOWNSTREAM)


@dataclass(slots=True, kw_only=True)
class _Applied:
    """One cascade of this transaction."""

    row: Rollback
    detected: EventDraft
    plan: CascadePlan
    cause: Cause
    recovery: Recovery
    attempts: int
    is_reopened: bool = False


class Cascades:
    """The pending cascades and retries over loaded runs, whose tasks are locked."""

    def __init__(self, runs: LoadedRuns, *, now: datetime, stopping: Collection[UUID] = ()) -> None:
        """`stopping` are runs that are being stopped by hand: nothing of theirs is retried."""
        self.now = now
        self._stopping = stopping
        self.changes = TaskChanges(list(runs.tasks.values()), now=now)
        self._runs = runs
        self._applied: list[_Applied] = []
        self._dismissed: list[tuple[Rollback, EventDraft]] = []

    def fail(self, failures: Sequence[Failure]) -> None:
        """Undo what failed and everything that stands on it, and open again what is retried.

        A failure that does not hold any more, or lies below another one, is dismissed. In a run whose stop
        was asked for nothing is retried.
        """
        holding = {failure.task_id: failure for failure in failures if self._is_holding(failure)}
        recoveries = self._recoveries_of(holding)
        plans = plan_cascades(
            {task: FailureReason(failure.reason) for task, failure in holding.items()},
            graph=self._runs.graph,
            states=self._runs.states,
            terms=get_bond_terms(),
            scopes={task: recovery.scope for task, recovery in recoveries.items()},
        )
        undone = {plan.root: plan for plan in plans if plan.changes}
        for root, plan in undone.items():
            self._undo(plan, _cause_of(holding[root]), recoveries[root])
        over = [one for one in failures if one.task_id not in undone or holding[one.task_id] is not one]
        self._dismiss(over)
        self._retry()
        self.changes.answer(failures)

    @property
    def size(self) -> int:
        """How many tasks change."""
        return sum(len(one.plan.changes) for one in self._applied)

    def cancel(self, roots: Sequence[UUID], *, actor: str) -> int:
        """Stop these and what stands on them by hand, but for what is confirmed or being settled.

        Returns how many tasks end by it.
        """
        plans = plan_cancel(roots, graph=self._runs.graph, states=self._runs.states, terms=get_bond_terms())
        for plan in plans:
            if plan.changes:
                cause = Cause(
                    reason=FailureReason.MANUAL,
                    code=CANCELLED_CODE,
                    detail=actor[:500],
                    epoch=plan.changes[-1].epoch,
                    detected_at=self.now,
                )
                self._undo(plan, cause, _GIVE_UP)
        return sum(len(plan.changes) for plan in plans)

    def reopen(self, root: UUID, *, wake_at: datetime, changed: Mapping[str, Any] | None = None) -> None:
        """Open another attempt of a dead task and of what its end took along.

        `changed` are further columns of the root. Raises RetryNotAllowed.
        """
        stopped = self._stopped_by_hand()
        opened = plan_retry(root, graph=self._runs.graph, states=self._runs.states, final=stopped)
        for task_id in opened:
            task = self._runs.tasks[task_id]
            self.changes.reopen(task, wake_at=wake_at, changed=changed if task_id == root else None)
            state = self._runs.states[task_id]
            self._runs.states[task_id] = replace(
                state, status=task.status, epoch=task.epoch, keeper="", compute_units=0
            )

    def write(self, *, clean_at: datetime | None = None) -> Outcome:
        """Write everything; the outcome says what is to be stopped after the commit.

        `clean_at` is when the stage cleans up by itself: at once where nobody does so after this
        transaction. Raises InsufficientFunds.
        """
        self._undo_commitments()
        self._revoke_leases()
        handles = self._cancel_proofs()
        self.changes.settle(postings=self._postings())
        slashed = [one.plan.slashed_keeper for one in self._applied if one.plan.slashed_keeper]
        lock_rows(Keeper.objects.filter(address__in=slashed).only("address"), skip_locked=False)

        rows, letters, before, after = self._records(handles, clean_at)
        rows_create([*rows, *letters], before, now=self.now)
        items = [values for one in self._applied for values in item_values(one.row, one.plan)]
        values_insert(RollbackItem, ITEM_COLUMNS, items)
        self.changes.write()
        events_append(after, now=self.now)
        if slashed:
            keepers_record_outcomes(
                [KeeperOutcome(address=keeper, reputation_delta=SLASH_REPUTATION) for keeper in slashed]
            )
        return Outcome(revocations=self._revocations(), pokes=frozenset(self.changes.pokes))

    def _is_holding(self, failure: Failure) -> bool:
        signal = Signal(reason=FailureReason(failure.reason), epoch=failure.epoch)
        return is_holding(signal, self._runs.states[failure.task_id])

    def _recoveries_of(self, failures: Mapping[UUID, Failure]) -> dict[UUID, Recovery]:
        run_ids = {failure.run_id for failure in failures.values()}
        asked = Run.objects.filter(pk__in=run_ids, cancel_requested_at__isnull=False)
        stopped = {*self._stopping, *asked.values_list("pk", flat=True)}
        timed_out = [task for task, one in failures.items() if one.reason == FailureReason.TIMEOUT]
        if timed_out:
            for task_id, spec in Task.objects.filter(pk__in=timed_out).values_list("pk", "spec"):
                self._runs.tasks[task_id].spec = spec
        return {
            task: _GIVE_UP if failure.run_id in stopped else self._recovery_of(task, failure)
            for task, failure in failures.items()
        }

    def _recovery_of(self, task_id: UUID, failure: Failure) -> Recovery:
        reason, task = FailureReason(failure.reason), self._runs.tasks[task_id]
        is_timeout = reason is FailureReason.TIMEOUT
        return decide_recovery(
            reason,
            failed_attempts=task.failures + is_counted(reason),
            timeout_seconds=task.spec["limits"]["deadline_seconds"] if is_timeout else 0,
            now=self.now,
            terms=get_recovery_terms(),
        )

    def _undo(self, plan: CascadePlan, cause: Cause, recovery: Recovery) -> None:
        root = self._runs.tasks[plan.root]
        attempts = root.failures + is_counted(cause.reason)
        row, detected = rollback_new(cause, root, trace_id=self.changes.trace_of(root))
        one = _Applied(
            row=row, detected=detected, plan=plan, cause=cause, recovery=recovery, attempts=attempts
        )
        self._applied.append(one)
        for change in plan.changes:
            self._move(one, change)
            state = self._runs.states[change.task]
            self._runs.states[change.task] = apply_change(state, change)

    def _move(self, one: _Applied, change: Change) -> None:
        """One task's part: its status, what it ends with, and the facts of its event."""
        task, is_root = self._runs.tasks[change.task], change.task == one.plan.root
        changed: dict[str, Any] = {"is_failing": False} if task.is_failing else {}
        if is_root and one.attempts != task.failures:
            changed["failures"] = one.attempts
        facts = {
            "rollback": str(one.row),
            "previous": change.previous,
            "released_units": str(change.released_units),
            "wasted_units": str(change.wasted_units),
        }
        if is_root:
            facts |= {"reason": str(one.cause.reason), "slashed_units": str(change.slashed_units)}
        if change.target is Target.WAITING:
            changed |= {"performer": "", "is_ahead": False}
            wake_at = one.recovery.not_before or self.now
            self.changes.pokes.add("admit")
            self.changes.move(
                task, TaskStatus.WAITING, wake_at=wake_at, changed=changed, facts=facts, event="task.set_back"
            )
            return
        is_by_hand = one.cause.reason is FailureReason.MANUAL
        changed["error_code"] = one.cause.code if is_root or is_by_hand else ANCESTOR_CODE
        if is_root and one.cause.detail:
            changed["error_detail"] = one.cause.detail
        self.changes.move(task, TaskStatus(change.target), changed=changed, facts=facts)

    def _dismiss(self, failures: Iterable[Failure]) -> None:
        """Note signals that are about something that is over; a task that lives on is free again."""
        told = set(
            Rollback.objects.filter(root__in=[failure.task_id for failure in failures]).values_list(
                "root_id", "epoch"
            )
        )
        for failure in failures:
            task = self._runs.tasks[failure.task_id]
            if task.is_failing:
                free = {"is_failing": False}
                self.changes.touch(task, wake_at=self.now, **free)
                facts = {"set": free, "reason": failure.reason, "epoch": failure.epoch}
                self.changes.tell(task, "task.failure_dismissed", facts)
            if (task.id, failure.epoch) not in told:
                trace_id = self.changes.trace_of(task)
                self._dismissed.append(rollback_new(_cause_of(failure), task, trace_id=trace_id))

    def _retry(self) -> None:
        for one in self._applied:
            if not one.recovery.is_retried or one.plan.scope is Scope.TASK_ONLY:
                continue
            changed = self._extended(one) if one.recovery.action is RecoveryAction.EXTEND_TIMEOUT else None
            try:
                self.reopen(one.plan.root, wake_at=one.recovery.not_before or self.now, changed=changed)
            except RetryNotAllowed:
                one.recovery = _GIVE_UP
            else:
                one.is_reopened = True

    def _extended(self, one: _Applied) -> dict[str, Any]:
        """The root's specification with more time for its next attempt."""
        spec, terms = self._runs.tasks[one.plan.root].spec, get_recovery_terms()
        cpu_seconds = spec["limits"]["cpu_seconds"]
        extended = min(cpu_seconds * terms.timeout_factor_percent // 100, terms.max_timeout_seconds)
        limits = {
            **spec["limits"],
            "deadline_seconds": one.recovery.timeout_seconds,
            "cpu_seconds": max(cpu_seconds, extended),
        }
        return {"spec": {**spec, "limits": limits}}

    def _stopped_by_hand(self) -> set[UUID]:
        """The tasks that no retry of an ancestor brings back."""
        return {
            task.id
            for task in self._runs.tasks.values()
            if task.error_code == CANCELLED_CODE and STANDINGS[task.status] is Standing.DEAD
        }

    def _undo_commitments(self) -> None:
        """A root that failed fails its own; all others are rolled back: one statement for each reason."""
        undone: defaultdict[FailureReason, list[Commitment]] = defaultdict(list)
        roots: set[UUID] = set()
        for one in self._applied:
            for change in one.plan.changes:
                commitment = self._runs.commitments.pop(change.task, None)
                if commitment is None:
                    continue
                undone[one.cause.reason].append(commitment)
                if change.target is Target.FAILED:
                    roots.add(change.task)
        for reason, rows in undone.items():
            commitments_undo(rows, roots=roots, reason=reason, now=self.now)

    def _revoke_leases(self) -> None:
        revoked: defaultdict[str, list[UUID]] = defaultdict(list)
        for one in self._applied:
            for change in one.plan.aborted:
                is_own = change.task == one.plan.root or one.cause.reason is FailureReason.MANUAL
                revoked[one.cause.code if is_own else ANCESTOR_CODE].append(change.task)
        for reason, task_ids in revoked.items():
            leases_revoke(task_ids=task_ids, reason=reason, now=self.now)

    def _cancel_proofs(self) -> dict[UUID, tuple[str, ...]]:
        """Cancel proofs, in one call for each reason; the reason's first cascade tells the prover of them."""
        cancelled: defaultdict[FailureReason, list[UUID]] = defaultdict(list)
        tellers: dict[FailureReason, UUID] = {}
        for one in self._applied:
            for change in one.plan.cancelled_proofs:
                tellers.setdefault(one.cause.reason, one.row.id)
                cancelled[one.cause.reason].append(change.task)
        return {
            tellers[reason]: proofs_cancel(task_ids, reason=str(reason), now=self.now)
            for reason, task_ids in cancelled.items()
        }

    def _postings(self) -> list[TransactionDraft]:
        settled = (
            (
                one.row.trace_id,
                cascade_settle(
                    one.row.id,
                    one.plan.released,
                    slashed_keeper=one.plan.slashed_keeper,
                    shares=one.plan.shares,
                ),
            )
            for one in self._applied
        )
        return [replace(draft, trace_id=trace_id) for trace_id, draft in settled if draft is not None]

    def _records(
        self, handles: Mapping[UUID, Sequence[str]], clean_at: datetime | None
    ) -> tuple[list[Rollback], list[DeadLetter], list[EventDraft], list[EventDraft]]:
        """The rows to create, and the events before and after those of the tasks."""
        wake_at = clean_at or self.now + timedelta(seconds=CLEAN_AGAIN_SECONDS)
        rows: list[Rollback] = []
        letters: list[DeadLetter] = []
        before: list[EventDraft] = []
        after: list[EventDraft] = []
        for one in self._applied:
            is_retried = one.is_reopened or (one.plan.scope is Scope.TASK_ONLY)
            proofs = handles.get(one.row.id, ())
            rollback_fill(one.row, one.plan, action=one.recovery.action, is_retried=is_retried, proofs=proofs)
            early, late = rollback_walk(one.row, one.plan, now=self.now, wake_at=wake_at)
            rows.append(one.row)
            before += [one.detected, *early]
            after += late
            letter = build_dead_letter(
                one.plan,
                recovery=one.recovery,
                error=one.cause.detail,
                attempts=one.attempts,
                now=self.now,
            )
            if letter:
                made, recorded = letter_new(one.row, letter, one.cause)
                letters.append(made)
                before.append(recorded)
        for row, detected in self._dismissed:
            empty = CascadePlan(root=row.root_id, reason=FailureReason(row.reason))
            early, _ = rollback_walk(row, empty, now=self.now, wake_at=None)
            rows.append(row)
            before += [detected, *early]
        return rows, letters, before, after

    def _revocations(self) -> tuple[Revocation, ...]:
        return tuple(
            revocation_of(
                one.row, ((change.keeper, change.task, change.epoch) for change in one.plan.aborted)
            )
            for one in self._applied
        )


def _cause_of(failure: Failure) -> Cause:
    return Cause(
        reason=FailureReason(failure.reason),
        code=failure.error_code,
        detail=failure.error_detail,
        epoch=failure.epoch,
        detected_at=failure.detected_at,
    )
